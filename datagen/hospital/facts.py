"""The hospital's medical facts: concepts, their wordings, how they hang together, what is held out of training.

Facts are data, in conditions.yaml, procedures.yaml, drugs.yaml and phrases.yaml beside this file.
"""

import random
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict

from datagen.hospital.lexicon import Lexicon, Wording, words

HELD_OUT_SHARE = 0.2
"""Share of concepts, and of implication patterns, that no training note ever shows."""

_FILES = {"conditions.yaml": "disease", "procedures.yaml": "procedure", "drugs.yaml": "drug"}


class Pattern(BaseModel):
    """A text from which its concept follows though it is not named."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    pattern_id: str
    text: str


class Imaging(Pattern):
    """A finding of one examination from which the concept follows."""

    exam: str


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
    imaging: tuple[Imaging, ...] = ()
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

    def links(self) -> set[str]:
        """Ids of the concepts that this one refers to."""
        lists = ("is_a", "more_with", "needs", "excludes", "symptoms", "drugs", "keeps", "procedures", "leaves")
        linked = {concept_id for field in (*lists, "avoid") for concept_id in getattr(self, field)}
        return linked | ({self.indicates} if self.indicates else set())


@dataclass(frozen=True)
class Facts:
    """Concepts by id and phrases by key; `without` gives the facts that training patients are made from."""

    concepts: dict[str, Concept]
    phrases: dict[str, Any]

    @cached_property
    def lexicon(self) -> Lexicon:
        """Finds every wording of every concept."""
        return Lexicon(wording for concept in self.concepts.values() for wording in concept.wordings())

    @cached_property
    def ancestors(self) -> dict[str, frozenset[str]]:
        """Each concept's broader concepts, all levels, without itself."""
        return {c: closure({c}, lambda i: self.concepts[i].is_a) - {c} for c in self.concepts}

    @cached_property
    def users(self) -> dict[str, frozenset[str]]:
        """For each concept, the conditions in whose course it occurs."""
        users: dict[str, set[str]] = defaultdict(set)
        for concept in self.concepts.values():
            for used in (*concept.symptoms, *concept.drugs, *concept.keeps, *concept.procedures):
                users[used].add(concept.concept_id)
        return {used: frozenset(by) for used, by in users.items()}

    @cached_property
    def by_course(self) -> dict[str, list[Concept]]:
        """Concepts of each course, in the order of the files."""
        return {
            course: [c for c in self.concepts.values() if c.type == "disease" and c.course == course]
            for course in ("chronic", "acute", "symptom", "group")
        }

    def patterns(self) -> list[tuple[Concept, Pattern]]:
        """Every implication pattern with the concept that it implies."""
        return [(c, pattern) for c in self.concepts.values() for pattern in (*c.implied_by, *c.imaging)]

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


def closure(start: set[str], step: Callable[[str], Iterable[str]]) -> frozenset[str]:
    """All ids reachable from `start`, itself included."""
    seen, todo = set(start), list(start)
    while todo:
        new = set(step(todo.pop())) - seen
        seen |= new
        todo.extend(new)
    return frozenset(seen)


@dataclass(frozen=True)
class World:
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
    drags: dict[str, set[str]] = defaultdict(set)
    owner = {words(w.text): w.concept for concept in facts.concepts.values() for w in concept.wordings()}
    for tokens, concept_id in owner.items():
        for start, stop in combinations(range(len(tokens) + 1), 2):
            if tokens[start:stop] in owner:
                drags[owner[tokens[start:stop]]].add(concept_id)
    for concept_id, broader in facts.ancestors.items():
        for ancestor in broader:
            drags[ancestor].add(concept_id)
    limit = round(HELD_OUT_SHARE * len(facts.concepts))
    held: frozenset[str] = frozenset()
    for concept_id in rng.sample(list(facts.concepts), len(facts.concepts)):
        grown = held | {concept_id}
        while True:
            orphans = {used for used, users in facts.users.items() if users <= grown}
            wider = closure(set(grown | orphans), lambda i: drags[i])
            if wider == grown:
                break
            grown = wider
        if len(grown) <= limit:
            held = grown
    showing = set()
    for concept, pattern in facts.patterns():
        exam = pattern.exam if isinstance(pattern, Imaging) else ""
        if concept.concept_id in held or facts.lexicon.concepts_in(f"{exam}. {pattern.text}") & held:
            showing.add(pattern.pattern_id)
    rest = [pattern.pattern_id for _, pattern in facts.patterns() if pattern.pattern_id not in showing]
    return held, frozenset(showing | set(rng.sample(rest, round(HELD_OUT_SHARE * len(rest)))))


@lru_cache(maxsize=1)
def load_facts() -> Facts:
    """Read and check the facts; a dangling link, a shared wording or an implication that names its own concept
    raises ValueError."""
    concepts: dict[str, Concept] = {}
    for file, kind in _FILES.items():
        for concept_id, entry in _read(file).items():
            if concept_id in concepts:
                raise ValueError(f"{file}: {concept_id} is defined twice")
            concepts[concept_id] = _concept(concept_id, kind, entry)
    facts = Facts(concepts, _read("phrases.yaml"))
    for concept in concepts.values():
        if dangling := sorted(concept.links() - concepts.keys()):
            raise ValueError(f"{concept.concept_id}: unknown concepts {dangling}")
    for concept, pattern in facts.patterns():
        for named in facts.lexicon.concepts_in(pattern.text):
            if concept.concept_id in {named} | facts.ancestors[named]:
                raise ValueError(f"{pattern.pattern_id} names the concept that it should only imply")
    return facts


def _read(file: str) -> dict[str, Any]:
    return yaml.load(Path(__file__).with_name(file).read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)


def _concept(concept_id: str, kind: str, entry: dict[str, Any]) -> Concept:
    texts = enumerate(entry.pop("implied_by", []))
    implied_by = [{"pattern_id": f"{concept_id}/{number}", "text": text} for number, text in texts]
    imaging = [
        {"pattern_id": f"{concept_id}/imaging{number}", "text": item["finding"], "exam": item["exam"]}
        for number, item in enumerate(entry.pop("imaging", []))
    ]
    name = entry.pop("name", concept_id.replace("_", " "))
    return Concept.model_validate(
        {"concept_id": concept_id, "type": kind, "name": name, "implied_by": implied_by, "imaging": imaging} | entry
    )
