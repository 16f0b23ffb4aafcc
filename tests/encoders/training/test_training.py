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
from encoders.lora import merge_lora
from encoders.training import loop
from encoders.training.batches import make_batch
from encoders.training.checkpoints import trained
from encoders.training.data import IDS, TrainingData
from encoders.training.hard_negatives import HardNegatives, Source, by_encoder, mine
from encoders.training.loop import REMEMBERED, Hooks, TrainingDivergedError, train
from encoders.training.model import spread
from encoders.training.schedule import learning_rate_factor
from encoders.training.settings import DevSettings, HardNegativeSettings, TrainingSettings
from encoders.training.shared_encoding import SharedEncoding
from encoders.training.workers import Workers

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


def test_hard_negatives_are_mined_every_few_steps_with_the_weights_of_then(
    tiny_encoder, training_data, tmp_path, monkeypatch
):
    # Two steps are an epoch: every mining is for all terms, so only the weights tell one from the next.
    hard = HardNegativeSettings(sources=["encoder"], depth=3, refresh_steps=2)
    settings = with_(batch_size=12, epochs=3, checkpoint_steps=1, learning_rate=1e-2, hard_negatives=hard)
    batches = []

    def remember(*of_batch):
        batches.append(make_batch(*of_batch))
        return batches[-1]

    monkeypatch.setattr(loop, "make_batch", remember)
    run = Run(tiny_encoder, training_data, tmp_path, settings)
    sources = []
    for step in (0, 2, 4):
        encoder = (
            trained(str(tiny_encoder), run.checkpoints[step], settings) if step else Encoder.load(str(tiny_encoder))
        )
        encoding = SharedEncoding(spread(encoder, settings, Workers()), training_data, settings, Workers())
        pool = np.arange(len(training_data))
        terms = np.arange(training_data.n_terms)
        sources.append(mine(training_data, terms, pool, by_encoder(encoding, pool), hard.depth))
    assert all(before.near != after.near for before, after in pairwise(sources))
    for step, batch in enumerate(batches):
        expected = make_batch(training_data, step, settings, HardNegatives([sources[step // 2]]))
        assert batch.rows.tolist() == expected.rows.tolist()
    stale = [make_batch(training_data, step, settings, HardNegatives(sources[:1])) for step in range(6)]
    assert [batch.rows.tolist() for batch in batches] != [batch.rows.tolist() for batch in stale]


TEXTS = ["heart failure", "pt on lasix for chf"]


@pytest.mark.parametrize("tuning", ["full", "lora"])
@pytest.mark.parametrize("architecture", ["bert", "llama", "mistral", "qwen3", "latent"])
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
    theirs = SentenceTransformer(str(tmp_path / "export"), trust_remote_code=architecture == "latent")
    sides = (
        (exported.encode_queries(TEXTS), exported.encode_passages(TEXTS)),
        (again.encode_queries(TEXTS), again.encode_passages(TEXTS)),
        (theirs.encode_query(TEXTS), theirs.encode_document(TEXTS)),
    )
    for ours in sides:
        np.testing.assert_allclose(ours[0], expected[0], atol=1e-5)
        np.testing.assert_allclose(ours[1], expected[1], atol=1e-5)
    assert np.abs(Encoder.load(str(folder)).encode_queries(TEXTS) - expected[0]).max() > 1e-3


@pytest.mark.parametrize("tuning", ["full", "lora"])
def test_the_exported_weights_keep_a_share_of_the_base(tiny_encoder, training_data, tmp_path, tuning):
    run = Run(tiny_encoder, training_data, tmp_path, with_(tuning=tuning, learning_rate=1e-2))
    mixed = trained(str(tiny_encoder), run.checkpoints[8], with_(tuning=tuning, base_weight=0.25))
    base = Encoder.load(str(tiny_encoder))
    merge_lora(run.encoder)
    assert (weights(run.encoder) - weights(base)).abs().max() > 1e-3
    torch.testing.assert_close(weights(mixed), 0.75 * weights(run.encoder) + 0.25 * weights(base))


def test_an_export_has_the_number_format_of_its_base(tiny_encoder, training_data, tmp_path):
    base = Encoder.load(str(tiny_encoder)).bfloat16()
    base.save(tmp_path / "base")
    settings = with_(tuning="lora", precision="bf16", max_steps=8, learning_rate=1e-2)
    run = Run(tmp_path / "base", training_data, tmp_path / "run", settings)
    trained(str(tmp_path / "base"), run.checkpoints[8], settings).save(tmp_path / "export")
    assert Encoder.load(str(tmp_path / "export"), as_stored=True).transformer.dtype == torch.bfloat16
    assert Encoder.load(str(tmp_path / "export")).transformer.dtype == torch.float32


def test_an_export_stays_in_fp32_where_its_base_s_format_would_round_away_what_was_learned(
    tiny_encoder, training_data, tmp_path
):
    base = Encoder.load(str(tiny_encoder)).bfloat16()
    base.save(tmp_path / "base")
    settings = with_(tuning="lora", precision="bf16", max_steps=1, learning_rate=1e-4)
    run = Run(tmp_path / "base", training_data, tmp_path / "run", settings)
    exported = trained(str(tmp_path / "base"), run.checkpoints[1], settings)
    assert exported.transformer.dtype == torch.float32
    apart = exported.encode_passages(TEXTS) - Encoder.load(str(tmp_path / "base")).encode_passages(TEXTS)
    assert 0 < np.linalg.norm(apart) < 1e-2


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


def test_a_second_notice_after_the_first_was_taken_back_brings_another(tiny_encoder, training_data, tmp_path):
    notices = iter([True, True, False, False, False, True, True, True])
    settings = with_(checkpoint_steps=None)
    run = Run(tiny_encoder, training_data, tmp_path, settings, is_preempted=lambda: next(notices))
    assert sorted(run.checkpoints) == [1, 4, 6, 8]


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
    monkeypatch.setattr("encoders.training.loop.DIVERGED", 1e-3)
    with pytest.raises(TrainingDivergedError, match=r"diverged in step 6: .*gradient norm"):
        Run(tiny_encoder, training_data, tmp_path)


JUMP = REMEMBERED + 20
NOISY = with_(epochs=12, batch_size=4, num_pos=1, dropout=0.3, max_steps=JUMP + 1, checkpoint_steps=JUMP - 1)


def run_with_jump(folder, data, tmp_path, shrunk, resume=None):
    """A noisy run whose gradient grows behind step JUMP; its lengths at all steps."""
    encoder, norms = Encoder.load(str(folder)), []
    tmp_path.mkdir()

    def progress(metrics):
        norms.append(metrics["gradient_norm"])
        if metrics["step"] == JUMP:
            # Of vectors before they are normalised: the loss stays as it is.
            with torch.no_grad():
                for weight in encoder.transformer.encoder.layer[-1].output.LayerNorm.parameters():
                    weight.mul_(shrunk)

    def report(metrics, checkpoint):
        checkpoint.rename(tmp_path / f"step{metrics['step']:.0f}")

    train(encoder, data, NOISY, Hooks(report=report, progress=progress), tmp_path / "scratch", resume)
    return norms


def test_only_a_gradient_of_quite_another_length_stops_a_noisy_run_also_after_a_resume(
    tiny_encoder, training_data, tmp_path
):
    norms = run_with_jump(tiny_encoder, training_data, tmp_path / "first", 3e-4)
    assert len(norms) == JUMP + 1
    assert 20 < norms[JUMP] / np.median(norms[:JUMP]) < 500, "far from usual, and not yet out of all proportion"
    kept = tmp_path / "first" / f"step{JUMP - 1}"
    assert json.loads((kept / "loop.json").read_text())["norms"] == norms[: JUMP - 1][-REMEMBERED:]
    stopped = rf"diverged in step {JUMP + 1}: loss \d.*gradient norm \d"
    with pytest.raises(TrainingDivergedError, match=stopped) as error:
        run_with_jump(tiny_encoder, training_data, tmp_path / "resumed", 1e-6, kept)
    assert ", ".join(make_batch(training_data, JUMP, NOISY).idx) in str(error.value)


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
DROPPING = with_(dropout=0.1)
ADAPTED = with_(sharding="fsdp", tuning="lora", gradient_cache=True)
IN_BF16 = with_(sharding="fsdp", precision="bf16")


@pytest.fixture(scope="module")
def two_workers(tiny_encoder, training_folder, tmp_path_factory):
    """The folder of runs of two workers, and of the one of a single one that they go on from."""
    output = tmp_path_factory.mktemp("two_workers")
    Run(tiny_encoder, TrainingData(training_folder), output / "single", DROPPING, stop_at=3)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(both_workers, (port, tiny_encoder, training_folder, output), nprocs=2)
    return output


def test_sharded_workers_mine_score_save_and_resume_as_one_process_does(
    two_workers, tiny_encoder, training_data, tmp_path
):
    alone = Run(tiny_encoder, training_data, tmp_path, with_(hard_negatives=FSDP.hard_negatives), score=scored)
    assert_same_end(tiny_encoder, alone.checkpoints[8], two_workers / "sharded" / "step8", FSDP)


def test_sharded_adapters_are_saved_resumed_and_merged_as_those_of_one_process(
    two_workers, tiny_encoder, training_data, tmp_path
):
    alone = Run(tiny_encoder, training_data, tmp_path, ADAPTED.model_copy(update={"sharding": "ddp"}))
    assert_same_end(tiny_encoder, alone.checkpoints[8], two_workers / "adapted" / "step8", ADAPTED)


def test_sharded_workers_train_in_bf16_as_one_process_does(two_workers, tiny_encoder, training_data, tmp_path):
    alone = Run(tiny_encoder, training_data, tmp_path, IN_BF16.model_copy(update={"sharding": "ddp"}))
    ends = [
        trained(str(tiny_encoder), checkpoint, IN_BF16).encode_passages(TEXTS)
        for checkpoint in (alone.checkpoints[8], two_workers / "in_bf16" / "step8")
    ]
    moved = np.linalg.norm(ends[0] - Encoder.load(str(tiny_encoder)).encode_passages(TEXTS))
    assert np.linalg.norm(ends[1] - ends[0]) < 0.1 * moved


def test_a_run_goes_on_with_another_number_of_workers(two_workers, tiny_encoder, training_data, tmp_path):
    whole = Run(tiny_encoder, training_data, tmp_path / "whole", DROPPING)
    fewer = Run(tiny_encoder, training_data, tmp_path / "fewer", DROPPING, two_workers / "stopped" / "step3")
    assert fewer.losses == pytest.approx(whole.losses[3:], rel=1e-3)
    for end in (fewer.checkpoints[8], two_workers / "more" / "step8"):
        assert_same_end(tiny_encoder, whole.checkpoints[8], end, DROPPING)


def assert_same_end(base, alone, joint, settings):
    ends = [trained(str(base), checkpoint, settings) for checkpoint in (alone, joint)]
    torch.testing.assert_close(weights(ends[1]), weights(ends[0]), rtol=1e-3, atol=1e-4)


def scored(encoder):
    return {"dev": float(np.abs(encoder.encode_queries(["heart failure"])).sum())}


def both_workers(rank, port, encoder, folder, output):
    """Sharded, three steps and then the rest; then three steps to go on from, and the rest of those of one worker."""
    torch.distributed.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    data = TrainingData(folder)

    def run(name, settings, resume=None, stop_at=None, **hooks):
        """The checkpoint at its end: the shares of both workers in one folder."""
        own = Run(encoder, data, output / f"{name}{rank}", settings, resume, stop_at, **hooks)
        assert own.steps[0]["step"] == (4 if resume else 1)
        end = f"step{stop_at or 8}"
        shutil.copytree(output / f"{name}{rank}" / end, output / name / end, dirs_exist_ok=True)
        torch.distributed.barrier()
        return output / name / end

    run("sharded", FSDP, run("begun", FSDP, stop_at=3, score=scored), score=scored)
    run("adapted", ADAPTED, run("half_adapted", ADAPTED, stop_at=3))
    run("in_bf16", IN_BF16, run("half_in_bf16", IN_BF16, stop_at=3))
    run("stopped", DROPPING, stop_at=3)
    run("more", DROPPING, output / "single" / "step3")
    torch.distributed.destroy_process_group()
