"""Low-rank adapters on an encoder, and their merging into its weights."""

import peft
import torch

from encoders.encoder import Encoder
from encoders.training.refused import RefusedError
from encoders.training.settings import LoraSettings


def add_lora(encoder: Encoder, settings: LoraSettings) -> None:
    """Freeze the encoder's weights and put trainable adapters beside those of its linear layers that are targets.

    The default targets are those of several architectures, any of which will do. Raises RefusedError naming the layers
    there are where none is a target, or where one that was asked for is not there.
    """
    layers = {
        name.rpartition(".")[2]
        for name, module in encoder.transformer.named_modules()
        if isinstance(module, torch.nn.Linear)
    }
    targets = [name for name in settings.targets if name in layers]
    asked_for = settings.targets != LoraSettings().targets
    if not targets or (asked_for and len(targets) < len(settings.targets)):
        missing = ", ".join(name for name in settings.targets if name not in layers)
        raise RefusedError(
            f"training.lora.targets: no layer is called {missing}; there are {', '.join(sorted(layers))}"
        )
    config = peft.LoraConfig(
        r=settings.r, lora_alpha=settings.alpha, lora_dropout=settings.dropout, target_modules=targets, bias="none"
    )
    encoder.requires_grad_(False)
    encoder.transformer = peft.get_peft_model(encoder.transformer, config)


def merge_lora(encoder: Encoder) -> None:
    """Add the adapters to the weights and take them away; nothing for an encoder without any."""
    if isinstance(encoder.transformer, peft.PeftModel):
        encoder.transformer = encoder.transformer.merge_and_unload()
