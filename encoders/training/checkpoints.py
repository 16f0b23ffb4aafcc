"""What a run goes on from: trained weights and optimiser by torch.distributed.checkpoint, and what the loop knows.

Each worker writes its own share; together they can be read by any number of workers.
"""

import json
import warnings
from pathlib import Path
from typing import Any

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
    """The encoder of a checkpoint, adapters merged, with `settings.base_weight` of the base, in its number format."""
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
    stored = transformers.AutoConfig.from_pretrained(resolve(base)).dtype
    return encoder.in_format(stored or torch.float32).eval()


def _read(folder: Path, state: dict[str, Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dcp.load(state, checkpoint_id=folder)
