"""Training records, tokenised once by Ray Data, as memory-mapped Arrow tables.

`chunks.arrow` has a row a record: idx, its token ids, the ids of its terms, the ids of every concept true of it.
`terms.arrow` has a row a distinct term: its token ids and the ids of the concepts it names.
"""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as pads
import ray

from encoders.encoder import Encoder

_IDS = pa.list_(pa.int32())
CHUNKS = pa.schema([("idx", pa.string()), ("tokens", _IDS), ("terms", _IDS), ("concepts", _IDS)])
TERMS = pa.schema([("term", pa.string()), ("tokens", _IDS), ("concepts", _IDS)])
_STRINGS = pa.list_(pa.string())
_STAGED = pa.schema(
    [
        ("idx", pa.string()),
        ("tokens", _IDS),
        ("entities", _STRINGS),
        ("concepts", _STRINGS),
        ("true_concepts", _STRINGS),
        ("unreadable_in", pa.string()),
    ]
)
BATCH_ROWS = 1000


class TrainingData:
    """The two tables, mapped. Rows are looked up by number."""

    def __init__(self, folder: Path) -> None:
        self._chunks = _map(folder / "chunks.arrow")
        self._terms = _map(folder / "terms.arrow")

    def __len__(self) -> int:
        return len(self._chunks)

    def idx(self, row: int) -> str:
        return self._chunks["idx"][row].as_py()

    def chunk_tokens(self, row: int) -> list[int]:
        return self._chunks["tokens"][row].as_py()

    def chunk_terms(self, row: int) -> np.ndarray:
        """Ids of all terms of the record, int32 (terms,)."""
        return self._chunks["terms"][row].values.to_numpy()

    def chunk_concepts(self, row: int) -> np.ndarray:
        """Ids of the concepts true of the chunk, int32 (concepts,)."""
        return self._chunks["concepts"][row].values.to_numpy()

    def term_tokens(self, term: int) -> list[int]:
        return self._terms["tokens"][term].as_py()

    def term_concepts(self, term: int) -> np.ndarray:
        """Ids of the concepts that the term names, int32 (concepts,)."""
        return self._terms["concepts"][term].values.to_numpy()


def tokenise(records: Path, encoder: str, chunk_tokens: int, term_tokens: int, folder: Path) -> dict[str, int]:
    """Write the two tables of all `*.jsonl` under `records` into `folder`; how many chunks and terms they hold.

    Raises ValueError naming the file for a line that is no training record, or when there is none at all.
    """
    staging = folder / "staging"
    staging.mkdir()
    files = sorted(records.glob("*.jsonl")) if records.is_dir() else [records]
    if not files:
        raise ValueError(f"{records}: holds no training records (*.jsonl)")
    # One weights file, read once a worker; the batches are large enough that it does not show.
    tokenise_batch = partial(_tokenise_batch, encoder=encoder, max_tokens=chunk_tokens)
    ray.data.read_text([str(file) for file in files], include_paths=True).map_batches(
        tokenise_batch, batch_size=BATCH_ROWS, batch_format="pandas"
    ).write_parquet(str(staging / "chunks"))
    vocabulary = _Vocabulary()
    staged = pads.dataset(staging / "chunks", schema=_STAGED)
    # Sorted, so that the order of training does not depend on which worker finished first.
    rows = staged.to_table().sort_by("idx")
    # Found here rather than raised by the worker: Ray Data does not hand on which error it was.
    unreadable = rows["unreadable_in"].drop_null()
    if len(unreadable):
        raise ValueError(
            f"{unreadable[0]}: {len(unreadable)} lines are no training records; "
            "each needs idx, text and a list of entities"
        )
    if not len(rows):
        raise ValueError(f"{records}: holds no training records")
    _write(folder / "chunks.arrow", CHUNKS, vocabulary.number(rows))
    tokens = Encoder.load(encoder).tokenize(list(vocabulary.terms), "query", term_tokens)
    _write(folder / "terms.arrow", TERMS, [vocabulary.table(tokens)])
    for path in sorted(staging.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    staging.rmdir()
    return {"chunks": len(rows), "terms": len(vocabulary.terms)}


class _Vocabulary:
    """Numbers terms and concepts in order of first appearance."""

    def __init__(self) -> None:
        self.terms: dict[str, int] = {}
        self._concepts: dict[str, int] = {}
        self._concepts_of_term: list[set[int]] = []

    def number(self, rows: pa.Table) -> Iterator[pa.Table]:
        for batch in rows.to_batches(max_chunksize=BATCH_ROWS):
            numbered = [self._number_row(row) for row in batch.to_pylist()]
            yield pa.Table.from_pylist(numbered, schema=CHUNKS)

    def table(self, tokens: list[list[int]]) -> pa.Table:
        concepts = [sorted(ids) for ids in self._concepts_of_term]
        return pa.table([list(self.terms), tokens, concepts], schema=TERMS)

    def _number_row(self, row: dict[str, Any]) -> dict[str, Any]:
        terms = []
        for entity, concept in zip(row["entities"], row["concepts"], strict=True):
            term = self.terms.setdefault(entity, len(self.terms))
            if term == len(self._concepts_of_term):
                self._concepts_of_term.append(set())
            if concept:
                self._concepts_of_term[term].add(self._concept(concept))
            terms.append(term)
        concepts = sorted(self._concept(concept) for concept in row["true_concepts"])
        return {"idx": row["idx"], "tokens": row["tokens"], "terms": terms, "concepts": concepts}

    def _concept(self, concept: str) -> int:
        return self._concepts.setdefault(concept, len(self._concepts))


def _tokenise_batch(batch: Any, encoder: str, max_tokens: int) -> pa.Table:
    records = [_parse(line) for line in batch["text"]]
    good = [record for record in records if record]
    unreadable = [path for record, path in zip(records, batch["path"], strict=True) if not record]
    tokens = Encoder.load(encoder).tokenize([record["text"] for record in good], "passage", max_tokens) if good else []
    rows = [
        {
            "idx": record["idx"],
            "tokens": tokens[i],
            "entities": record["entities"],
            # DR.EHR's own files have no concepts: a term is then only itself.
            "concepts": record.get("concepts") or [""] * len(record["entities"]),
            "true_concepts": record.get("true_concepts") or [],
        }
        for i, record in enumerate(good)
    ]
    return pa.Table.from_pylist([*rows, *({"unreadable_in": path} for path in unreadable)], schema=_STAGED)


def _parse(line: str) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
        return record if record["text"] and record["idx"] and record["entities"] else None
    except (ValueError, TypeError, KeyError):
        return None


def _write(path: Path, schema: pa.Schema, tables: Iterator[pa.Table] | list[pa.Table]) -> None:
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        for table in tables:
            writer.write_table(table)


def _map(path: Path) -> pa.Table:
    return pa.ipc.open_file(pa.memory_map(str(path))).read_all()
