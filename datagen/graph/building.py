"""Writes the built form of a knowledge graph (`datagen.graph.artefact`), of tens of millions of terms too."""

import json
import re
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import marisa_trie
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from datagen.graph.artefact import CLOSENESS, FORMAT, normalise
from datagen.graph.folding import fold, is_short_form
from datagen.graph.tables import KnowledgeGraph
from datagen.graph.term_index import write_term_index

_STRINGS_AT_ONCE = 100_000
_NOTATION = re.compile(r"[\[\]{}<>=*^|~]")
"""What is written so is a formula, not words that folding may reduce to others: "[He]" is not "he"."""


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
        (aside / "manifest.json").write_text(json.dumps({"format": FORMAT, **counts}))
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
    scope = pc.index_in(graph.terms["scope"], value_set=pa.array(CLOSENESS)).to_numpy()
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
    capitals_only, closest = np.ones(len(terms), bool), np.full(len(terms), len(CLOSENESS), np.int8)
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
