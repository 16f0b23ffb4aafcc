"""The hospital's medical facts: concepts, their wordings, how they hang together, what is held out of training.

Facts are data, in conditions.yaml, procedures.yaml, drugs.yaml and phrases.yaml beside this file.
"""

import random
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import combinations
from pathlib import Path
from typing import Any, Literal, NamedTuple

import yaml
from pydantic import BaseModel, ConfigDict

from datagen.hospital.lexicon import Kind, Lexicon, Wording

HELD_OUT_SHARE = 0.2
"""Share of concepts, and of implication patterns, that no training note ever shows."""

_FILES = {"conditions.yaml": "disease", "procedures.yaml": "procedure", "drugs.yaml": "drug"}


class Concept(BaseModel):
    """A disease or finding, procedure or drug; the fields are explained at the head of the YAML files."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    concept_id: str
    type: Literal["disease", "procedure", "drug"]
    name: str
    synonyms: tuple[str, ...] = ()
    abbreviations: tuple[str, ...] = ()
    narrower: tuple[str, ...] = ()
    is_a: tuple[str, ...] = ()
    course: Literal["chronic", "acute", "symptom", "group"] = "group"
    weight: float = 1.0
    age: tuple[int, int] = (18, 95)
    sex: Literal["F", "M"] | None = None
    more_with: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()
    symptoms: tuple[str, ...] = ()
    drugs: tuple[str, ...] = ()
    keeps: tuple[str, ...] = ()
    procedures: tuple[str, ...] = ()
    leaves: tuple[str, ...] = ()
    labs: dict[str, str] = {}
    shifts: dict[str, str] = {}
    exam: dict[str, str] = {}
    imaging: dict[str, str] = {}
    implied_by: tuple[str, ...] = ()
    doses: tuple[str, ...] = ()
    indicates: str | None = None
    avoid: tuple[str, ...] = ()
    combines: bool = False
    history: bool = False
    ongoing: bool = False

    def wordings(self) -> list[Wording]:
        """All surface forms, the preferred name first."""
        kinds: tuple[Kind, ...] = ("name", "synonym", "abbreviation", "hyponym")
        texts = ((self.name,), self.synonyms, self.abbreviations, self.narrower)
        return [Wording(text, self.concept_id, kind) for kind, some in zip(kinds, texts, strict=True) for text in some]


@dataclass(frozen=True)
class Facts:
    """Concepts by id and phrases by key; `without` gives the facts that training patients are made from."""

    concepts: dict[str, Concept]
    phrases: dict[str, Any]

    def those(self, ids: Iterable[str]) -> list[Concept]:
        """The concepts with these ids."""
        return [self.concepts[concept_id] for concept_id in ids]

    @cached_property
    def lexicon(self) -> Lexicon:
        """Finds every wording of every concept."""
        return Lexicon(wording for concept in self.concepts.values() for wording in concept.wordings())

    def ancestors(self, concept_id: str) -> frozenset[str]:
        """The concept's broader concepts, all levels, without itself."""
        parents = self.concepts[concept_id].is_a
        return frozenset(parents).union(*map(self.ancestors, parents))

    @cached_property
    def users(self) -> dict[str, set[str]]:
        """For each concept, the conditions in whose course it occurs."""
        users: dict[str, set[str]] = defaultdict(set)
        for concept in self.concepts.values():
            for used in (*concept.symptoms, *concept.drugs, *concept.keeps, *concept.procedures):
                users[used].add(concept.concept_id)
        return dict(users)

    @cached_property
    def by_course(self) -> dict[str, list[Concept]]:
        """Conditions of each course, in the order of the file."""
        all_concepts = self.concepts.values()
        return {course: [c for c in all_concepts if c.course == course] for course in ("chronic", "acute", "symptom")}

    def patterns(self) -> list[tuple[Concept, str]]:
        """Every text from which a concept follows, with the concept."""
        return [(c, text) for c in self.concepts.values() for text in (*c.implied_by, *c.imaging.values())]

    def without(self, hidden: frozenset[str]) -> "Facts":
        """The same facts with no trace of the hidden concepts and patterns: links and texts that would show them are
        left out too."""

        def shows(value: Any) -> bool:
            return isinstance(value, str) and not hidden.isdisjoint({value} | self.lexicon.concepts_in(value))

        def pruned(value: Any) -> Any:
            if isinstance(value, tuple | list):
                return type(value)(item for item in value if not shows(item))
            if isinstance(value, dict):
                return {key: pruned(item) for key, item in value.items() if not shows(key) and not shows(item)}
            return None if shows(value) else value

        kept = {
            concept_id: concept.model_copy(update={field: pruned(value) for field, value in concept})
            for concept_id, concept in self.concepts.items()
            if concept_id not in hidden
        }
        return Facts(kept, pruned(self.phrases))


class World(NamedTuple):
    """All facts, the part that training patients may show, and what is held out of it."""

    everything: Facts
    training: Facts
    held_out_concepts: frozenset[str]
    held_out_patterns: set[str]


@lru_cache(maxsize=8)
def world(seed: int) -> World:
    """The hospital's world for a seed: the same for the same seed in every process."""
    facts, rng = load_facts(), random.Random(f"held out {seed}")
    concepts = _held_out(facts, rng)
    shown = [pattern for _, pattern in facts.without(concepts).patterns()]
    training = facts.without(concepts.union(rng.sample(shown, round(HELD_OUT_SHARE * len(shown)))))
    patterns = {pattern for _, pattern in facts.patterns()} - {pattern for _, pattern in training.patterns()}
    return World(facts, training, concepts, patterns)


def _held_out(facts: Facts, rng: random.Random) -> frozenset[str]:
    """A fifth of the concepts.

    A concept takes with it what cannot occur without it: its narrower concepts, concepts whose wordings contain one
    of its own, and drugs, procedures and symptoms that only held-out conditions use.
    """
    by_words = facts.lexicon.by_words
    shown_by = {concept_id: set(facts.ancestors(concept_id)) for concept_id in facts.concepts}
    for words, wording in by_words.items():
        parts = (words[start:stop] for start, stop in combinations(range(len(words) + 1), 2))
        shown_by[wording.concept] |= {by_words[part].concept for part in parts if part in by_words}
    held: frozenset[str] = frozenset()
    for concept_id in rng.sample(list(facts.concepts), len(facts.concepts)):
        before, grown = held, held | {concept_id}
        while grown != before:
            before = grown
            grown |= {c for c, shown in shown_by.items() if not shown.isdisjoint(before)}
            grown |= {used for used, users in facts.users.items() if users <= before}
        if len(grown) <= round(HELD_OUT_SHARE * len(facts.concepts)):
            held = grown
    return held


@lru_cache(maxsize=1)
def load_facts() -> Facts:
    """The packaged facts."""
    concepts = {
        concept_id: Concept.model_validate(
            {"concept_id": concept_id, "type": type_, "name": concept_id.replace("_", " ")} | entry
        )
        for file, type_ in _FILES.items()
        for concept_id, entry in _read(file).items()
    }
    return Facts(concepts, _read("phrases.yaml"))


def _read(file: str) -> dict[str, Any]:
    return yaml.load(Path(__file__).with_name(file).read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
