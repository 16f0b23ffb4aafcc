import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from datagen.engines.endpoint import EndpointSettings
from datagen.engines.vllm import VllmSettings
from datagen.generation import asking
from datagen.generation.answers import answer_row, to_table
from datagen.generation.asking import ask, read_usage
from datagen.generation.calls import CALL_SCHEMA, chunk_calls
from datagen.generation.rounds import Engine
from datagen.generation.settings import AskSettings
from datagen.tasks import load_task


def settings(**engine):
    return AskSettings(engine=VllmSettings(**{"model": "m", **engine}))


@pytest.mark.parametrize(
    "change",
    [
        {"model": "other"},
        {"max_model_len": 512},
        {"chat_template": {"enable_thinking": False}},
        {"arguments": {"quantization": "fp8"}},
    ],
)
def test_what_changes_an_answer_makes_it_another_run(change):
    assert settings(**change).identity() != settings().identity()


@pytest.mark.parametrize(
    "change",
    [
        {"engines": 8},
        {"tensor_parallel": 4},
        {"gpu_hour_price": 2.0},
        {"arguments": {"gpu_memory_utilization": 0.8, "max_num_seqs": 64}},
    ],
)
def test_tuning_does_not(change):
    assert settings(**change).identity() == settings().identity()


def test_neither_does_where_an_endpoint_stands():
    here, there = (
        AskSettings(engine=EndpointSettings(url=f"http://{host}/v1", model="m")).identity() for host in ("a", "b")
    )
    assert here == there


@pytest.mark.long
@pytest.mark.usefixtures("local_ray")
def test_a_run_without_any_answer_asks_again_the_next_time(tmp_path, monkeypatch):
    task = load_task("questions")

    def write_calls(folder):
        rows = list(chunk_calls(task, [("note_0", "text")]))
        pq.write_table(pa.Table.from_pylist(rows, schema=CALL_SCHEMA), folder / "calls.parquet")

    def engine_for(reason):
        def answer(calls):
            failed = to_table([answer_row(task, call, "timeout") for call in calls.to_pylist()])
            return failed if reason else failed.set_column(4, "status", pa.array(["ok"] * len(failed)))

        def ask(calls):
            return calls.map_batches(answer, batch_format="pyarrow", batch_size=None)

        return lambda self, task: Engine(ask, 8, lambda: 0)

    def run(folder):
        folder.mkdir()
        return ask(task, settings(), write_calls, folder, tmp_path / "scratch", None, lambda *_: None)

    monkeypatch.setattr(asking.AskSettings, "engine_for", engine_for("timeout"))
    with pytest.raises(ValueError, match="none of 1 calls was answered: 1 error_timeout"):
        run(tmp_path / "first")
    monkeypatch.setattr(asking.AskSettings, "engine_for", engine_for(""))
    assert run(tmp_path / "second")["answered"] == 1
    assert read_usage(tmp_path / "second")[0]["answered"] == 1
