"""Training records to tokenised tables on Ray Data, once, before any training step."""

import shutil
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as pads
import ray

from encoders.training.settings import TrainingSettings
from encoders.training.tables import BATCH_ROWS, STAGED, stage_records, write_tables


def tokenise(records: Path, encoder: str, settings: TrainingSettings, folder: Path) -> dict[str, int]:
    """Write the tables of `encoders.training.data` for all `*.jsonl` under `records`; their numbers of rows.

    Raises ValueError naming the file for lines that are no training records, or when there is none at all.
    """
    staging = folder / "staging"
    staging.mkdir()
    files = sorted(records.glob("*.jsonl")) if records.is_dir() else [records]
    if not files:
        raise ValueError(f"{records}: holds no training records (*.jsonl)")
    stage = partial(_stage_batch, encoder=encoder, max_tokens=settings.chunk_tokens)
    ray.data.read_text([str(file) for file in files], include_paths=True).map_batches(
        stage, batch_size=BATCH_ROWS, batch_format="pandas"
    ).write_parquet(str(staging / "chunks"))
    # Bad lines are found here rather than raised by the worker: Ray Data does not hand on which error it was.
    rows = pads.dataset(staging / "chunks", schema=STAGED).to_table()
    if not len(rows):
        raise ValueError(f"{records}: holds no training records")
    counts = write_tables(rows, encoder, settings, folder)
    shutil.rmtree(staging)
    return counts


def _stage_batch(batch: Any, encoder: str, max_tokens: int) -> pa.Table:
    return stage_records(list(batch["text"]), list(batch["path"]), encoder, max_tokens)
