"""The Grafana board and Prometheus's config, against what a real service, round of calls and training export."""

import json
import re
import time
from pathlib import Path

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray
import yaml

from datagen.engines.base import Completion
from datagen.generation.answers import answer_row, to_table
from datagen.generation.calls import CALL_SCHEMA, chunk_calls
from datagen.generation.rounds import Engine, ask_in_rounds
from datagen.tasks import load_task
from encoders.encoder import Encoder
from encoders.training.data import TrainingData
from encoders.training.loop import Hooks, train
from encoders.training.metrics import TrainingMetrics
from encoders.training.settings import TrainingSettings
from encoders.training.tables import stage_records, write_tables
from serving.application import ServeSettings, deploy, shutdown
from tests.serving.ray_traces import metrics
from tests.serving.tiny_store import make_notes, release_of, write_store

pytestmark = pytest.mark.long

DASHBOARD = Path(__file__).parents[2] / "deploy/dashboard"
BOARD = json.loads((DASHBOARD / "drehr.json").read_text())
PANELS = [panel for panel in BOARD["panels"] if panel["type"] != "row"]
EXPORTED_S = 60
"""Ray exports every 10 s."""


def named_in(expression):
    """The metrics that a PromQL expression names."""
    bare = re.sub(r'"[^"]*"|\{.*?\}|\[.*?\]|\b(by|without|on|ignoring)\s*\(.*?\)', " ", expression)
    return set(re.findall(r"[a-zA-Z_:][\w:]*\b(?!\s*\()", bare))


def unknown(panels, exported):
    """Title and metric of panels that name what is not exported."""
    asked = {(panel["title"], name) for panel in panels for each in panel["targets"] for name in named_in(each["expr"])}
    return {(title, name) for title, name in asked if name not in exported}


@pytest.fixture(scope="module")
def exported(local_ray, serve_port, tmp_path_factory):
    """Names on Ray's Prometheus page while everything is at work."""
    folder, names = tmp_path_factory.mktemp("watched"), set()
    serve_and_lose_an_encoder(folder, serve_port)
    generate(folder)
    train_two_steps(folder)
    deadline = time.monotonic() + EXPORTED_S
    while unknown(PANELS, names) and time.monotonic() < deadline:
        names |= set(re.findall(r"^\w+", metrics(), re.MULTILINE))
        time.sleep(0.5)
    yield names
    shutdown()


def serve_and_lose_an_encoder(folder, port):
    encoder = Encoder.load("bundled")
    write_store(folder / "store", make_notes(2), encoder.fingerprint, encoder.encode_passages)
    release_of(folder / "store", encoder.fingerprint, "bundled", folder / "release", shards=1)
    settings = {"release": {"path": folder / "release"}, "http": {"port": port}, "router": {"deadline_s": 3}}
    url = f"{deploy(ServeSettings.model_validate(settings))}/v1/search"

    def ask():
        return httpx.post(url, json={"query": "asthma"}, timeout=60).status_code

    while ask() != 200:
        time.sleep(0.1)  # a busy machine may be late at first
    names = [each["name"] for each in ray.util.list_named_actors(all_namespaces=True)]
    ray.kill(ray.get_actor(next(name for name in names if "#encoder#" in name), namespace="serve"))
    assert ask() == 503


def generate(folder):
    task = load_task("entities")
    outcomes = ["timeout", Completion("- asthma", False, 10, 2, 0)]

    def write_calls(at):
        calls = list(chunk_calls(task, [("a", "text"), ("b", "text")]))
        pq.write_table(pa.Table.from_pylist(calls, schema=CALL_SCHEMA), at / "calls.parquet")

    def answer(calls):
        return to_table([answer_row(task, call, outcomes[i % 2]) for i, call in enumerate(calls.to_pylist())])

    engine = Engine(lambda calls: calls.map_batches(answer, batch_format="pyarrow", num_cpus=0.5), 64, lambda: 0)
    ask_in_rounds(folder / "rounds", write_calls, engine, 1, "test", lambda *_: None)


def train_two_steps(folder):
    lines = [json.dumps({"idx": f"n{i}", "text": f"note {i}", "entities": ["asthma"]}) for i in range(4)]
    settings = TrainingSettings(batch_size=2, tuning="lora")
    tables = folder / "tables"
    tables.mkdir()
    write_tables(stage_records(lines, [""] * len(lines), "bundled", 16), "bundled", settings, tables)
    hooks = Hooks(report=lambda *_: None, progress=TrainingMetrics().now)
    train(Encoder.load("bundled"), TrainingData(tables), settings, hooks, folder / "checkpoint")


def test_every_panel_names_metrics_that_are_exported(exported):
    assert unknown(PANELS, exported) == set()


def test_a_panel_of_a_metric_that_is_not_exported_is_noticed(exported):
    made_up = [
        {"title": "New", "targets": [{"expr": 'sum by (to) (rate(ray_drehr_made_up_total{to="x"}[5m])) / ray_tasks'}]}
    ]
    assert unknown(made_up, exported) == {("New", "ray_drehr_made_up_total")}


def test_the_board_has_a_row_for_everything_and_asks_the_source_that_is_chosen():
    rows = [panel["title"] for panel in BOARD["panels"] if panel["type"] == "row"]
    assert rows == ["Generation", "Training", "Serving", "Release"]
    assert [each["type"] for each in BOARD["templating"]["list"]] == ["datasource"]
    sources = [part["datasource"] for panel in PANELS for part in (panel, *panel["targets"])]
    assert {each["uid"] for each in sources} == {"${datasource}"}
    ids = [panel["id"] for panel in BOARD["panels"]]
    assert len(ids) == len(set(ids))


def test_prometheus_asks_the_nodes_that_ray_lists():
    (job,) = yaml.safe_load((DASHBOARD / "prometheus.yml").read_text())["scrape_configs"]
    assert job["file_sd_configs"][0]["files"] == ["/tmp/ray/prom_metrics_service_discovery.json"]
