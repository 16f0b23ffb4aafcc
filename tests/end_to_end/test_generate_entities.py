"""Stage 2 with a language model behind an endpoint that misbehaves, killed, mended: no row is lost, nothing leaks."""

import json
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.end_to_end.language_model import NAMES, LanguageModel
from tests.end_to_end.ray_metrics import metrics_while

CANARY = "ZQXCANARYWORD"
TROUBLES = ["garbage", "refused", "busy", "slow", "truncated"]
KINDS = 3


@pytest.fixture
def model():
    server = LanguageModel()
    yield server
    server.stop()


@pytest.fixture
def ray_folder():
    """Unix socket paths are short: pytest's own temporary folder would be too long."""
    folder = tempfile.mkdtemp(prefix="drehr-")
    yield Path(folder)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def generate(command, tmp_path, model):
    def generate(*overrides, **environment):
        settings = {
            "store.path": tmp_path / "store",
            "built_graph.path": tmp_path / "graph",
            "output.path": tmp_path / "records",
            "annotator.engine.url": model.url,
            "annotator.task": "entities",
        }
        words = [f"{key}={value}" for key, value in settings.items()] + list(overrides)
        sets = [word for override in words for word in ("--set", override)]
        python = [sys.executable, "-m", "ray_jobs.generate_entities"]
        return command(*python, "--config", "recipes/stage2_endpoint.yaml", *sets, **environment)

    return generate


def note(bed, words="with pneumonia and on furosemide"):
    return f"{CANARY} in bed {bed}. Admitted {words}. " + "The night was quiet. " * 12


def records(folder):
    lines = (folder / "records.jsonl").read_text().splitlines()
    return {record["idx"]: record["entities"] for record in map(json.loads, lines)}


def errors(folder):
    rows = map(json.loads, (folder / "errors.jsonl").read_text().splitlines())
    return {row["call_id"]: row["reason"] for row in rows}


def test_a_misbehaving_endpoint_loses_no_row_and_quotes_no_note(prepare, generate, model, ray_folder, tmp_path):
    troubled = [note(bed, f"with pneumonia, trouble {trouble}") for bed, trouble in enumerate(TROUBLES)]
    prepare([*troubled, *(note(bed) for bed in range(len(TROUBLES), 20))])
    settings = ["annotator.engine.timeout_s=1", "annotator.engine.tries=2", "annotator.tries=2"]
    settings += ["annotator.engine.input_price=1", "annotator.engine.output_price=2"]
    run = generate(*settings, RAY_TMPDIR=str(ray_folder))
    seen = metrics_while(run, ray_folder)
    assert run.wait() == 0, run.output()
    output = tmp_path / "records"

    found = records(output)
    assert all(found[f"n{bed}_0"] == ["pneumonia", "furosemide"] for bed in range(len(TROUBLES), 20))
    assert found["n2_0"] == ["pneumonia"], "a 429 is waited out"
    assert not {"n0_0", "n1_0", "n3_0", "n4_0"} & set(found)
    reasons = {"n0_0": "garbage", "n1_0": "refused_request", "n3_0": "timeout", "n4_0": "truncated"}
    expected = {
        f"{chunk}:entities:{kind}": why
        for chunk, why in reasons.items()
        for kind in ("diagnosis", "procedure", "prescription")
    }
    assert errors(output) == expected
    assert model.calls[1, "diagnoses"] == 1, "what cannot succeed is not asked again"

    report = json.loads((output / "report.json").read_text())
    assert report["language_model"]["share_errors"] == pytest.approx(12 / 60)
    tokens = report["language_model"]["prompt_tokens"], report["language_model"]["output_tokens"]
    assert report["language_model"]["price"] == pytest.approx((tokens[0] + 2 * tokens[1]) / 1e6)
    assert re.search(r"calls answered: [\d,]+ of 60", run.output())

    logs = [file for file in ray_folder.rglob("*") if file.is_file() and not file.is_symlink()]
    assert len(logs) > 20
    answers = tmp_path / "records_answers"
    told = [f / name for f in (output, answers) for name in ("manifest.json", "errors.jsonl")]
    told += [answers / "usage.json", run.log, *logs]
    assert [str(file) for file in told if CANARY.encode() in file.read_bytes()] == []
    assert CANARY not in seen

    model.is_healed, asked = True, dict(model.calls)
    mended = generate(*settings, "only_errors=true")
    assert mended.wait() == 0, mended.output()
    assert errors(output) == {}
    assert records(output)["n0_0"] == ["pneumonia"]
    spent = json.loads((output / "report.json").read_text())["language_model"]
    assert spent["prompt_tokens"] > tokens[0], "what the first run took is counted too"
    assert {key for key, calls in model.calls.items() if calls != asked[key]} == {
        (bed, kind) for bed in (0, 1, 3, 4) for kind in NAMES
    }
    assert records(output).keys() == {f"n{bed}_0" for bed in range(20)}


@pytest.mark.long
def test_a_killed_run_goes_on_and_ends_with_every_row(prepare, generate, model, tmp_path):
    notes = 150
    model.seconds = 0.25
    prepare([note(bed) for bed in range(notes)])
    run = generate("annotator.engine.concurrency=24")
    scratch = tmp_path
    deadline = time.monotonic() + 400
    while not (done := written(scratch)) and time.monotonic() < deadline:
        time.sleep(0.05)
    run.kill()
    done = written(scratch)
    assert 0 < len(done) < KINDS * notes
    assert not (tmp_path / "records").exists()
    asked = dict(model.calls)

    model.seconds = 0.0
    again = generate()
    while len(written(scratch)) < KINDS * notes and again.process.poll() is None:
        time.sleep(0.01)
    again.kill()
    assert not (tmp_path / "records").exists(), "the kill must fall between the last answer and the records"
    last = dict(model.calls)
    assert again_asked(asked, last).isdisjoint(done), "an answer that was written is never asked for again"
    resumed = generate()
    assert resumed.wait() == 0, resumed.output()
    assert dict(model.calls) == last, "nothing is asked after the last answer"
    assert records(tmp_path / "records") == {f"n{bed}_0": ["pneumonia", "furosemide"] for bed in range(notes)}
    manifest = json.loads((tmp_path / "records" / "manifest.json").read_text())["result"]
    assert (manifest["calls"], manifest["answered"], manifest["errors"]) == (KINDS * notes, KINDS * notes, 0)
    assert [path.name for path in tmp_path.glob("records.*")] == []


def written(scratch):
    """The (bed, kind) of the calls whose answers are in whole files."""
    files = [f for f in scratch.glob("records_answers.scratch-*/round-1/done/*.parquet") if ".pending" not in f.name]
    ids = [call for file in files for call in pq.read_table(file)["call_id"].to_pylist()]
    kinds = {"diagnosis": "diagnoses", "procedure": "procedures", "prescription": "prescriptions"}
    return {(int(call[1:].split("_")[0]), kinds[call.split(":")[2]]) for call in ids}


def again_asked(before, after):
    return {key for key, calls in after.items() if calls > before.get(key, 0)}


@pytest.mark.long
def test_an_endpoint_that_is_down_stops_the_job_with_one_line(prepare, generate, model):
    prepare([note(bed) for bed in range(30)])
    model.stop()
    run = generate("annotator.engine.tries=1", "annotator.engine.concurrency=2")
    assert run.wait() == 1
    last = run.output().strip().splitlines()[-1]
    assert re.match(f"error: {model.url}: [0-9]+ calls lost since its last answer, the latest unreachable", last)
    assert "Traceback" not in run.output()


def test_errors_of_an_output_with_other_settings_are_not_mended(prepare, generate, tmp_path):
    prepare([note(bed) for bed in range(3)])
    run = generate("only_errors=true")
    assert run.wait() == 1
    assert (
        run.output()
        .strip()
        .splitlines()[-1]
        .startswith(f"error: {tmp_path / 'records_answers'}: not the finished result")
    )
