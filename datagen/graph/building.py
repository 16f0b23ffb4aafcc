"""Writes the built form of a knowledge graph (`datagen.graph.artefact`), of tens of millions of terms too."""

import json
import re
import shutil
import uuid
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path

import marisa_trie
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from datagen.graph.artefact import CLOSENESS, FORMAT, normalise
from datagen.graph.folding import fold, is_short_form
from datagen.graph.grouping import lists
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
    folded = _write_folded(folder, lambda: _values(preferred, others), term, closeness)
    closest = _closest_of_each_pair(term, concept, closeness)
    kept = closest[term[closest] >= 0]
    term, concept, closeness = term[kept], concept[kept], closeness[kept]

    _save(
        folder / "terms.arrow",
        concepts=lists(term, pa.array(concept), len(terms), closeness),
        closeness=lists(term, pa.array(closeness), len(terms), closeness),
    )
    row_of_key = pa.array(np.argsort(own_key))
    heads, tails = keys(graph.relations["head"]), keys(graph.relations["tail"])
    first = np.sort(np.unique(heads * np.int64(len(concepts)) + tails, return_index=True)[1])
    _save(
        folder / "concepts.arrow",
        preferred_term=preferred.take(row_of_key).combine_chunks(),
        semantic_types=graph.concepts["semantic_types"].take(row_of_key).combine_chunks(),
        terms=lists(concept, pa.array(term), len(concepts), closeness),
        parents=lists(keys(graph.is_a["child"]), pa.array(keys(graph.is_a["parent"])), len(concepts)),
        related=lists(heads[first], pa.array(tails[first]), len(concepts)),
    )
    _write_senses(folder, graph.senses)
    return {
        "terms": len(terms),
        "concepts": len(concepts),
        "longest_term": max(map(len, terms.iterkeys()), default=0),
        "longest_folded": max(map(len, folded.iterkeys()), default=0),
    }


def _write_folded(
    folder: Path, names: Callable[[], Iterator[str]], term: np.ndarray, closeness: np.ndarray
) -> marisa_trie.Trie:
    """Folded forms (`datagen.graph.folding`) of all names, each with the term that it stands for.

    Of the terms that fold alike it stands for one that is not only written in capitals, the closest, the shortest. A
    name is folded as written and in lower case: a text may write "MELAS syndrome" or "melas syndrome".
    """

    def forms() -> Iterator[tuple[int, str]]:
        for row, name in enumerate(names()):
            if _NOTATION.search(name):
                continue
            written = [name.lower()] if is_short_form(name) else {fold(name): None, fold(name.lower()): None}
            yield from ((row, form) for form in written if form)

    in_capitals = np.fromiter(map(is_short_form, names()), bool, len(term))
    capitals_only = np.ones(int(term.max(initial=-1)) + 1, bool)
    capitals_only[term[(term >= 0) & ~in_capitals]] = False
    lengths = np.fromiter(map(len, names()), np.int32, len(term))
    folded = write_term_index(folder, "folded", (form for _, form in forms()))
    keys, rows = array("i"), array("i")
    for row, form in forms():
        keys.append(folded[form])
        rows.append(row)
    key, row_of_form = np.array(keys, np.int32), np.array(rows, np.int32)
    in_order = np.lexsort((lengths[row_of_form], closeness[row_of_form], capitals_only[term[row_of_form]], key))
    term_of_form = term[row_of_form[in_order[np.unique(key[in_order], return_index=True)[1]]]]
    _save(
        folder / "folded.arrow",
        term=pa.array(term_of_form, pa.int32()),
        capitals_only=pa.array(capitals_only[term_of_form].astype(np.uint8)),
    )
    return folded


def _write_senses(folder: Path, senses: pa.Table) -> None:
    short_forms = marisa_trie.Trie(_values(senses["short_form"]))
    short_forms.save(str(folder / "senses.marisa"))
    rows = np.fromiter((short_forms[short] for short in _values(senses["short_form"])), np.int32, len(senses))
    long_forms, counts = pa.array(_normalised(senses["long_form"]), pa.string()), senses["count"].combine_chunks()
    _save(
        folder / "senses.arrow",
        long_forms=lists(rows, long_forms, len(short_forms), -counts.to_numpy()),
        counts=lists(rows, counts, len(short_forms), -counts.to_numpy()),
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


def _save(path: Path, **columns: pa.Array) -> None:
    """As one record batch, so that each column is one stretch of the mapped file."""
    batch = pa.record_batch(columns)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)
