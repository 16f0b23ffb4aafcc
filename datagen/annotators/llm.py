"""A language model's answers as findings: looked up by chunk, then checked against chunk, rules and graph."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from datagen.annotators.base import Annotator, Finding, Kind
from datagen.entity_checks import Answers, EntityChecks
from datagen.generation.answer_files import AnswerTable
from datagen.graph.artefact import BuiltGraph
from datagen.training_notes import TrainingNote


class LlmAnnotator(Annotator):
    """Reads what a model answered to the tasks `entities` or `entities_json` about the same chunks."""

    provenance = "llm"

    def __init__(self, answers: Path, graph: BuiltGraph) -> None:
        self._answers, self._checks = AnswerTable(answers), EntityChecks(graph)

    def findings(self, notes: Sequence[TrainingNote], counts: Counter[str]) -> list[list[Finding]]:
        """The findings of every chunk; one that a failed call left without any answer counts as `unanswered_chunks`."""
        answered = self._answers.of(chunk_id for note in notes for chunk_id, _ in note.chunks())
        found: list[list[Finding]] = []
        for note in notes:
            named = [_by_kind(answered.get(chunk_id, [])) for chunk_id, _ in note.chunks()]
            counts["unanswered_chunks"] += named.count(None)
            found += self._checks.findings(note.text, note.spans, named, counts)
        return found


def _by_kind(answers: Sequence[dict[str, Any]]) -> Answers | None:
    """The names of each kind, a list a vote; None without answers.

    Items are names where each kind is a call of its own, else `{"type": kind, "name": name}`.
    """
    votes: dict[Kind, list[list[str]]] = defaultdict(list)
    for answer in answers:
        by_kind: dict[str, list[str]] = {answer["variant"]: []} if answer["variant"] else defaultdict(list)
        for item in answer["items"]:
            kind, name = (answer["variant"], item) if answer["variant"] else (item["type"], item["name"])
            by_kind[kind].append(name)
        for kind, names in by_kind.items():
            votes[cast(Kind, kind)].append(names)
    return votes if answers else None
