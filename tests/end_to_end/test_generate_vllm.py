"""Stage 2 on real vLLM engines inside Ray Data, on CPU with tiny Llamas."""

import json
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest

from tests.end_to_end.ray_metrics import metrics_while

CANARY = "ZQXCANARYWORD"
DONE = "output_answers.scratch-*/round-1/done"
NOISE = {"truncated", "wrong_form"}
"""What becomes of an answer that is noise in the form of the schema."""
ON_CPU = ["device=cpu", "arguments={dtype: bfloat16, enforce_eager: true, max_num_seqs: 64}"]


@pytest.fixture
def on_vllm(command, prepare, tmp_path):
    """Starts a job on a store of the given notes, with Ray's files where no other test writes."""
    ray_folder = tempfile.mkdtemp(prefix="drehr-")
    environment = {"VLLM_CPU_KVCACHE_SPACE": "1", "RAY_TMPDIR": ray_folder}

    def start(name, recipe, notes, *overrides):
        prepare(notes)
        places = {"store.path": "store", "output.path": "output"}
        if name == "generate_entities":
            places["built_graph.path"] = "graph"
        settings = [f"{key}={tmp_path / folder}" for key, folder in places.items()]
        sets = [word for override in (*settings, *overrides) for word in ("--set", override)]
        running = command(
            sys.executable, "-m", f"ray_jobs.{name}", "--config", f"recipes/{recipe}.yaml", *sets, **environment
        )
        running.ray_folder = Path(ray_folder)
        return running

    yield start
    shutil.rmtree(ray_folder, ignore_errors=True)


def note(bed, words):
    return f"{CANARY} in bed {bed}. Admitted {words}. " + "The night was quiet. " * 12


def lines(file):
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_stage_2_runs_on_vllm_and_checks_what_the_model_names(on_vllm, pneumonia_llama, tmp_path):
    notes = [note(bed, "with pneumonia" if bed % 2 else "for a routine visit") for bed in range(10)]
    notes.append(" ".join([f"{CANARY}{'supercalifragilistic' * 3}"] * 60))  # longer than the model takes
    engine = [f"annotator.engine.{setting}" for setting in (f"model={pneumonia_llama}", *ON_CPU)]
    run = on_vllm("generate_entities", "stage2_vllm", notes, *engine, "annotator.engine.max_model_len=4000")
    seen = metrics_while(run, run.ray_folder)
    assert run.wait() == 0, run.output()
    records = {record["idx"]: record for record in lines(tmp_path / "output" / "records.jsonl")}
    assert records.keys() == {f"n{bed}_0" for bed in range(1, 10, 2)}
    assert records["n1_0"]["entities"] == ["pneumonia"], "sepsis is said nowhere, and John Smith is a person"
    assert records["n1_0"]["provenance"] == ["llm"]
    report = json.loads((tmp_path / "output" / "report.json").read_text())
    assert (report["counts"]["calls"], report["counts"]["errors"]) == (33, 3)
    failed = lines(tmp_path / "output" / "errors.jsonl")
    assert {(row["call_id"].split(":")[0], row["reason"], row["tries"]) for row in failed} == {
        ("n10_0", "refused_request", 1)
    }
    assert report["counts"]["dropped_identifying"] > 0
    assert report["counts"]["dropped_unsupported"] > 0
    assert report["language_model"]["output_tokens"] == 30 * 4, "three lines and the end of the text"
    logs = [file for file in run.ray_folder.rglob("*") if file.is_file() and not file.is_symlink()]
    told = [f for f in tmp_path.glob("output*/*") if f.name in ("manifest.json", "errors.jsonl", "usage.json")]
    told += [run.log, *logs]
    assert [str(file) for file in told if CANARY.encode() in file.read_bytes()] == []
    assert CANARY not in seen


@pytest.mark.long
def test_stage_2_runs_on_vllm_as_a_submitted_job(cluster, pneumonia_llama, tmp_path):
    notes = tmp_path / "notes.jsonl"
    rows = [{"note_id": f"n{bed}", "patient_id": f"p{bed}", "text": note(bed, "with pneumonia")} for bed in range(300)]
    notes.write_text("".join(json.dumps(row) + "\n" for row in rows))
    store = f"store.path={tmp_path / 'store'}"
    prepared = cluster.submit("prepare_corpus", "prepare_corpus", f"notes.path={notes}", store)
    assert prepared.wait() == 0, prepared.output()
    places = [store, f"built_graph.path={tmp_path / 'graph'}", f"output.path={tmp_path / 'output'}"]
    # Of the machine's memory: the cluster's environment does not say how much vLLM may take.
    arguments = "arguments={dtype: bfloat16, enforce_eager: true, gpu_memory_utilization: 0.2}"
    engine = [f"annotator.engine.{each}" for each in (f"model={pneumonia_llama}", "device=cpu", arguments)]
    run = cluster.submit("generate_entities", "stage2_vllm", *places, *engine)
    assert run.wait(900) == 0, run.output()
    assert re.search(r"calls answered: [\d,]+ of 900", run.output())
    assert len(lines(tmp_path / "output" / "records.jsonl")) == 300
    assert lines(tmp_path / "output" / "errors.jsonl") == []
    assert json.loads((tmp_path / "output" / "report.json").read_text())["samples"]


@pytest.mark.long
def test_a_model_that_cannot_be_loaded_is_one_line(on_vllm, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    engine = [f"engine.{setting}" for setting in (f"model={tmp_path / 'model'}", *ON_CPU)]
    run = on_vllm("annotate", "annotate", [note(1, "with a cough")], *engine, "task=questions")
    assert run.wait() == 1
    assert "error: an engine, or a stage around it, could not start: ValueError: " in run.output()
    assert not (tmp_path / "output").exists()


@pytest.mark.long
def test_an_engine_that_is_killed_is_replaced_and_no_row_is_lost(on_vllm, tiny_llama, tmp_path):
    number = 4000
    notes = [note(bed, "with a cough") for bed in range(number)]
    engine = [f"engine.{setting}" for setting in (f"model={tiny_llama}", *ON_CPU)]
    run = on_vllm("annotate", "annotate", notes, *engine, "task=questions", "tries=1")
    killed, deadline = None, time.monotonic() + 500
    while killed is None and time.monotonic() < deadline:
        assert run.process.poll() is None, run.output()
        if any(tmp_path.glob(f"{DONE}/*.parquet")):
            mine = psutil.Process(run.process.pid).children(recursive=True)
            engines = [process for process in mine if "EngineCore" in process.name() + " ".join(process.cmdline())]
            for process in engines:
                process.kill()
                killed = process.pid
        time.sleep(0.05)
    assert killed, "no engine process was found"
    rest = number - sum(pq.read_metadata(file).num_rows for file in tmp_path.glob(f"{DONE}/*[0-9].parquet"))
    assert rest > number / 2, "the engine was killed too late to show anything"
    assert run.wait(600) == 0, run.output()
    asked = json.loads((tmp_path / "output" / "manifest.json").read_text())["result"]
    errors = lines(tmp_path / "output_answers" / "errors.jsonl")
    assert {row["reason"] for row in errors} <= NOISE, "calls of the dead engine go to the one after it"
    answered = lines(tmp_path / "output" / "questions.jsonl")
    ids = sorted([row["idx"] for row in answered] + [row["call_id"].split(":")[0] for row in errors])
    assert ids == sorted(f"n{bed}_0" for bed in range(number))
    assert asked["calls"] == number


@pytest.mark.long
@pytest.mark.parametrize("task", ["mentions", "questions", "abbreviations"])
def test_decoding_under_a_schema_gives_answers_that_can_be_read(on_vllm, tiny_llama, tmp_path, task):
    notes = [note(bed, "with a cough") for bed in range(20)]
    engine = [f"engine.{setting}" for setting in (f"model={tiny_llama}", *ON_CPU)]
    run = on_vllm("annotate", "annotate", notes, *engine, f"task={task}", "tries=2")
    assert run.wait(600) == 0, run.output()
    errors = {row["reason"] for row in lines(tmp_path / "output_answers" / "errors.jsonl")}
    assert errors <= NOISE
    assert lines(tmp_path / "output" / f"{task}.jsonl")


@pytest.mark.long
def test_a_benchmark_is_judged_by_a_model(on_vllm, tiny_llama, tmp_path):
    from evaluation.benchmark import read_benchmark

    queries = [{"_id": "q1", "text": "pneumonia", "type": "disease"}, {"_id": "q2", "text": "cough", "type": "disease"}]
    (tmp_path / "queries.jsonl").write_text("".join(json.dumps(query) + "\n" for query in queries))
    notes = [note(bed, "with pneumonia" if bed % 2 else "with a cough") for bed in range(30)]
    engine = [f"engine.{setting}" for setting in (f"model={tiny_llama}", *ON_CPU)]
    own = [f"queries.path={tmp_path / 'queries.jsonl'}", "pool=[bm25]", "depth=15", "engine.tensor_parallel=1"]
    run = on_vllm("judge", "judge", notes, *engine, *own, "temperature=1.0")
    assert run.wait(600) == 0, run.output()
    rows = [line.split("\t") for line in (tmp_path / "output" / "qrels.tsv").read_text().splitlines()[1:]]
    assert {query for query, _, _ in rows} <= {"q1", "q2"}
    assert {int(grade) for _, _, grade in rows} <= {0, 1, 2}
    failed = lines(tmp_path / "output" / "errors.jsonl")
    assert len(rows) + len(failed) == 30
    if any(int(grade) for _, _, grade in rows):
        assert read_benchmark(tmp_path / "output").query_ids == ("q1", "q2")
