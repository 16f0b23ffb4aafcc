"""The packaged graph of common hospital concepts, read from `builtin.yaml` beside this file."""

from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from datagen.graph.source_files import read_text
from datagen.graph.tables import KnowledgeGraph

BUILTIN_PATH = Path(__file__).with_name("builtin.yaml")


class _Concept(BaseModel):
    model_config = ConfigDict(extra="forbid")

    id: str
    name: str
    type: str
    synonyms: list[str] = []
    abbreviations: list[str] = []
    is_a: list[str] = []
    relations: dict[str, list[str]] = {}
    sources: list[str] = []


class _File(BaseModel):
    concepts: list[_Concept]


def read_builtin(path: Path = BUILTIN_PATH) -> KnowledgeGraph:
    """The packaged graph, or another file of the same form.

    `concepts` is a list of {id, name, type, synonyms, abbreviations, is_a, relations: {type: [ids]}, sources}.
    Raises ValueError naming the file and the concept's place in it where the form does not hold.
    """
    try:
        concepts = _File.model_validate(yaml.load(read_text(path), Loader=yaml.CSafeLoader)).concepts
    except (yaml.YAMLError, ValidationError) as error:
        raise ValueError(f"{path}: not a concept list: {error}") from None
    try:
        return KnowledgeGraph.from_rows(
            concepts=[(c.id, c.name, [c.type]) for c in concepts],
            terms=[
                (c.id, term, "en", scope)
                for c in concepts
                for scope, names in (("exact", c.synonyms), ("abbreviation", c.abbreviations))
                for term in names
            ],
            is_a=[(c.id, parent) for c in concepts for parent in c.is_a],
            relations=[(c.id, kind, tail) for c in concepts for kind, tails in c.relations.items() for tail in tails],
        ).check()
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
