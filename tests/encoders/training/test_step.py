"""The gradient of a batch: however it is cut into parts, tiles and workers, it is the gradient of the whole."""

import socket

import numpy as np
import pytest
import torch
import torch.distributed
import torch.multiprocessing
from torch.nn.modules.module import register_module_forward_pre_hook
from transformers.modeling_layers import GradientCheckpointingLayer

from encoders.encoder import Encoder
from encoders.losses import LOSSES
from encoders.training import objective
from encoders.training.batches import make_batch
from encoders.training.data import TrainingData
from encoders.training.model import prepare, spread
from encoders.training.settings import DistillationSettings, TrainingSettings
from encoders.training.shared_encoding import SharedEncoding
from encoders.training.step import GradientStep, Teacher
from encoders.training.workers import Workers

SETTINGS = TrainingSettings(batch_size=6, num_pos=3, part_tokens=100)


def step(folder, data, settings, teacher=None):
    """The loss of a batch and the gradient of every trained weight."""
    encoder = Encoder.load(str(folder))
    prepare(encoder, settings)
    torch.manual_seed(1)
    for name, weight in encoder.named_parameters():
        if "lora_B" in name:  # zero at first, and so would be the gradient of its other half
            torch.nn.init.normal_(weight, std=0.1)
    workers = Workers.here()
    model = spread(encoder, settings, workers)
    batch = make_batch(data, 1, settings)
    loss = GradientStep(SharedEncoding(model, data, settings, workers), teacher)(batch, 1)
    return loss, {name: full(weight.grad) for name, weight in encoder.named_parameters() if weight.grad is not None}


def full(gradient):
    return gradient.full_tensor() if hasattr(gradient, "full_tensor") else gradient


def same(ours, theirs, **tolerance):
    assert ours[0] == pytest.approx(theirs[0], rel=1e-5)
    assert ours[1].keys() == theirs[1].keys()
    assert any(gradient.abs().max() > 1e-3 for gradient in ours[1].values())
    for name, gradient in ours[1].items():
        torch.testing.assert_close(gradient, theirs[1][name], **(tolerance or {"rtol": 1e-4, "atol": 1e-6}))


def taught(data):
    generator = np.random.default_rng(0)
    sizes = {"chunks": len(data), "terms": data.n_terms}
    vectors = {name: generator.normal(size=(n, 8)) for name, n in sizes.items()}
    return Teacher(**{name: of / np.linalg.norm(of, axis=1, keepdims=True) for name, of in vectors.items()})


@pytest.mark.parametrize("loss", LOSSES)
def test_the_gradient_cache_gives_the_gradient_of_the_whole_batch_with_dropout(tiny_encoder, training_data, loss):
    settings = SETTINGS.model_copy(update={"loss": loss, "dropout": 0.3})
    cached = settings.model_copy(update={"gradient_cache": True})
    whole = step(tiny_encoder, training_data, settings)
    same(step(tiny_encoder, training_data, cached), whole)
    without = settings.model_copy(update={"dropout": 0.0})
    assert step(tiny_encoder, training_data, without)[0] != whole[0], "dropout was on"


def test_parts_do_not_change_the_gradient(tiny_encoder, training_data):
    one = SETTINGS.model_copy(update={"part_tokens": 100_000})
    same(step(tiny_encoder, training_data, SETTINGS), step(tiny_encoder, training_data, one))


@pytest.mark.parametrize("loss", LOSSES)
def test_tiles_do_not_change_the_gradient(tiny_encoder, training_data, loss, monkeypatch):
    settings = SETTINGS.model_copy(update={"loss": loss})
    whole = step(tiny_encoder, training_data, settings)
    monkeypatch.setattr(objective, "TILE", 1)
    same(step(tiny_encoder, training_data, settings), whole)


def test_the_published_loss_on_distinct_terms_is_that_on_every_copy(tiny_encoder, training_data):
    """The reference repeats each chunk's list and encodes every copy, and what other chunks drew are negatives."""
    settings = SETTINGS.model_copy(
        update={"loss": "multi_similarity_as_published", "false_negative_mask": False, "num_pos": 8}
    )
    batch = make_batch(training_data, 1, settings)
    counts = batch.pairs.tile(slice(0, 6))[0].astype(int)
    assert counts.max() > 1, "some term is drawn several times"
    encoder = Encoder.load(str(tiny_encoder))
    prepare(encoder, settings)

    def encode(tokens):
        return encoder(*encoder.pad(tokens, [0] * len(tokens)))

    chunks = encode([training_data.chunk_tokens(row) for row in batch.rows])
    copies = [np.repeat(batch.terms, of_chunk) for of_chunk in counts]
    terms = [encode([training_data.term_tokens(term) for term in each]) for each in copies]
    pull = push = 0.0
    for i, chunk in enumerate(chunks):
        positive = terms[i] @ chunk
        negative = torch.cat([terms[j] for j in range(6) if j != i]) @ chunk
        kept_positive = positive * (positive - 0.1 < negative.max())
        kept_negative = negative * (negative + 0.1 > positive.min())
        pull = pull + torch.exp(-2 * (kept_positive - 0.5)).sum()
        push = push + torch.exp(50 * (kept_negative - 0.5)).sum()
    expected = (torch.log1p(pull) / 2 + torch.log1p(push) / 50) / 6
    expected.backward()
    gradients = {name: weight.grad for name, weight in encoder.named_parameters() if weight.grad is not None}
    same(step(tiny_encoder, training_data, settings), (expected.item(), gradients), rtol=1e-3, atol=1e-5)


def test_distillation_adds_to_the_loss_as_it_weighs(tiny_encoder, training_data):
    weighed = [
        step(tiny_encoder, training_data, SETTINGS.model_copy(update={"distillation": of}), teacher=teacher)[0]
        for of, teacher in (
            (None, None),
            (DistillationSettings(teacher="x", weight=1.0), taught(training_data)),
            (DistillationSettings(teacher="x", weight=3.0), taught(training_data)),
        )
    ]
    assert weighed[1] > weighed[0]
    assert weighed[2] - weighed[0] == pytest.approx(3 * (weighed[1] - weighed[0]), rel=1e-4)


def test_from_its_own_vectors_a_student_learns_nothing(tiny_encoder, training_data):
    encoding = SharedEncoding(
        spread(Encoder.load(str(tiny_encoder)), SETTINGS, Workers()), training_data, SETTINGS, Workers()
    )
    texts = encoding.chunks(range(len(training_data))), encoding.terms(range(training_data.n_terms))
    itself = Teacher(*(encoding.vectors(of) for of in texts))
    taught_by = SETTINGS.model_copy(update={"distillation": DistillationSettings(teacher="x")})
    alone = step(tiny_encoder, training_data, SETTINGS)
    same(step(tiny_encoder, training_data, taught_by, itself), alone, rtol=1e-3, atol=1e-5)


def test_in_bf16_the_gradient_points_where_it_does_in_fp32(tiny_encoder, training_data):
    loss, exact = step(tiny_encoder, training_data, SETTINGS)
    rounded_loss, rounded = step(tiny_encoder, training_data, SETTINGS.model_copy(update={"precision": "bf16"}))
    assert rounded_loss == pytest.approx(loss, rel=0.02)
    assert_rounded(rounded, exact)


def assert_rounded(rounded, exact):
    """Held in fp32, different, and pointing to the same place."""
    assert rounded.keys() == exact.keys()
    assert all(gradient.dtype == torch.float32 and gradient.isfinite().all() for gradient in rounded.values())
    flat = [torch.cat([gradients[name].flatten() for name in exact]) for gradients in (exact, rounded)]
    assert not torch.equal(*flat)
    assert torch.nn.functional.cosine_similarity(*flat, dim=0) > 0.99


ARCHITECTURES = ("bert", "llama", "mistral", "qwen3", "latent")
CHECKPOINTING = {"gradient_checkpointing": True}


def counted_step(*of_step):
    """A step, and how often a layer of the transformer was run for it."""
    runs = []

    def count(module, inputs):
        if isinstance(module, GradientCheckpointingLayer):
            runs.append(module)

    hook = register_module_forward_pre_hook(count)
    try:
        return step(*of_step), len(runs)
    finally:
        hook.remove()


@pytest.mark.parametrize("tuning", ["full", "lora"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_gradient_checkpointing_runs_every_layer_again_for_the_same_gradient(architectures, architecture, tuning):
    encoder, tables = architectures[architecture]
    settings = SETTINGS.model_copy(update={"tuning": tuning, "dropout": 0.1})
    kept, once = counted_step(encoder, TrainingData(tables), settings)
    again, twice = counted_step(encoder, TrainingData(tables), settings.model_copy(update=CHECKPOINTING))
    assert twice == 2 * once > 0
    same(again, kept)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_large_recipes_gradient_is_of_the_adapters_alone_and_points_where_it_does_in_fp32(
    architectures, architecture
):
    encoder, tables = architectures[architecture]
    recipe = {"tuning": "lora", "loss": "multi_similarity_as_published", "false_negative_mask": False, "dropout": 0.0}
    settings = SETTINGS.model_copy(update=recipe)
    loss, exact = step(encoder, TrainingData(tables), settings)
    large = settings.model_copy(update={**CHECKPOINTING, "precision": "bf16"})
    rounded_loss, rounded = step(encoder, TrainingData(tables), large)
    assert rounded_loss == pytest.approx(loss, rel=0.02)
    assert all("lora_" in name for name in rounded)
    assert_rounded(rounded, exact)


LORA, FSDP = ({"tuning": "lora"}, {"sharding": "fsdp"})
VARIANTS = {
    "bert": [
        {},
        {"loss": "multi_similarity_as_published", "false_negative_mask": False},
        {"gradient_cache": True},
        {**FSDP, "gradient_cache": True},
        {"distillation": DistillationSettings(teacher="x")},
    ],
    **{decoder: [{"gradient_checkpointing": True}] for decoder in ("llama", "mistral", "qwen3", "latent")},
}


def cases(architecture):
    """Settings by a name for a file."""
    for number, change in enumerate([*VARIANTS[architecture], FSDP, LORA, {**LORA, **FSDP}]):
        yield f"{architecture}-{number}", SETTINGS.model_copy(update={"dropout": 0.1, **change})


def test_two_workers_have_the_gradient_of_one_on_the_whole_batch_with_dropout(architectures, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(both_workers, (port, architectures, tmp_path), nprocs=2)
    for architecture, folders in architectures.items():
        for name, settings in cases(architecture):
            whole = of_variant(*folders, settings.model_copy(update={"sharding": "ddp"}))
            for rank in range(2):
                same(torch.load(tmp_path / f"{name}-{rank}.pt"), whole)


def of_variant(encoder, tables, settings):
    data = TrainingData(tables)
    return step(encoder, data, settings, taught(data) if settings.distillation else None)


def both_workers(rank, port, architectures, output):
    torch.distributed.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    assert Workers.here().all(rank) == [0, 1]
    for architecture, folders in architectures.items():
        for name, settings in cases(architecture):
            torch.save(of_variant(*folders, settings), output / f"{name}-{rank}.pt")
    torch.distributed.destroy_process_group()
