import pytest

from encoders.encoder import Encoder
from encoders.lora import add_lora
from encoders.training.settings import LoraSettings


def adapted(encoder):
    return {name.split(".lora_")[0].rpartition(".")[2] for name, _ in encoder.named_parameters() if "lora_" in name}


def test_the_default_targets_are_those_that_the_architecture_has(tiny_encoder):
    encoder = Encoder.load(str(tiny_encoder))
    add_lora(encoder, LoraSettings())
    assert adapted(encoder) == {"query", "value"}


@pytest.mark.parametrize("targets", [["q_proj"], ["query", "vaule"]])
def test_a_layer_that_was_asked_for_and_is_not_there_is_named(tiny_encoder, targets):
    with pytest.raises(
        ValueError, match=rf"training\.lora\.targets: no layer is called {targets[-1]}; there are .*value"
    ):
        add_lora(Encoder.load(str(tiny_encoder)), LoraSettings(targets=targets))
