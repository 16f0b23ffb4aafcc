"""An encoder made ready for training: adapters, gradient checkpointing, and the workers it is spread over."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.nn.parallel import DistributedDataParallel

from encoders.encoder import Encoder
from encoders.lora import add_lora
from encoders.training.settings import TrainingSettings
from encoders.training.workers import Workers


class Model(NamedTuple):
    """What is trained."""

    encoder: Encoder
    forward: Callable[..., torch.Tensor]
    """The encoder as data-parallel training calls it."""
    without_sync: Callable[[], AbstractContextManager[None]] = nullcontext
    """While it is on, gradients stay on their worker."""


def prepare(encoder: Encoder, settings: TrainingSettings) -> None:
    """Freeze what is not trained, and add what is. Raises RefusedError where no layer can be adapted."""
    # BERT's own pooling head takes no part; data-parallel training would wait for its gradient.
    if (pooler := getattr(encoder.transformer, "pooler", None)) is not None:
        pooler.requires_grad_(False)
    if settings.tuning == "lora":
        torch.manual_seed(settings.seed)  # adapters begin at random
        add_lora(encoder, settings.lora)
        if settings.freezes_bf16:
            for weight in encoder.parameters():
                weight.data = weight.data if weight.requires_grad else weight.data.bfloat16()
    if settings.dropout is not None:
        modules: Iterable[Any] = encoder.modules()
        for module in modules:
            if isinstance(module, torch.nn.Dropout):
                module.p = settings.dropout
            elif isinstance(getattr(module, "attention_dropout", None), float):  # of decoders' attention
                module.attention_dropout = settings.dropout
    if settings.precision == "bf16" and encoder.transformer.device.type == "cpu":
        # The backward pass of torch's fused attention takes four times as long as the plain one here.
        encoder.transformer.set_attn_implementation("eager")
    if settings.gradient_checkpointing:
        encoder.transformer.gradient_checkpointing_enable({"use_reentrant": False})


def spread(encoder: Encoder, settings: TrainingSettings, workers: Workers) -> Model:
    """Over the workers, who all begin with the same weights."""
    encoder.train()
    if settings.sharding == "fsdp":
        bf16 = settings.precision == "bf16"
        policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32) if bf16 else None
        options: dict[str, Any] = {"mp_policy": policy} if policy else {}
        for layer in next(each for each in encoder.modules() if isinstance(each, torch.nn.ModuleList)):
            fully_shard(layer, **options)
        fully_shard(encoder, **options)
        # Never without sync: gradients that are not shared out would be whole on every worker.
        return Model(encoder, encoder)
    if workers.world == 1:
        return Model(encoder, encoder)
    spread_out = DistributedDataParallel(encoder)
    return Model(encoder, spread_out, spread_out.no_sync)
