"""What a run goes on from: trained weights and optimiser by torch.distributed.checkpoint, and what the loop knows.

Each worker writes its own share; together they can be read by any number of workers.
"""

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
import torch.distributed.checkpoint as dcp
import transformers
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)

from encoders.encoder import Encoder
from encoders.lora import merge_lora
from encoders.spec import resolve
from encoders.training.hard_negatives import Source
from encoders.training.model import prepare
from encoders.training.settings import TrainingSettings

LOOP_FILE, MINED_FILE = "loop.json", "mined.arrow"
PROBES = ("Cr 1.1 -> 3.2 after cath, contrast nephropathy", "pt on lasix for chf", "denies chest pain", "s/p CABG x3")
"""Texts whose vectors say what a number format costs."""
ROUNDED_AWAY = 0.1
"""Of the way that training moved the vectors, the most that an export may lose."""
_TRAINED = StateDictOptions(ignore_frozen_params=True, strict=False)


def save(
    folder: Path, encoder: Encoder, optimizer: torch.optim.Optimizer, loop: dict[str, Any], mined: Source | None
) -> None:
    """Write a checkpoint into a new folder, `loop` as JSON. Every rank calls this, each with a folder of its own."""
    folder.mkdir(parents=True)
    state = {
        "weights": get_model_state_dict(encoder, options=_TRAINED),
        "optimizer": get_optimizer_state_dict(encoder, optimizer, options=_TRAINED),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that there is only one process is no news
        dcp.save(state, checkpoint_id=folder)
    (folder / LOOP_FILE).write_text(json.dumps(loop))
    if mined:
        table = pa.table({"near": mined.near})
        with pa.OSFile(str(folder / MINED_FILE), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write(table)


def load(folder: Path, encoder: Encoder, optimizer: torch.optim.Optimizer) -> tuple[dict[str, Any], Source | None]:
    """Put a checkpoint's state into the encoder and its optimiser; what the loop knew, and the mined negatives."""
    weights = get_model_state_dict(encoder, options=_TRAINED)
    of_optimizer = get_optimizer_state_dict(encoder, optimizer, options=_TRAINED)
    _read(folder, {"weights": weights, "optimizer": of_optimizer})
    set_model_state_dict(encoder, weights, options=_TRAINED)
    set_optimizer_state_dict(encoder, optimizer, of_optimizer, options=_TRAINED)
    mined = None
    if (folder / MINED_FILE).exists():
        with pa.OSFile(str(folder / MINED_FILE)) as file:
            mined = Source("chunks", pa.ipc.open_file(file).read_all()["near"].combine_chunks())
    return json.loads((folder / LOOP_FILE).read_text()), mined


def trained(base: str, folder: Path, settings: TrainingSettings) -> Encoder:
    """The encoder of a checkpoint, adapters merged, with `settings.base_weight` of the base.

    In the base's number format, or in fp32 where that would round away too much of what was learned.
    """
    stored = transformers.AutoConfig.from_pretrained(resolve(base)).dtype or torch.float32
    encoder = _merged(base, folder, settings)
    if stored == torch.float32:
        return encoder
    learned = encoder.encode_passages(PROBES)
    rounded = encoder.in_format(stored).in_format(torch.float32).encode_passages(PROBES)
    moved = np.linalg.norm(learned - Encoder.load(base).encode_passages(PROBES))
    if np.linalg.norm(learned - rounded) <= ROUNDED_AWAY * moved:
        return encoder.in_format(stored)
    return _merged(base, folder, settings)


def _merged(base: str, folder: Path, settings: TrainingSettings) -> Encoder:
    """In fp32."""
    encoder = Encoder.load(base)
    prepare(encoder, settings)
    weights = get_model_state_dict(encoder, options=_TRAINED)
    _read(folder, {"weights": weights})
    set_model_state_dict(encoder, weights, options=_TRAINED)
    encoder.in_format(torch.float32)
    merge_lora(encoder)
    if settings.base_weight:
        with torch.no_grad():
            for weight, own in zip(encoder.parameters(), Encoder.load(base).parameters(), strict=True):
                weight.lerp_(own, settings.base_weight)
    return encoder.eval()


def _read(folder: Path, state: dict[str, Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dcp.load(state, checkpoint_id=folder)
