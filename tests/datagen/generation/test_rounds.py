import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray

from datagen.generation.answer_files import ANSWERS, ERRORS, AnswerTable, failed_calls, tokens, write_answers
from datagen.generation.answers import ANSWER_SCHEMA, answer_row, to_table
from datagen.generation.calls import CALL_SCHEMA, chunk_calls
from datagen.generation.rounds import Engine, ask_in_rounds
from datagen.tasks import load_task

pytestmark = pytest.mark.usefixtures("local_ray")

AT_ONCE = 64
NUMBER = 6 * AT_ONCE + 7


@pytest.fixture
def write_calls():
    task = load_task("questions")
    rows = list(chunk_calls(task, ((f"note_{i}", f"text {i}") for i in range(NUMBER))))

    def write(folder):
        pq.write_table(pa.Table.from_pylist(rows, schema=CALL_SCHEMA), folder / "calls.parquet")

    return write


def fake_engine(asked, reason_of):
    """Answers every call, or fails it for the reason that `reason_of(number of the chunk, try)` gives."""

    def answer(calls):
        rows = []
        for call in calls.to_pylist():
            log = asked / call["chunk_id"]
            tries = len(log.read_text()) if log.exists() else 0
            log.write_text("x" * (tries + 1))
            reason = reason_of(int(call["chunk_id"].split("_")[1]), tries + 1)
            if reason == "crash":
                raise OSError("a worker fails")
            said = {"status": "error" if reason else "ok", "reason": reason, "items": "[]", "is_truncated": False}
            spent = {"prompt_tokens": 10, "cached_tokens": 4, "output_tokens": 2}
            ids = {name: call[name] for name in ("call_id", "chunk_id", "query_id", "variant")}
            rows.append({**ids, **said, **spent})
        return pa.Table.from_pylist(rows, schema=schema)

    schema = ANSWER_SCHEMA

    def ask(calls):
        return calls.map_batches(answer, batch_format="pyarrow", batch_size=None, num_cpus=0.5)

    return Engine(ask, AT_ONCE, lambda: 2)


def run(folder, write_calls, asked, reason_of, tries=3):
    asked.mkdir(exist_ok=True)
    return ask_in_rounds(folder, write_calls, fake_engine(asked, reason_of), tries, "test", lambda *_: None)


def times_asked(asked):
    return {int(log.name.split("_")[1]): len(log.read_text()) for log in asked.iterdir()}


def test_every_call_is_answered_and_asked_once(tmp_path, write_calls):
    rounds = run(tmp_path / "rounds", write_calls, tmp_path / "asked", lambda chunk, tries: "")
    counts = write_answers(rounds, tmp_path)
    assert counts == {"calls": NUMBER, "answered": NUMBER, "truncated": 0, "errors": 0}
    assert times_asked(tmp_path / "asked") == dict.fromkeys(range(NUMBER), 1)
    assert (tmp_path / ERRORS).read_text() == ""


def test_a_failed_call_is_asked_again_and_one_that_cannot_succeed_is_not(tmp_path, write_calls):
    def reason_of(chunk, tries):
        return {0: "truncated" if tries < 3 else "", 1: "timeout", 2: "refused_request"}.get(chunk, "")

    rounds = run(tmp_path / "rounds", write_calls, tmp_path / "asked", reason_of)
    counts = write_answers(rounds, tmp_path)
    asked = times_asked(tmp_path / "asked")
    assert (asked[0], asked[1], asked[2], asked[3]) == (3, 3, 1, 1)
    assert counts["errors"] == 2
    errors = {row["call_id"]: row for row in map(json.loads, (tmp_path / ERRORS).read_text().splitlines())}
    assert errors == {
        "note_1:questions": {"call_id": "note_1:questions", "reason": "timeout", "tries": 3},
        "note_2:questions": {"call_id": "note_2:questions", "reason": "refused_request", "tries": 1},
    }
    assert failed_calls(tmp_path / ANSWERS) == set(errors)
    assert tokens(rounds)["prompt_tokens"] == 10 * (NUMBER + 4), "failed tries are paid for too"


def test_a_run_that_failed_goes_on_from_the_answers_that_are_written(tmp_path, write_calls):
    asked, folder = tmp_path / "asked", tmp_path / "rounds"
    with pytest.raises(ray.exceptions.RayTaskError):
        run(folder, write_calls, asked, lambda chunk, tries: "crash" if chunk == NUMBER - 1 else "")
    done = {
        row["chunk_id"]
        for file in (folder / "round-1" / "done").glob("*.parquet")
        if not file.stem.endswith("pending")
        for row in [{"chunk_id": each.rsplit(":", 1)[0]} for each in pq.read_table(file)["call_id"].to_pylist()]
    }
    assert 0 < len(done) < NUMBER, "the test must interrupt a run that has answers"
    counts = write_answers(run(folder, write_calls, asked, lambda chunk, tries: ""), tmp_path)
    assert counts["answered"] == NUMBER
    again = {f"note_{chunk}" for chunk, times in times_asked(asked).items() if times > 1}
    assert not again & done


def test_a_finished_round_is_not_run_again(tmp_path, write_calls):
    run(tmp_path / "rounds", write_calls, tmp_path / "asked", lambda chunk, tries: "")
    run(tmp_path / "rounds", write_calls, tmp_path / "asked", lambda chunk, tries: "crash")
    assert set(times_asked(tmp_path / "asked").values()) == {1}


def test_a_file_of_answers_that_is_gone_is_noticed(tmp_path, write_calls):
    run(tmp_path / "rounds", write_calls, tmp_path / "asked", lambda chunk, tries: "")
    next((tmp_path / "rounds" / "round-1" / "answers").glob("*.parquet")).unlink()
    with pytest.raises(ValueError, match="round-1: not one answer for each of its 391 calls; remove it"):
        run(tmp_path / "rounds", write_calls, tmp_path / "asked", lambda chunk, tries: "")


def test_a_call_that_is_answered_twice_is_noticed(tmp_path, write_calls):
    def twice(calls):
        return (
            fake_engine(tmp_path, lambda chunk, tries: "")
            .ask(calls)
            .map_batches(lambda answers: pa.concat_tables([answers, answers]), batch_format="pyarrow", batch_size=None)
        )

    with pytest.raises(ValueError, match="round-1: not one answer for each of its 391 calls; remove it"):
        ask_in_rounds(tmp_path / "rounds", write_calls, Engine(twice, AT_ONCE, int), 1, "test", lambda *_: None)


def test_hours_count_with_the_gpus_of_the_run(tmp_path, write_calls):
    (first,) = run(tmp_path / "rounds", write_calls, tmp_path / "asked", lambda chunk, tries: "")
    hours, gpu_hours = first.hours()
    assert hours > 0
    assert gpu_hours == 2 * hours


def test_an_answer_file_that_was_cut_off_is_not_read(tmp_path, write_calls):
    rounds = run(tmp_path / "rounds", write_calls, tmp_path / "asked", lambda chunk, tries: "")
    (tmp_path / "rounds" / "round-1" / "answers" / "killed_000000-0.parquet").write_bytes(b"PAR1 cut")
    assert write_answers(rounds, tmp_path)["calls"] == NUMBER


def test_answers_that_would_not_be_checkpointed_are_refused(tmp_path, write_calls):
    def ask(calls):
        return ray.data.from_items(calls.take_all())  # what is read so goes past the checkpoint

    with pytest.raises(RuntimeError, match="would not be checkpointed"):
        ask_in_rounds(tmp_path / "rounds", write_calls, Engine(ask, AT_ONCE, int), 1, "test", lambda *_: None)


def test_a_lost_answer_never_looks_like_a_whole_result(tmp_path, write_calls):
    def lossy(calls):
        first = calls.map_batches(lambda t: t.slice(0, 1), batch_format="pyarrow", batch_size=None)
        return fake_engine(tmp_path, lambda chunk, tries: "").ask(first)

    with pytest.raises(ValueError, match="round-1: not one answer for each of its 391 calls; remove it"):
        ask_in_rounds(tmp_path / "rounds", write_calls, Engine(lossy, AT_ONCE, int), 1, "test", lambda *_: None)


def test_nothing_answered_is_an_error_that_counts_the_reasons(tmp_path, write_calls):
    rounds = run(tmp_path / "rounds", write_calls, tmp_path / "asked", lambda chunk, tries: "timeout", tries=1)
    with pytest.raises(ValueError, match=f"none of {NUMBER} calls was answered: {NUMBER} error_timeout"):
        write_answers(rounds, tmp_path)


def test_errors_alone_are_asked_again_and_join_the_earlier_answers(tmp_path, write_calls):
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir(), second.mkdir()
    rounds = run(
        tmp_path / "a", write_calls, tmp_path / "asked", lambda chunk, tries: "timeout" if chunk < 5 else "", 1
    )
    write_answers(rounds, first)
    failed = failed_calls(first / ANSWERS)

    def write_failed(folder):
        write_calls(folder)
        file = folder / "calls.parquet"
        calls = pq.read_table(file)
        pq.write_table(calls.filter(pa.array([each in failed for each in calls["call_id"].to_pylist()])), file)

    rounds = run(
        tmp_path / "b", write_failed, tmp_path / "asked2", lambda chunk, tries: "timeout" if chunk == 0 else ""
    )
    counts = write_answers(rounds, second, first / ANSWERS)
    assert (counts["calls"], counts["errors"]) == (NUMBER, 1)
    assert set(times_asked(tmp_path / "asked2")) == set(range(5))


def test_answers_are_looked_up_by_chunk_whatever_its_id_holds(tmp_path, write_calls):
    task = load_task("questions")
    call = {"call_id": "a", "chunk_id": "o'neil_0", "query_id": "", "variant": ""}
    rows = [answer_row(task, {**call, "chunk_id": each}, "timeout") | {"status": "ok"} for each in ("o'neil_0", "b_0")]

    class Given:
        def answers(self):
            yield from to_table(rows).to_batches()

    write_answers([Given()], tmp_path)
    assert set(AnswerTable(tmp_path / ANSWERS).of(["o'neil_0"])) == {"o'neil_0"}
