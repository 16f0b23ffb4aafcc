import contextlib
import json
import shutil
import socket
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
import torch
import torch.distributed
import torch.multiprocessing
from pydantic import ValidationError
from sentence_transformers import SentenceTransformer

from encoders.encoder import Encoder
from encoders.training.checkpoints import trained
from encoders.training.data import IDS, TrainingData
from encoders.training.hard_negatives import Source
from encoders.training.loop import Hooks, TrainingDivergedError, train
from encoders.training.schedule import learning_rate_factor
from encoders.training.settings import DevSettings, HardNegativeSettings, TrainingSettings

SETTINGS = TrainingSettings(
    epochs=2, batch_size=6, num_pos=3, chunk_tokens=32, checkpoint_steps=3, learning_rate=1e-3, seed=4
)


def with_(**change):
    return SETTINGS.model_copy(update=change)


def weights(encoder):
    return torch.cat([value.flatten() for value in encoder.state_dict().values()])


class Run:
    """One training run: the encoder, the metrics of every step, the checkpoints by step."""

    def __init__(self, folder, data, tmp_path, settings=SETTINGS, resume=None, stop_at=None, **hooks):
        self.encoder = Encoder.load(str(folder))
        self.steps, self.checkpoints = [], {}
        tmp_path.mkdir(exist_ok=True)

        def report(metrics, checkpoint):
            self.checkpoints[metrics["step"]] = checkpoint.rename(tmp_path / f"step{metrics['step']:.0f}")
            if metrics["step"] == stop_at:
                raise KeyboardInterrupt

        told = Hooks(report=report, progress=self.steps.append, **hooks)
        with contextlib.suppress(KeyboardInterrupt):
            train(self.encoder, data, settings, told, tmp_path / "scratch", resume)
        self.losses = [metrics["loss"] for metrics in self.steps]


def test_training_lowers_the_loss(tiny_encoder, training_data, tmp_path):
    losses = Run(tiny_encoder, training_data, tmp_path, with_(epochs=10)).losses
    assert len(losses) == 40
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])


def test_checkpoints_come_after_every_epoch_and_every_set_number_of_steps(tiny_encoder, training_data, tmp_path):
    assert sorted(Run(tiny_encoder, training_data, tmp_path).checkpoints) == [3, 4, 6, 8]


def test_a_budget_ends_the_run_within_an_epoch(tiny_encoder, training_data, tmp_path):
    run = Run(tiny_encoder, training_data, tmp_path, with_(max_steps=2))
    assert len(run.losses) == 2
    assert list(run.checkpoints) == [2]


HARD = HardNegativeSettings(sources=["encoder", "siblings"], depth=3, refresh_steps=2)


@pytest.mark.parametrize(
    "change", [{}, {"tuning": "lora"}, {"hard_negatives": HARD}, {"gradient_cache": True}], ids=str
)
def test_a_resumed_run_ends_bitwise_like_an_uninterrupted_one(tiny_encoder, training_data, tmp_path, change):
    settings, n = with_(**change), training_data.n_terms
    near = Source("terms", pa.array([[(term + 1) % n] for term in range(n)], type=IDS))
    hooks = {"sources": [near]} if "hard_negatives" in change else {}
    whole = Run(tiny_encoder, training_data, tmp_path / "a", settings, **hooks)
    stopped = Run(tiny_encoder, training_data, tmp_path / "b", settings, stop_at=3, **hooks)
    resumed = Run(tiny_encoder, training_data, tmp_path / "c", settings, stopped.checkpoints[3], **hooks)
    assert stopped.losses + resumed.losses == whole.losses
    assert torch.equal(weights(resumed.encoder), weights(whole.encoder))
    assert resumed.checkpoints.keys() == {4, 6, 8}


TEXTS = ["heart failure", "pt on lasix for chf"]


@pytest.mark.parametrize("tuning", ["full", "lora"])
@pytest.mark.parametrize("architecture", ["bert", "llama", "mistral", "qwen3"])
def test_an_export_gives_the_vectors_of_what_was_trained_here_and_elsewhere(
    architectures, tmp_path, architecture, tuning
):
    folder, tables = architectures[architecture]
    settings = with_(tuning=tuning, max_steps=3)
    run = Run(folder, TrainingData(tables), tmp_path / "run", settings)
    expected = run.encoder.encode_queries(TEXTS), run.encoder.encode_passages(TEXTS)
    exported = trained(str(folder), run.checkpoints[3], settings)
    exported.save(tmp_path / "export")
    again = Encoder.load(str(tmp_path / "export"))
    theirs = SentenceTransformer(str(tmp_path / "export"))
    sides = (
        (exported.encode_queries(TEXTS), exported.encode_passages(TEXTS)),
        (again.encode_queries(TEXTS), again.encode_passages(TEXTS)),
        (theirs.encode_query(TEXTS), theirs.encode_document(TEXTS)),
    )
    for ours in sides:
        np.testing.assert_allclose(ours[0], expected[0], atol=1e-5)
        np.testing.assert_allclose(ours[1], expected[1], atol=1e-5)
    assert np.abs(Encoder.load(str(folder)).encode_queries(TEXTS) - expected[0]).max() > 1e-3


def test_the_exported_weights_keep_a_share_of_the_base(tiny_encoder, training_data, tmp_path):
    run = Run(tiny_encoder, training_data, tmp_path)
    mixed = trained(str(tiny_encoder), run.checkpoints[8], with_(base_weight=0.25))
    base = Encoder.load(str(tiny_encoder))
    torch.testing.assert_close(weights(mixed), 0.75 * weights(run.encoder) + 0.25 * weights(base))


def test_an_export_has_the_number_format_of_its_base(tiny_encoder, training_data, tmp_path):
    base = Encoder.load(str(tiny_encoder)).bfloat16()
    base.save(tmp_path / "base")
    settings = with_(tuning="lora", precision="bf16", max_steps=1)
    run = Run(tmp_path / "base", training_data, tmp_path / "run", settings)
    trained(str(tmp_path / "base"), run.checkpoints[1], settings).save(tmp_path / "export")
    assert Encoder.load(str(tmp_path / "export"), as_stored=True).transformer.dtype == torch.bfloat16
    assert Encoder.load(str(tmp_path / "export")).transformer.dtype == torch.float32


def test_adapters_that_fit_no_layer_are_refused(tiny_encoder, training_data, tmp_path):
    lora = SETTINGS.lora.model_copy(update={"targets": ["wqkv"]})
    with pytest.raises(ValueError, match=r"lora\.targets: none of wqkv is one of .*query.*value"):
        Run(tiny_encoder, training_data, tmp_path, with_(tuning="lora", lora=lora))


def test_training_stops_after_as_many_scores_without_a_better_one(tiny_encoder, training_data, tmp_path):
    scores = iter([0.5, 0.6, 0.55, 0.6, 0.9])
    settings = with_(epochs=5, checkpoint_steps=None, dev=DevSettings(every_steps=2, patience=2))
    run = Run(tiny_encoder, training_data, tmp_path, settings, score=lambda encoder: {"dev": next(scores)})
    assert [metrics["dev"] for metrics in run.steps if "dev" in metrics and metrics["dev"] > 0] == [0.5, 0.6, 0.55, 0.6]
    assert len(run.steps) == 8
    assert set(run.checkpoints) == {2, 4, 6, 8}


def test_what_was_scored_before_an_interruption_counts_after_it(tiny_encoder, training_data, tmp_path):
    settings = with_(checkpoint_steps=None, dev=DevSettings(every_steps=1, patience=2))
    scores = iter([0.5, 0.4])
    first = Run(
        tiny_encoder, training_data, tmp_path / "a", settings, stop_at=2, score=lambda encoder: {"dev": next(scores)}
    )
    resumed = Run(
        tiny_encoder, training_data, tmp_path / "b", settings, first.checkpoints[2], score=lambda encoder: {"dev": 0.1}
    )
    assert len(resumed.steps) == 1, "the second score in a row without a better one"
    ended = Run(tiny_encoder, training_data, tmp_path / "c", settings, resumed.checkpoints[3], score=lambda encoder: {})
    assert not ended.steps, "killed behind its end, a run does not go on"


def test_a_notice_that_the_machine_goes_away_brings_one_checkpoint_at_once(tiny_encoder, training_data, tmp_path):
    notices = iter([False, True, True, True, True, True, True, True])
    settings = with_(checkpoint_steps=None)
    run = Run(tiny_encoder, training_data, tmp_path, settings, is_preempted=lambda: next(notices))
    assert sorted(run.checkpoints) == [2, 4, 8]


def test_a_loss_that_is_no_number_stops_the_run_naming_the_chunks(tiny_encoder, training_data, tmp_path):
    with pytest.raises(TrainingDivergedError, match=r"step 3: loss nan.*in the chunks n\d\d_0, n\d\d_0.*learning_rate"):
        run_with_damage(tiny_encoder, training_data, tmp_path)
    kept = json.loads((tmp_path / "step2" / "loop.json").read_text())
    assert kept["step"] == 2


def run_with_damage(tiny_encoder, training_data, tmp_path):
    """From the third step on a weight is no number."""
    encoder = Encoder.load(str(tiny_encoder))

    def report(metrics, checkpoint):
        checkpoint.rename(tmp_path / f"step{metrics['step']:.0f}")
        next(encoder.parameters()).data.fill_(torch.nan)

    train(encoder, training_data, with_(checkpoint_steps=2), Hooks(report=report), tmp_path / "scratch")


def test_a_gradient_that_grows_out_of_all_proportion_stops_the_run(tiny_encoder, training_data, tmp_path, monkeypatch):
    monkeypatch.setattr("encoders.training.loop.REMEMBERED", 3)
    monkeypatch.setattr("encoders.training.loop.DIVERGED", 1e-3)
    with pytest.raises(TrainingDivergedError, match=r"diverged in step 4: .*gradient norm"):
        Run(tiny_encoder, training_data, tmp_path)


def test_the_learning_rate_rises_then_falls_to_almost_nothing():
    factors = [learning_rate_factor(step, 100, 0.1) for step in range(100)]
    assert factors[:10] == pytest.approx([0.1 * (i + 1) for i in range(10)])
    assert factors[9] == max(factors) == 1.0
    assert all(after < before for before, after in pairwise(factors[10:]))
    assert 0 < factors[-1] < 0.02


def test_hard_negatives_are_refused_for_a_loss_that_takes_no_notice_of_them():
    with pytest.raises(ValidationError, match="leave out hard_negatives"):
        TrainingSettings(loss="multi_similarity_as_published", hard_negatives=HARD)


FSDP = with_(sharding="fsdp", hard_negatives=HardNegativeSettings(sources=["encoder"], depth=3, refresh_steps=2))


def test_sharded_workers_mine_score_save_and_resume_as_one_process_does(
    tiny_encoder, training_folder, training_data, tmp_path
):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(sharded, (port, tiny_encoder, training_folder, tmp_path), nprocs=2)
    alone = with_(hard_negatives=FSDP.hard_negatives)
    Run(tiny_encoder, training_data, tmp_path / "alone", alone, score=scored)
    ends = [trained(str(tiny_encoder), tmp_path / name / "step8", FSDP) for name in ("alone", "joint")]
    torch.testing.assert_close(weights(ends[1]), weights(ends[0]), rtol=1e-3, atol=1e-4)


def scored(encoder):
    return {"dev": float(np.abs(encoder.encode_queries(["heart failure"])).sum())}


def sharded(rank, port, encoder, folder, output):
    """Three steps, then the rest from the checkpoint of both ranks, which end in one folder."""
    torch.distributed.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    data, resume = TrainingData(folder), None
    for name, stop_at in (("first", 3), ("rest", None)):
        run = Run(encoder, data, output / f"{name}{rank}", FSDP, resume, stop_at, score=scored)
        joint = output / ("joint" if stop_at is None else "stopped") / f"step{stop_at or 8}"
        shutil.copytree(run.checkpoints[stop_at or 8], joint, dirs_exist_ok=True)
        torch.distributed.barrier()
        resume = joint
    torch.distributed.destroy_process_group()
