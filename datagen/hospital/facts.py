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

from datagen.hospital.lexicon import Lexicon, Wording

HELD_OUT_SHARE = 0.2
"""Share of concepts, and of implication patterns, that no training note ever shows."""

_FILES = {"conditions.yaml": "disease", "procedures.yaml": "procedure", "drugs.yaml": "drug"}


class Pattern(NamedTuple):
    """A text from which a concept follows though it is not named; a finding of the examination `exam` if given."""

    concept: str
    pattern_id: str
    text: str
    exam: str = ""


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
    imaging: tuple[Pattern, ...] = ()
    implied_by: tuple[Pattern, ...] = ()
    doses: tuple[str, ...] = ()
    indicates: str | None = None
    avoid: tuple[str, ...] = ()
    combines: bool = False
    history: bool = False
    ongoing: bool = False

    def wordings(self) -> list[Wording]:
        """All surface forms, the preferred name first."""
        return [
            Wording(self.name, self.concept_id, "name"),
            *(Wording(text, self.concept_id, "synonym") for text in self.synonyms),
            *(Wording(text, self.concept_id, "abbreviation") for text in self.abbreviations),
            *(Wording(text, self.concept_id, "hyponym") for text in self.narrower),
        ]


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

    @cached_property
    def ancestors(self) -> dict[str, frozenset[str]]:
        """Each concept's broader concepts, all levels, without itself."""

        def broader(concept_id: str) -> frozenset[str]:
            parents = self.concepts[concept_id].is_a
            return frozenset(parents).union(*map(broader, parents))

        return {concept_id: broader(concept_id) for concept_id in self.concepts}

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
        by_course: dict[str, list[Concept]] = defaultdict(list)
        for concept in self.concepts.values():
            by_course[concept.course].append(concept)
        return by_course

    def patterns(self) -> list[Pattern]:
        """Every implication pattern."""
        return [pattern for c in self.concepts.values() for pattern in (*c.implied_by, *c.imaging)]

    def without(self, concepts: frozenset[str], patterns: frozenset[str]) -> "Facts":
        """The same facts with no trace of the held-out concepts and patterns: links and texts that would
        show them are left out too."""

        def shows(value: Any) -> bool:
            if isinstance(value, Pattern):
                return value.pattern_id in patterns
            return isinstance(value, str) and (value in concepts or bool(self.lexicon.concepts_in(value) & concepts))

        def pruned(value: Any) -> Any:
            if isinstance(value, tuple | list):
                return type(value)(item for item in value if not shows(item))
            if isinstance(value, dict):
                return {key: pruned(item) for key, item in value.items() if not shows(item)}
            return None if shows(value) else value

        kept = {
            concept_id: concept.model_copy(update={field: pruned(value) for field, value in concept})
            for concept_id, concept in self.concepts.items()
            if concept_id not in concepts
        }
        return Facts(kept, pruned(self.phrases))


class World(NamedTuple):
    """All facts, the part that training patients may show, and what is held out of it."""

    everything: Facts
    training: Facts
    held_out_concepts: frozenset[str]
    held_out_patterns: frozenset[str]


@lru_cache(maxsize=8)
def world(seed: int) -> World:
    """The hospital's world for a seed: the same for the same seed in every process."""
    facts = load_facts()
    concepts, patterns = _held_out(facts, random.Random(f"held out {seed}"))
    return World(facts, facts.without(concepts, patterns), concepts, patterns)


def _held_out(facts: Facts, rng: random.Random) -> tuple[frozenset[str], frozenset[str]]:
    """A fifth of the concepts, and every pattern that shows one of them plus a fifth of the others.

    A concept takes with it what cannot occur without it: its narrower concepts, concepts whose wordings contain one
    of its own, and drugs, procedures and symptoms that only held-out conditions use.
    """
    shown_by = {concept_id: set(broader) for concept_id, broader in facts.ancestors.items()}
    for words, wording in facts.lexicon.by_words.items():
        parts = (words[start:stop] for start, stop in combinations(range(len(words) + 1), 2))
        shown_by[wording.concept] |= {facts.lexicon.by_words[p].concept for p in parts if p in facts.lexicon.by_words}
    limit = round(HELD_OUT_SHARE * len(facts.concepts))
    held: frozenset[str] = frozenset()
    for concept_id in rng.sample(list(facts.concepts), len(facts.concepts)):
        before, grown = held, held | {concept_id}
        while grown != before:
            before = grown
            grown |= {c for c, shown in shown_by.items() if not shown.isdisjoint(before)}
            grown |= {used for used, users in facts.users.items() if users <= before}
        if len(grown) <= limit:
            held = grown
    patterns = {p.pattern_id: facts.lexicon.concepts_in(f"{p.exam}. {p.text}") | {p.concept} for p in facts.patterns()}
    rest = [pattern_id for pattern_id, shown in patterns.items() if held.isdisjoint(shown)]
    chosen = rng.sample(rest, round(HELD_OUT_SHARE * len(rest)))
    return held, frozenset(patterns.keys() - set(rest)) | frozenset(chosen)


@lru_cache(maxsize=1)
def load_facts() -> Facts:
    """The packaged facts."""
    entries = ((type_, *item) for file, type_ in _FILES.items() for item in _read(file).items())
    concepts = [_concept(type_, concept_id, entry) for type_, concept_id, entry in entries]
    return Facts({concept.concept_id: concept for concept in concepts}, _read("phrases.yaml"))


def _read(file: str) -> dict[str, Any]:
    return yaml.load(Path(__file__).with_name(file).read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)


def _concept(type_: str, concept_id: str, entry: dict[str, Any]) -> Concept:
    texts, images = entry.get("implied_by", []), entry.get("imaging", [])
    patterns = {
        "implied_by": [Pattern(concept_id, f"{concept_id}/{n}", text) for n, text in enumerate(texts)],
        "imaging": [
            Pattern(concept_id, f"{concept_id}/imaging{n}", i["finding"], i["exam"]) for n, i in enumerate(images)
        ],
    }
    name = concept_id.replace("_", " ")
    return Concept.model_validate({"concept_id": concept_id, "type": type_, "name": name} | entry | patterns)
