"""The benchmarks of a training step, at sizes at which they say nothing of speed."""

import pytest

from benchmarks import train_step, training_speed
from encoders.training.model import prepare


@pytest.fixture(scope="module")
def measured(training_folder):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_step, "STEPS", 1)
        return {side: train_step.measure(side, training_folder, 4, 3, "cpu") for side in train_step.SIDES}


@pytest.mark.parametrize("side", [side for side in train_step.SIDES if side != "reference"])
def test_every_side_of_train_step_has_the_losses_of_the_reference(measured, side):
    assert len(set(measured[side].losses)) > 1
    assert measured[side].losses == pytest.approx(measured["reference"].losses, abs=1e-4)


@pytest.mark.parametrize("shape", ["tiny_bert", "tiny_mistral"])
def test_training_speed_trains_a_shape_as_its_recipe_says(training_folder, shape):
    figures = training_speed.measure(shape, training_folder, 1, {"batch_size": 4, "num_pos": 3}, peak_tflops=1)
    assert figures["chunks"] == 4
    assert all(figures[name] > 0 for name in ("step_seconds", "tokens_per_second", "peak_gb", "flop_share"))


def test_multiplications_are_those_to_values_activations_and_trained_weights():
    shape = training_speed.SHAPES["tiny_bert"]
    settings = training_speed.settings_of(shape, {"precision": "fp32"})
    encoder = training_speed.random_encoder(shape, settings, "cpu")
    weights = 2 * (4 * 32 * 32 + 2 * 32 * 64)
    pooler = 32 * 32
    prepare(encoder, settings)
    assert training_speed.flops_per_token(encoder) == 2 * (3 * weights + 2 * pooler)
    lora = settings.model_copy(update={"tuning": "lora"})
    adapted = training_speed.random_encoder(shape, lora, "cpu")
    prepare(adapted, lora)
    adapters = sum(weight.numel() for weight in adapted.parameters() if weight.requires_grad)
    assert isinstance(adapters, int)
    assert training_speed.flops_per_token(adapted) == 2 * (2 * (weights + pooler + adapters) + adapters)
