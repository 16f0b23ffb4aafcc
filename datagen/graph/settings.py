"""Which knowledge graphs to match with: the built-in one or files in one of the known formats."""

from collections.abc import Callable
from dataclasses import asdict
from inspect import signature
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from datagen.graph.abbreviations import read_abbreviations
from datagen.graph.annotations import read_babelon, read_disease_symptom, read_hpoa, read_sssom, read_xrefs
from datagen.graph.bad_rows import bad_rows
from datagen.graph.bios import read_bios
from datagen.graph.builtin import read_builtin
from datagen.graph.code_lists import read_atc, read_drugbank, read_icd10cm
from datagen.graph.icd9_procedures import read_icd9_procedures
from datagen.graph.icd10pcs import read_icd10pcs
from datagen.graph.joins import MAX_SOURCES
from datagen.graph.merge import merge
from datagen.graph.obo import read_obo
from datagen.graph.primekg import read_primekg
from datagen.graph.tables import KnowledgeGraph
from datagen.graph.umls import read_umls

_READERS: dict[str, Callable[..., KnowledgeGraph]] = {
    read.__name__.removeprefix("read_"): read
    for read in (
        read_abbreviations, read_atc, read_babelon, read_bios, read_builtin, read_disease_symptom, read_drugbank,
        read_hpoa, read_icd10cm, read_icd10pcs, read_icd9_procedures, read_obo, read_primekg, read_sssom, read_umls,
        read_xrefs,
    )
}  # fmt: skip
"""By the name of the format."""


class GraphSource(BaseModel):
    """One graph: the built-in one, or a file or folder (docs/knowledge_graphs.md)."""

    model_config = ConfigDict(extra="forbid")

    format: str
    path: Path | None = None
    languages: Annotated[tuple[str, ...] | None, Field(min_length=1)] = None
    """ISO 639-1 codes, the one for preferred terms first; English alone where the format has the choice."""
    sources: tuple[str, ...] | None = None
    """The UMLS source vocabularies (SAB) to keep; all of them by default."""

    @field_validator("format")
    @classmethod
    def _is_known(cls, name: str) -> str:
        if name not in _READERS:
            raise ValueError(f"no such format; choose one of {', '.join(_READERS)}")
        return name

    @model_validator(mode="after")
    def _fits_the_format(self) -> "GraphSource":
        if (self.path is None) != (self.format == "builtin"):
            raise ValueError("a path goes with every format but builtin")
        unknown = self._options().keys() - signature(_READERS[self.format]).parameters.keys()
        if unknown:
            raise ValueError(f"the format {self.format} does not take {' or '.join(sorted(unknown))}; leave it out")
        return self

    def _options(self) -> dict[str, Any]:
        return self.model_dump(include={"languages", "sources"}, exclude_none=True)

    def read(self) -> KnowledgeGraph:
        """The graph of this source alone. Raises ValueError naming the file and what to do."""
        read = _READERS[self.format]
        try:
            return read(self.path, **self._options()) if self.path else read()
        except ValueError as error:
            named = not self.path or str(self.path) in str(error)
            raise ValueError(str(error) if named else f"{self.path}: {error}") from None


class GraphSettings(BaseModel):
    """The graphs to match with; they are merged, and the earlier ones decide on ids and preferred terms."""

    sources: list[GraphSource] = Field(default=[GraphSource(format="builtin")], min_length=1, max_length=MAX_SOURCES)

    def read(self) -> tuple[KnowledgeGraph, dict[str, Any]]:
        """All sources as one graph, and a report ready for JSON: bad rows, what the merge joined, refused and dropped.

        Raises ValueError naming the file and what to do.
        """
        graphs, sources = [], []
        for source in self.sources:
            with bad_rows() as bad:
                graphs.append(source.read())
            path, concepts = str(source.path or ""), graphs[-1].concepts.num_rows
            sources.append({"format": source.format, "path": path, "concepts": concepts, "bad_rows": asdict(bad)})
        merged, report = merge(graphs)
        return merged, {"sources": sources, **report}
