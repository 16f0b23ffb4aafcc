import contextlib
import socket
from itertools import pairwise
from pathlib import Path

import pytest
import torch
import torch.distributed
import torch.multiprocessing

from encoders.batches import make_batch
from encoders.encoder import Encoder
from encoders.training import BiEncoder, TrainingSettings, batch_loss, learning_rate_factor, load_weights, train
from encoders.training_data import TrainingData

SETTINGS = TrainingSettings(
    epochs=2, batch_size=6, num_pos=3, chunk_tokens=32, checkpoint_steps=3, learning_rate=1e-3, seed=4
)


def weights(encoder):
    return torch.cat([value.flatten() for value in encoder.state_dict().values()])


def gradient(encoder):
    return torch.cat([p.grad.flatten() for p in encoder.parameters() if p.grad is not None])


def run(tiny_encoder, data, tmp_path, settings=SETTINGS, resume=None, stop_at=None):
    """Train; the encoder, the losses and the checkpoints by step."""
    encoder = Encoder.load(str(tiny_encoder))
    losses, checkpoints = [], {}

    def progress(metrics):
        losses.append(metrics["loss"])

    def report(metrics, checkpoint):
        kept = tmp_path / f"step{metrics['step']:.0f}"
        checkpoint.rename(kept)
        checkpoints[metrics["step"]] = kept
        if metrics["step"] == stop_at:
            raise KeyboardInterrupt

    with contextlib.suppress(KeyboardInterrupt):
        train(encoder, data, settings, progress, report, tmp_path / "scratch", resume)
    return encoder, losses, checkpoints


def test_training_lowers_the_loss(tiny_encoder, training_data, tmp_path):
    settings = SETTINGS.model_copy(update={"epochs": 10})
    _, losses, _ = run(tiny_encoder, training_data, tmp_path, settings)
    assert len(losses) == 40
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])


def test_checkpoints_come_after_every_epoch_and_every_set_number_of_steps(tiny_encoder, training_data, tmp_path):
    _, _, checkpoints = run(tiny_encoder, training_data, tmp_path)
    assert sorted(checkpoints) == [3, 4, 6, 8]


def test_a_budget_ends_the_run_within_an_epoch(tiny_encoder, training_data, tmp_path):
    _, losses, checkpoints = run(tiny_encoder, training_data, tmp_path, SETTINGS.model_copy(update={"max_steps": 2}))
    assert len(losses) == 2
    assert list(checkpoints) == [2]


def test_a_resumed_run_ends_bitwise_like_an_uninterrupted_one(tiny_encoder, training_data, tmp_path):
    whole, losses, _ = run(tiny_encoder, training_data, tmp_path / "a")
    _, before, checkpoints = run(tiny_encoder, training_data, tmp_path / "b", stop_at=3)
    resumed, after, _ = run(tiny_encoder, training_data, tmp_path / "c", resume=checkpoints[3])
    assert before + after == losses
    assert torch.equal(weights(resumed), weights(whole))


def test_a_checkpoint_gives_the_weights_back(tiny_encoder, training_data, tmp_path):
    trained, _, checkpoints = run(tiny_encoder, training_data, tmp_path)
    encoder = Encoder.load(str(tiny_encoder))
    load_weights(checkpoints[8], encoder)
    assert torch.equal(weights(encoder), weights(trained))


def test_the_exported_weights_keep_a_share_of_the_base(tiny_encoder, training_data, tmp_path):
    trained, _, checkpoints = run(tiny_encoder, training_data, tmp_path)
    base, mixed = Encoder.load(str(tiny_encoder)), Encoder.load(str(tiny_encoder))
    load_weights(checkpoints[8], mixed, base_weight=0.25)
    torch.testing.assert_close(weights(mixed), 0.75 * weights(trained) + 0.25 * weights(base))


def test_a_batch_that_cannot_be_shared_evenly_is_refused(monkeypatch, tiny_encoder, training_data, tmp_path):
    monkeypatch.setattr("encoders.training._rank_and_world", lambda: (0, 4))
    with pytest.raises(ValueError, match="batch_size=6 cannot be shared evenly by 4 workers"):
        run(tiny_encoder, training_data, tmp_path)


def test_two_workers_have_the_gradient_of_one_on_the_whole_batch(tiny_encoder, training_folder, tmp_path):
    data = TrainingData(training_folder)
    encoder = Encoder.load(str(tiny_encoder))
    batch = make_batch(data, 0, batch_size=6, num_pos=3, seed=0)
    loss = batch_loss(BiEncoder(encoder), encoder, batch)
    loss.backward()
    assert len(batch.term_tokens) % 2 == 1, "an uneven number of terms is the harder case"

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(
        worker_gradient, (port, str(tiny_encoder), str(training_folder), str(tmp_path)), nprocs=2
    )
    for rank in range(2):
        theirs = torch.load(tmp_path / f"rank{rank}.pt")
        assert theirs["loss"] == pytest.approx(loss.item(), rel=1e-5)
        torch.testing.assert_close(theirs["gradient"], gradient(encoder), rtol=1e-4, atol=1e-6)


def worker_gradient(rank, port, encoder_folder, training_folder, output):
    torch.distributed.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    encoder = Encoder.load(encoder_folder)
    model = torch.nn.parallel.DistributedDataParallel(BiEncoder(encoder))
    batch = make_batch(TrainingData(Path(training_folder)), 0, batch_size=6, num_pos=3, seed=0)
    loss = batch_loss(model, encoder, batch)
    loss.backward()
    torch.save({"loss": loss.item(), "gradient": gradient(encoder)}, Path(output) / f"rank{rank}.pt")
    torch.distributed.destroy_process_group()


def test_the_learning_rate_rises_then_falls_to_almost_nothing():
    factors = [learning_rate_factor(step, 100, 0.1) for step in range(100)]
    assert factors[:10] == pytest.approx([0.1 * (i + 1) for i in range(10)])
    assert factors[9] == max(factors) == 1.0
    assert all(after < before for before, after in pairwise(factors[10:]))
    assert 0 < factors[-1] < 0.02
