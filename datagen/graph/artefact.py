"""The built form of a knowledge graph: a folder of memory-mapped files that all workers of a node share.

    terms.*           every normalised term -> its key (an int): `datagen.graph.term_index`
    concepts.marisa   every concept id -> its key
    terms.arrow       row = term key: the concepts it may name and how closely it names them
    concepts.arrow    row = concept key: preferred term, semantic types, terms, parents, related concepts
    folded.*          every folded form (`datagen.graph.folding`) -> its key
    folded.arrow      row = key of a folded form: the term it stands for, whether that is only written in capitals
    senses.marisa     every short form of an abbreviation inventory, as written -> its key
    senses.arrow      row = key of a short form: its long forms and how often each was counted
    manifest.json     written last; a folder without it is not finished

Opening maps the files and reads nothing else, so it takes milliseconds whatever the number of terms.
"""

import json
import re
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import marisa_trie
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from datagen.graph.folding import fold, is_short_form
from datagen.graph.tables import SCOPES, KnowledgeGraph
from datagen.graph.term_index import TermIndex, write_term_index

_FORMAT = 2
_STRINGS_AT_ONCE = 100_000
_NOTATION = re.compile(r"[\[\]{}<>=*^|~]")
"""What is written so is a formula, not words that folding may reduce to others: "[He]" is not "he"."""
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
    preferred, others = graph.concepts["preferred_term"], graph.terms["term"]
    ids = graph.concepts["concept_id"]
    terms = write_term_index(folder, "terms", _normalised(preferred, others))
    concepts = marisa_trie.Trie(_values(ids))
    concepts.save(str(folder / "concepts.marisa"))

    own_key = np.fromiter((concepts[concept] for concept in _values(ids)), np.int32, len(ids))

    def keys(column: pa.ChunkedArray) -> np.ndarray:
        return own_key[pc.index_in(column, value_set=ids).to_numpy()]

    n_names = len(preferred) + len(others)
    term = np.fromiter((terms[name] if name else -1 for name in _normalised(preferred, others)), np.int32, n_names)
    concept = np.concatenate([own_key, keys(graph.terms["concept_id"])])
    scope = pc.index_in(graph.terms["scope"], value_set=pa.array(_CLOSENESS)).to_numpy()
    closeness = np.concatenate([np.zeros(len(preferred)), scope]).astype(np.int8)
    folded = _write_folded(folder, terms, term, closeness, _values(preferred, others))
    named = term >= 0
    term, concept, closeness = term[named], concept[named], closeness[named]
    closest = _closest_of_each_pair(term, concept, closeness)
    term, concept, closeness = term[closest], concept[closest], closeness[closest]

    _save(
        folder / "terms.arrow",
        concepts=_lists(term, concept, len(terms), order=closeness),
        closeness=_lists(term, closeness, len(terms), order=closeness),
    )
    row_of_key = pa.array(np.argsort(own_key))
    heads, tails = keys(graph.relations["head"]), keys(graph.relations["tail"])
    first = np.sort(np.unique(heads * np.int64(len(concepts)) + tails, return_index=True)[1])
    _save(
        folder / "concepts.arrow",
        preferred_term=preferred.take(row_of_key).combine_chunks(),
        semantic_types=graph.concepts["semantic_types"].take(row_of_key).combine_chunks(),
        terms=_lists(concept, term, len(concepts), order=closeness),
        parents=_lists(keys(graph.is_a["child"]), keys(graph.is_a["parent"]), len(concepts)),
        related=_lists(heads[first], tails[first], len(concepts)),
    )
    _write_senses(folder, graph.senses)
    return {
        "terms": len(terms),
        "concepts": len(concepts),
        "longest_term": max(map(len, terms.iterkeys())),
        "longest_folded": max(map(len, folded.iterkeys()), default=0),
    }


def _write_folded(
    folder: Path, terms: marisa_trie.Trie, term: np.ndarray, closeness: np.ndarray, written: Iterator[str]
) -> marisa_trie.Trie:
    """Folded forms (`datagen.graph.folding`), each with the term that it stands for.

    Of the terms that fold alike it stands for one that is not only written in capitals, the closest, the shortest.
    """
    in_capitals = np.fromiter((is_short_form(name) for name in written), bool, len(term))
    capitals_only, closest = np.ones(len(terms), bool), np.full(len(terms), len(_CLOSENESS), np.int8)
    named = term >= 0
    capitals_only[term[named & ~in_capitals]] = False
    np.minimum.at(closest, term[named], closeness[named])
    lengths = np.fromiter((len(terms.restore_key(key)) for key in range(len(terms))), np.int32, len(terms))

    def forms() -> Iterator[str]:
        for key in range(len(terms)):
            name = terms.restore_key(key)
            yield "" if _NOTATION.search(name) else name if capitals_only[key] else fold(name)

    folded = write_term_index(folder, "folded", forms())
    form = np.fromiter((folded.get(form, -1) for form in forms()), np.int32, len(terms))
    order = np.lexsort((lengths, closest, capitals_only, form))
    order = order[form[order] >= 0]
    first = order[np.unique(form[order], return_index=True)[1]]
    _save(
        folder / "folded.arrow",
        term=pa.array(first, pa.int32()),
        capitals_only=pa.array(capitals_only[first].astype(np.uint8)),
    )
    return folded


def _write_senses(folder: Path, senses: pa.Table) -> None:
    short_forms = marisa_trie.Trie(_values(senses["short_form"]))
    short_forms.save(str(folder / "senses.marisa"))
    rows = np.fromiter((short_forms[short] for short in _values(senses["short_form"])), np.int32, len(senses))
    counts = senses["count"].to_numpy()
    by_row = pa.array(np.lexsort((-counts, rows)))
    long_forms = pa.array([normalise(form) for form in _values(senses["long_form"].take(by_row))], pa.string())
    offsets = pa.array(np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(short_forms)))]), pa.int32())
    _save(
        folder / "senses.arrow",
        long_forms=pa.ListArray.from_arrays(offsets, long_forms),
        counts=pa.ListArray.from_arrays(offsets, pa.array(counts[by_row.to_numpy()], pa.int64())),
    )


def _values(*columns: pa.ChunkedArray) -> Iterator[str]:
    """The strings of the columns, a chunk at a time: a graph of tens of millions never lies in Python at once."""
    for column in columns:
        for chunk in column.chunks:
            for start in range(0, len(chunk), _STRINGS_AT_ONCE):
                yield from chunk.slice(start, _STRINGS_AT_ONCE).to_pylist()


def _normalised(*columns: pa.ChunkedArray) -> Iterator[str]:
    return map(normalise, _values(*columns))


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


class Sense(NamedTuple):
    """What an inventory says that a short form may stand for, normalised; how often it was counted, 0 if not said."""

    long_form: str
    uses: int


class BuiltGraph:
    """Look-ups in a built graph. Pickles as its folder, so workers map the same files.

    Methods that take a concept id raise KeyError for one that the graph does not hold.
    """

    def __init__(self, folder: Path, longest_term: int, longest_folded: int) -> None:
        self.folder = folder
        self.terms = TermIndex(folder, "terms", longest_term)
        """All normalised terms."""
        self.folded_terms = TermIndex(folder, "folded", longest_folded)
        """All folded forms."""
        self._terms = self.terms.trie
        self._concepts = marisa_trie.Trie().mmap(str(folder / "concepts.marisa"))
        terms, concepts = _mapped(folder / "terms.arrow"), _mapped(folder / "concepts.arrow")
        self._concepts_of, self._closeness = _Lists(terms["concepts"]), _Lists(terms["closeness"])
        self._terms_of, self._parents = _Lists(concepts["terms"]), _Lists(concepts["parents"])
        self._related = _Lists(concepts["related"])
        self._preferred_term, self._semantic_types = concepts["preferred_term"], concepts["semantic_types"]
        forms = _mapped(folder / "folded.arrow")
        self._folded_term, self._folded_capitals = forms["term"].to_numpy(), forms["capitals_only"].to_numpy()
        self._short_forms = marisa_trie.Trie().mmap(str(folder / "senses.marisa"))
        senses = _mapped(folder / "senses.arrow")
        self._long_forms, self._counts = senses["long_forms"], senses["counts"]

    @classmethod
    def open(cls, folder: Path) -> "BuiltGraph":
        """Map a folder that `build_graph` wrote; ValueError if it is missing, unfinished or of another format."""
        try:
            manifest = json.loads((folder / "manifest.json").read_text())
            if manifest["format"] != _FORMAT:
                raise ValueError(f"{folder}: built in format {manifest['format']}, not {_FORMAT}; build it again")
            return cls(folder, manifest["longest_term"], manifest["longest_folded"])
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
        key = self._terms.get(normalise(term))
        return () if key is None else self._ids(self._concepts_of[key])

    def folded_term(self, form: str) -> tuple[str, bool]:
        """The term that a folded form stands for and whether it is only ever written in capitals.

        Raises KeyError for a form that the graph does not hold.
        """
        key = self.folded_terms.trie[form]
        return self._terms.restore_key(int(self._folded_term[key])), bool(self._folded_capitals[key])

    def senses(self, short_form: str) -> tuple[Sense, ...]:
        """What a short form, as written, may stand for, most counted first; none for an unknown one."""
        key = self._short_forms.get(short_form)
        if key is None:
            return ()
        return tuple(map(Sense, self._long_forms[key].as_py(), self._counts[key].as_py()))

    def is_abbreviation(self, term: str) -> bool:
        """Whether the term is known as an abbreviation and as nothing closer."""
        key = self._terms.get(normalise(term))
        return key is not None and self._closeness[key][0] == _CLOSENESS.index("abbreviation")

    def terms_of(self, concept: str) -> tuple[str, ...]:
        """The concept's normalised terms: the preferred one first, then by closeness of scope."""
        return tuple(self._terms.restore_key(key) for key in self._terms_of[self._concepts[concept]])

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
