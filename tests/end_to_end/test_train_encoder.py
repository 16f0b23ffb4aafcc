"""The job `train_encoder` with everything on that it can be asked for, killed after its first checkpoint."""

import json
import re
import time

import pytest
from sentence_transformers import SentenceTransformer

from datagen.graph.building import build_graph
from datagen.graph.settings import GraphSettings
from encoders.training.on_ray import RUN_NAME
from encoders.training.ray_checkpoints import RayCheckpoints
from tests.encoders.conftest import write_tiny_decoder
from tests.evaluation.tiny_benchmark import TINY

CONCEPTS = {"heart failure": "cardiac failure", "pneumonia": "lung infection", "kidney failure": "renal failure"}
STEPS = 60


@pytest.fixture
def inputs(tmp_path):
    """Overrides: tiny records with the licences of their graphs, a graph, a dev benchmark, a raw language model."""
    records = tmp_path / "records"
    records.mkdir()
    with (records / "records.jsonl").open("w") as file:
        for i in range(40):
            named = list(CONCEPTS)[i % 3]
            record = {
                "idx": f"n{i}_0",
                "text": f"note {i}: admitted with {named}",
                "entities": [named, CONCEPTS[named]],
                "concepts": [f"C{i % 3}", f"C{i % 3}"],
                "provenance": ["match", "synonym"],
            }
            file.write(json.dumps(record) + "\n")
    (records / "merge.json").write_text(json.dumps({"sources": [{"format": "builtin"}, {"format": "atc"}]}))
    build_graph(GraphSettings().read()[0], tmp_path / "graph" / "built")
    benchmark = tmp_path / "benchmark"
    benchmark.mkdir()
    for name, text in TINY.items():
        (benchmark / name).write_text(text)
    base = tmp_path / "llama"
    base.mkdir()
    write_tiny_decoder("llama", base)
    return [
        f"base={base}",
        "base_changes={pooling: last_token, append_eos: true, query_prefix: 'Find: ', pools_prefixes: false,"
        " max_query_tokens: 64, max_passage_tokens: 64}",
        f"records.path={records}",
        f"built_graph.path={tmp_path / 'graph'}",
        f"dev_benchmark.path={benchmark}",
        f"vectors.path={tmp_path / 'vectors'}",
        f"output.path={tmp_path / 'encoder'}",
        "training.batch_size=4",
        "training.epochs=10",
        f"training.max_steps={STEPS}",
        "training.dev.every_steps=5",
        "training.tuning=lora",
        "training.distillation={teacher: bundled}",
        "training.hard_negatives={sources: [bm25, encoder, siblings], depth: 3, refresh_steps: 10}",
        "workers={number: 1, cpus: 1}",
    ]


def wait_until(found, command):
    """What `found` gives as soon as it is something."""
    while not (what := found()):
        assert command.process.poll() is None, command.output()
        time.sleep(0.02)
    return what


@pytest.mark.long
def test_a_killed_job_goes_on_from_its_checkpoint_and_says_what_it_made(job, inputs, tmp_path):
    killed = job("train_encoder", "train_encoder", *inputs)
    storage = wait_until(lambda: next(iter(tmp_path.glob("encoder.scratch-*")), None), killed)
    wait_until(lambda: RayCheckpoints(storage / RUN_NAME).whole(), killed)
    killed.kill()
    assert not (tmp_path / "encoder").exists()

    resumed = job("train_encoder", "train_encoder", *inputs)
    assert resumed.wait() == 0, resumed.output()
    steps = [int(step) for step in re.findall(r"step (\d+)/", resumed.output())]
    assert min(steps) > 5, resumed.output()
    assert not storage.exists()
    folder = tmp_path / "encoder"
    assert json.loads((folder / "manifest.json").read_text())["result"]["steps"] <= STEPS
    card = (folder / "README.md").read_text()
    for said in ("ATC is CC BY-NC-SA 4.0", "| chunks | 40 |", "dev benchmark, NDCG@10", "learning_rate", "Find: "):
        assert said in card
    assert any((folder / "tensorboard").iterdir())
    vector = SentenceTransformer(str(folder)).encode_query("pneumonia")
    assert vector.shape == (64,)

    again = job("train_encoder", "train_encoder", *inputs)
    assert again.wait() == 0
    assert "train_encoder: already done" in again.output()
