"""Training records to tokenised tables on Ray Data, once, before any training step."""

import json
import shutil
from collections import defaultdict
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as pads
import ray

from encoders.encoder import Encoder
from encoders.training_data import CHUNKS, IDS, TERMS

_LISTS = dict.fromkeys(("entities", "concepts", "true_concepts"), pa.list_(pa.string()))
_STAGED = pa.schema({"idx": pa.string(), "tokens": IDS, **_LISTS, "unreadable_in": pa.string()})
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
    concepts_of_term = _write_chunks(folder / "chunks.arrow", rows)
    terms = list(concepts_of_term)
    tokens = Encoder.load(encoder).tokenize(terms, "query", term_tokens)
    with pa.OSFile(str(folder / "terms.arrow"), "wb") as sink, pa.ipc.new_file(sink, TERMS) as writer:
        writer.write(pa.table([terms, tokens, list(map(sorted, concepts_of_term.values()))], schema=TERMS))
    shutil.rmtree(staging)
    return {"chunks": len(rows), "terms": len(terms)}


def _write_chunks(path: Path, rows: pa.Table) -> dict[str, set[int]]:
    """Write the rows, terms and concepts numbered in order of first appearance; each term's concepts in that order."""
    terms, concepts = (defaultdict[str, int](count().__next__) for _ in range(2))
    concepts_of_term: defaultdict[str, set[int]] = defaultdict(set)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, CHUNKS) as writer:
        for batch in rows.to_batches(max_chunksize=BATCH_ROWS):
            numbered = batch.to_pylist()
            for row in numbered:
                row["terms"] = [terms[entity] for entity in row["entities"]]
                for entity, concept in zip(row["entities"], row["concepts"], strict=True):
                    concepts_of_term[entity].update({concepts[concept]} if concept else ())
                row["concepts"] = sorted(concepts[concept] for concept in row["true_concepts"])
            writer.write(pa.RecordBatch.from_pylist(numbered, schema=CHUNKS))
    return concepts_of_term


def _tokenise_batch(batch: Any, encoder: str, max_tokens: int) -> pa.Table:
    records = [_parse(line) for line in batch["text"]]
    good = [record for record in records if record]
    bad = [{"unreadable_in": path} for record, path in zip(records, batch["path"], strict=True) if not record]
    texts = [record["text"] for record in good]
    tokens = Encoder.load(encoder).tokenize(texts, "passage", max_tokens) if good else []
    rows = [{**record, "tokens": ids} for record, ids in zip(good, tokens, strict=True)]
    return pa.Table.from_pylist([*rows, *bad], schema=_STAGED)


def _parse(line: str) -> dict[str, Any] | None:
    """The parts of a record that training reads, or None for a line that is none."""
    try:
        raw = json.loads(line)
        idx, text, entities = raw["idx"], raw["text"], raw["entities"]
        # DR.EHR's own files have no concepts: a term is then only itself.
        concepts, true_concepts = raw.get("concepts") or [""] * len(entities), raw.get("true_concepts") or []
    except (ValueError, TypeError, KeyError):
        return None
    lists = (entities, concepts, true_concepts)
    strings = all(isinstance(value, str) and value for value in (idx, text))
    of_strings = all(isinstance(each, list) and all(isinstance(item, str) for item in each) for each in lists)
    if not (strings and of_strings and 0 < len(entities) == len(concepts)):
        return None
    return {"idx": idx, "text": text, "entities": entities, "concepts": concepts, "true_concepts": true_concepts}
