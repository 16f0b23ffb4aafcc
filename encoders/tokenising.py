"""Training records to tokenised tables on Ray Data, once, before any training step."""

import json
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as pads
import ray

from encoders.encoder import Encoder
from encoders.training_data import CHUNKS, IDS, TERMS

_STRINGS = pa.list_(pa.string())
_STAGED = pa.schema(
    [
        ("idx", pa.string()),
        ("tokens", IDS),
        ("entities", _STRINGS),
        ("concepts", _STRINGS),
        ("true_concepts", _STRINGS),
        ("unreadable_in", pa.string()),
    ]
)
BATCH_ROWS = 1000


def tokenise(records: Path, encoder: str, chunk_tokens: int, term_tokens: int, folder: Path) -> dict[str, int]:
    """Write the tables of `encoders.training_data` for all `*.jsonl` under `records`; their numbers of rows.

    Raises ValueError naming the file for lines that are no training records, or when there is none at all.
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
    # Sorted, so that the order of training does not depend on which worker finished first.
    rows = pads.dataset(staging / "chunks", schema=_STAGED).to_table().sort_by("idx")
    # Found here rather than raised by the worker: Ray Data does not hand on which error it was.
    unreadable = rows["unreadable_in"].drop_null()
    if len(unreadable):
        raise ValueError(
            f"{unreadable[0]}: {len(unreadable)} lines are no training records; each needs a string idx, a string text "
            "and a list of strings as entities, with concepts of the same length where there are any"
        )
    if not len(rows):
        raise ValueError(f"{records}: holds no training records")
    vocabulary = _Vocabulary()
    _write(folder / "chunks.arrow", CHUNKS, vocabulary.number(rows))
    tokens = Encoder.load(encoder).tokenize(list(vocabulary.terms), "query", term_tokens)
    _write(folder / "terms.arrow", TERMS, [vocabulary.table(tokens)])
    shutil.rmtree(staging)
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
    texts = [record.pop("text") for record in good]
    tokens = Encoder.load(encoder).tokenize(texts, "passage", max_tokens) if good else []
    rows = [{**record, "tokens": tokens[i]} for i, record in enumerate(good)]
    return pa.Table.from_pylist([*rows, *({"unreadable_in": path} for path in unreadable)], schema=_STAGED)


def _parse(line: str) -> dict[str, Any] | None:
    """The parts of a record that training reads, or None for a line that is none."""
    try:
        raw = json.loads(line)
        idx, text, entities = raw["idx"], raw["text"], raw["entities"]
    except (ValueError, TypeError, KeyError):
        return None
    # DR.EHR's own files have no concepts: a term is then only itself.
    concepts = raw.get("concepts") or [""] * len(entities if isinstance(entities, list) else [])
    true_concepts = raw.get("true_concepts") or []
    lists = (entities, concepts, true_concepts)
    if not all(isinstance(value, str) and value for value in (idx, text)):
        return None
    if not all(isinstance(each, list) and all(isinstance(item, str) for item in each) for each in lists):
        return None
    if not entities or len(concepts) != len(entities):
        return None
    return {"idx": idx, "text": text, "entities": entities, "concepts": concepts, "true_concepts": true_concepts}


def _write(path: Path, schema: pa.Schema, tables: Iterator[pa.Table] | list[pa.Table]) -> None:
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        for table in tables:
            writer.write_table(table)
