"""Which knowledge graph to match with, and where its built form is kept."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field, model_validator

from datagen.graph.builtin import read_builtin
from datagen.graph.obo import read_obo
from datagen.graph.tables import KnowledgeGraph, concatenate


class GraphSource(BaseModel):
    """One graph: the built-in one, or a file."""

    format: Literal["builtin", "obo"]
    path: Path | None = None

    @model_validator(mode="after")
    def _files_have_a_path(self) -> "GraphSource":
        if (self.path is None) != (self.format == "builtin"):
            raise ValueError("a path goes with every format but builtin")
        return self

    def read(self) -> KnowledgeGraph:
        return read_obo(self.path) if self.path else read_builtin()


class GraphSettings(BaseModel):
    """The graphs to match with; their concept ids must differ."""

    sources: list[GraphSource] = Field(default=[GraphSource(format="builtin")], min_length=1)

    def read(self) -> KnowledgeGraph:
        """All sources as one graph. Raises FileNotFoundError or ValueError naming the file."""
        return concatenate([source.read() for source in self.sources])
