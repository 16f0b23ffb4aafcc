"""The built form of a knowledge graph: a folder of memory-mapped files that all workers of a node share.

    terms.marisa      every normalised term -> its key (an int)
    concepts.marisa   every concept id -> its key
    terms.arrow       row = term key: the concepts it may name and how closely it names them
    concepts.arrow    row = concept key: preferred term, semantic types, terms, parents, related concepts
    manifest.json     written last; a folder without it is not finished

Opening maps the files and reads nothing else, so it takes milliseconds whatever the number of terms.
"""

import json
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import marisa_trie
import numpy as np
import pyarrow as pa

from datagen.graph.tables import SCOPES, KnowledgeGraph

_FORMAT = 1
_CLOSENESS = ("preferred", *SCOPES)


def normalise(term: str) -> str:
    """The form in which terms are looked up: lower case, one space between words, none around."""
    return " ".join(term.lower().split())


def build_graph(graph: KnowledgeGraph, folder: Path) -> None:
    """Write the built form of `graph` to `folder`, replacing what is there; it appears only once it is complete.

    Raises ValueError if the graph has no concepts.
    """
    if not graph.concepts.num_rows:
        raise ValueError("the knowledge graph has no concepts; there is nothing to build")
    aside = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}")
    aside.mkdir(parents=True)
    try:
        counts = _write(graph, aside)
        (aside / "manifest.json").write_text(json.dumps({"format": _FORMAT, **counts}))
        if folder.exists():
            shutil.rmtree(folder)
        aside.rename(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _write(graph: KnowledgeGraph, folder: Path) -> dict[str, int]:
    preferred = graph.concepts["preferred_term"].to_pylist()
    names = [normalise(term) for term in preferred + graph.terms["term"].to_pylist()]
    terms = marisa_trie.Trie(name for name in names if name)
    concepts = marisa_trie.Trie(graph.concepts["concept_id"].to_pylist())
    terms.save(str(folder / "terms.marisa"))
    concepts.save(str(folder / "concepts.marisa"))

    def keys(column: pa.ChunkedArray) -> np.ndarray:
        return np.fromiter((concepts[concept] for concept in column.to_pylist()), np.int32, len(column))

    own_key = keys(graph.concepts["concept_id"])
    scopes = graph.terms["scope"].to_pylist()
    named = np.array([bool(name) for name in names])
    term = np.fromiter((terms[name] for name in names if name), np.int32)
    concept = np.concatenate([own_key, keys(graph.terms["concept_id"])])[named]
    closeness = np.array([0] * len(preferred) + [_CLOSENESS.index(scope) for scope in scopes], np.int8)[named]
    closest = _closest_of_each_pair(term, concept, closeness)
    term, concept, closeness = term[closest], concept[closest], closeness[closest]

    _save(
        folder / "terms.arrow",
        concepts=_lists(term, concept, len(terms), order=closeness),
        closeness=_lists(term, closeness, len(terms), order=closeness),
    )
    row_of_key = pa.array(np.argsort(own_key))
    heads, tails = keys(graph.relations["head"]), keys(graph.relations["tail"])
    first = np.sort(np.unique(np.stack([heads, tails], axis=1), axis=0, return_index=True)[1])
    _save(
        folder / "concepts.arrow",
        preferred_term=graph.concepts["preferred_term"].take(row_of_key).combine_chunks(),
        semantic_types=graph.concepts["semantic_types"].take(row_of_key).combine_chunks(),
        terms=_lists(concept, term, len(concepts), order=closeness),
        parents=_lists(keys(graph.is_a["child"]), keys(graph.is_a["parent"]), len(concepts)),
        related=_lists(heads[first], tails[first], len(concepts)),
    )
    return {"terms": len(terms), "concepts": len(concepts), "longest_term": max(map(len, names))}


def _closest_of_each_pair(term: np.ndarray, concept: np.ndarray, closeness: np.ndarray) -> np.ndarray:
    """Indices, in the order of the source, that keep each (term, concept) pair once, by its closest naming."""
    order = np.lexsort((closeness, concept, term))
    is_first = np.ones(len(order), bool)
    is_first[1:] = (np.diff(term[order]) != 0) | (np.diff(concept[order]) != 0)
    return np.sort(order[is_first])


def _lists(rows: np.ndarray, values: np.ndarray, n_rows: int, order: np.ndarray | None = None) -> pa.ListArray:
    """`values` gathered into one list a row, by `order` and then by their place in the source."""
    by_row = np.lexsort((rows,) if order is None else (order, rows))
    offsets = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=n_rows))])
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(values[by_row]))


def _save(path: Path, **columns: pa.Array) -> None:
    """As one record batch, so that each column is one stretch of the mapped file."""
    batch = pa.record_batch(columns)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)


class _Lists:
    """A mapped column of int lists."""

    def __init__(self, column: pa.ListArray) -> None:
        self._offsets, self._values = column.offsets.to_numpy(), column.values.to_numpy()

    def __getitem__(self, row: int) -> list[int]:
        return self._values[self._offsets[row] : self._offsets[row + 1]].tolist()


class BuiltGraph:
    """Look-ups in a built graph. Pickles as its folder, so workers map the same files.

    Methods that take a concept id raise KeyError for one that the graph does not hold.
    """

    def __init__(self, folder: Path, longest_term: int) -> None:
        self.folder = folder
        self.longest_term = longest_term
        """The number of characters in the longest term."""
        self.trie = marisa_trie.Trie().mmap(str(folder / "terms.marisa"))
        """All normalised terms, for the matcher."""
        self._concepts = marisa_trie.Trie().mmap(str(folder / "concepts.marisa"))
        terms, concepts = _mapped(folder / "terms.arrow"), _mapped(folder / "concepts.arrow")
        self._concepts_of, self._closeness = _Lists(terms["concepts"]), _Lists(terms["closeness"])
        self._terms_of, self._parents = _Lists(concepts["terms"]), _Lists(concepts["parents"])
        self._related = _Lists(concepts["related"])
        self._preferred_term, self._semantic_types = concepts["preferred_term"], concepts["semantic_types"]

    @classmethod
    def open(cls, folder: Path) -> "BuiltGraph":
        """Map a folder that `build_graph` wrote; ValueError if it is missing, unfinished or of another format."""
        try:
            manifest = json.loads((folder / "manifest.json").read_text())
            if manifest["format"] != _FORMAT:
                raise ValueError(f"{folder}: built in format {manifest['format']}, not {_FORMAT}; build it again")
            return cls(folder, manifest["longest_term"])
        except (OSError, KeyError, json.JSONDecodeError, pa.ArrowInvalid):
            raise ValueError(f"{folder}: not a finished built knowledge graph; build it again") from None

    def __reduce__(self) -> tuple[Any, ...]:
        return BuiltGraph.open, (self.folder,)

    def __contains__(self, concept: str) -> bool:
        return concept in self._concepts

    def concepts(self) -> list[str]:
        """The ids of all concepts."""
        return list(self._concepts)

    def concepts_of(self, term: str) -> tuple[str, ...]:
        """The concepts that the term may name, those it names most closely first; none for an unknown term."""
        key = self.trie.get(normalise(term))
        return () if key is None else self._ids(self._concepts_of[key])

    def is_abbreviation(self, term: str) -> bool:
        """Whether the term is known as an abbreviation and as nothing closer."""
        key = self.trie.get(normalise(term))
        return key is not None and self._closeness[key][0] == _CLOSENESS.index("abbreviation")

    def terms_of(self, concept: str) -> tuple[str, ...]:
        """The concept's normalised terms: the preferred one first, then by closeness of scope."""
        return tuple(self.trie.restore_key(key) for key in self._terms_of[self._concepts[concept]])

    def preferred_term(self, concept: str) -> str:
        """The preferred term as the source writes it."""
        return self._preferred_term[self._concepts[concept]].as_py()

    def semantic_types(self, concept: str) -> tuple[str, ...]:
        return tuple(self._semantic_types[self._concepts[concept]].as_py())

    def parents(self, concept: str) -> tuple[str, ...]:
        """The concepts one is_a step up."""
        return self._ids(self._parents[self._concepts[concept]])

    def ancestors(self, concept: str) -> tuple[str, ...]:
        """All concepts up the is_a hierarchy, nearest first, without the concept itself."""
        return self._ids(list(self._ancestor_keys(self._concepts[concept])))

    def related(self, concept: str) -> tuple[str, ...]:
        """The tails of the relations whose head is the concept, each once."""
        return self._ids(self._related[self._concepts[concept]])

    def _ancestor_keys(self, concept: int) -> Iterator[int]:
        seen = {concept}
        level = [concept]
        while level:
            level = list(dict.fromkeys(p for c in level for p in self._parents[c] if p not in seen))
            seen.update(level)
            yield from level

    def _ids(self, keys: list[int]) -> tuple[str, ...]:
        return tuple(self._concepts.restore_key(key) for key in keys)


def _mapped(path: Path) -> dict[str, pa.Array]:
    batch = pa.ipc.open_file(pa.memory_map(str(path))).get_batch(0)
    return dict(zip(batch.schema.names, batch.columns, strict=True))
