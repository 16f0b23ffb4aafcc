"""The Ray Data pipeline around vLLM against vLLM's own offline `LLM.chat`: calls per second, and tokens saved.

    python -m benchmarks.generation [--chunks 512] [--data ../shared/data]

The same tiny random model, engine arguments, prompts (the three calls of task `entities` on each chunk, of the open
notes) and sampling on both sides: temperature 0, end of text ignored, 128 output tokens. On both sides the model has
a core for itself, as it has a GPU for itself on a cluster, and everything else shares the other cores. Ray's side is
a round as jobs run it, from calls in files to answers in files with their checkpoint, with and without its tokenise
stage. The sides take turns, three times over; each starts up, answers the calls of 128 chunks unmeasured and then
those of all. Prefix caching is counted on the paper's calls and on the one call that lists all three types. The last
line is JSON.
"""

import argparse
import json
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.open_data import DATA, open_notes
from corpus.chunking import ChunkingSettings, Cleaned, windows
from datagen.engines.vllm import OFFLINE_LIMITS
from datagen.generation.calls import CALL_SCHEMA, chunk_calls
from datagen.tasks import load_task
from tests.tiny_llama import write_tiny_llama

ENGINE: dict[str, Any] = {"dtype": "bfloat16", "enforce_eager": True, **OFFLINE_LIMITS}
MAX_MODEL_LEN = 4096
OUTPUT_TOKENS = 128
SAMPLING: dict[str, Any] = {"temperature": 0.0, "max_tokens": OUTPUT_TOKENS, "ignore_eos": True}
MODEL: dict[str, Any] = {"layers": 4, "size": 256}
MODEL_CORE = 0
WARM_UP_CHUNKS = 128
"""Their calls fill whole batches, so that none of the measured calls is answered with them."""
REPEATS = 3


def open_chunks(data: Path, number: int) -> list[tuple[str, str]]:
    """The first chunks of the open notes, one or two a note, so that they are of many kinds."""
    settings, chunks = ChunkingSettings(), []
    for note in open_notes(data):
        text = Cleaned(note["text"], settings.profile).text
        spans = list(windows(text, settings))[:2]
        chunks += [(f"{note['note_id']}_{i}", text[start:end]) for i, (start, end) in enumerate(spans)]
    return chunks[:number]


def calls_of(chunks: list[tuple[str, str]]) -> list[dict[str, Any]]:
    """The calls of the warm-up and of the turn that is measured, told apart by their `query_id`."""
    return [
        {**row, "query_id": turn, "call_id": f"{turn}:{row['call_id']}"}
        for turn, of in (("warm-up", chunks[:WARM_UP_CHUNKS]), ("measured", chunks))
        for row in chunk_calls(load_task("entities"), of)
    ]


def chat(call: dict[str, Any]) -> list[dict[str, str]]:
    """The messages of a call; its turn stands first, so that none finds another's prompts in the prefix cache."""
    system, user = load_task("entities").messages(call["text"], call["variant"])
    return [{**system, "content": f"{call['query_id']}. {system['content']}"}, user]


def offline(model: str, chunks: list[tuple[str, str]]) -> tuple[float, dict[str, dict[str, int]]]:
    """vLLM by itself: seconds, and what the prefix cache had for either way of asking."""
    from vllm import LLM, SamplingParams

    llm = LLM(model, max_model_len=MAX_MODEL_LEN, enable_prefix_caching=True, **ENGINE)
    for turn in ("warm-up", "measured"):
        chats: Any = [chat(call) for call in calls_of(chunks) if call["query_id"] == turn]
        begun = time.perf_counter()
        llm.chat(chats, SamplingParams(**SAMPLING), use_tqdm=False)
        seconds = time.perf_counter() - begun
    cached = {name: _cached(llm, name, chunks) for name in ("entities", "entities_json")}
    llm.llm_engine.engine_core.shutdown()
    return seconds, cached


def _cached(llm: Any, name: str, chunks: list[tuple[str, str]]) -> dict[str, int]:
    """Prompt tokens of a task's calls, and those of them that the prefix cache had."""
    from vllm import SamplingParams

    llm.llm_engine.reset_prefix_cache()
    task = load_task(name)
    chats = [task.messages(text, variant) for _, text in chunks for variant in task.variants]
    answers = llm.chat(chats, SamplingParams(max_tokens=1), use_tqdm=False)
    prompt = sum(len(answer.prompt_token_ids) for answer in answers)
    return {"calls": len(chats), "prompt": prompt, "cached": sum(answer.num_cached_tokens or 0 for answer in answers)}


def pipeline(tokenise: bool, model: str, chunks: list[tuple[str, str]]) -> tuple[float, dict[str, dict[str, int]]]:
    """A round of generation, checkpoint and answer files included; its second turn's calls wait for the warm-up's."""
    from benchmarks import generation  # of a name that Ray's workers can import
    from datagen.engines import vllm
    from datagen.generation.rounds import Engine, Round
    from ray_jobs.job import ray_session

    settings = vllm.VllmSettings(model=model, device="cpu", max_model_len=MAX_MODEL_LEN, arguments=ENGINE)

    with tempfile.TemporaryDirectory() as temporary, ray_session(), ThreadPoolExecutor(1) as thread:
        folder = Path(temporary)
        begin = folder / "begin"

        def ask(calls: Any) -> Any:
            wait = partial(generation.wait_for_turn, begin=begin)
            # One task waits, not all that would fit.
            waiting = calls.map_batches(
                wait, batch_size=None, batch_format="pyarrow", num_cpus=vllm.STAGE_CPUS, concurrency=1
            )
            completed = vllm.vllm_processor(settings, generation.request, tokenise)(waiting)
            return vllm.vllm_answers(completed, load_task("entities"), settings)

        asking = Round(folder / "round")
        total = asking.prepare(partial(write_calls, chunks))
        warm_up = WARM_UP_CHUNKS * len(load_task("entities").variants)
        work = thread.submit(asking.answer, Engine(ask, vllm.CALLS_AT_ONCE, int), "calls", lambda *_: None)
        _wait_until_written(folder / "round" / "done", warm_up, work)
        begin.touch()
        begun = time.perf_counter()
        _wait_until_written(folder / "round" / "done", total, work)
        seconds = time.perf_counter() - begun
        work.result()
        return seconds, {}


def _wait_until_written(done: Path, rows: int, work: Future[None]) -> None:
    rows_of: dict[Path, int] = {}
    while sum(rows_of.values()) < rows and not work.done():
        time.sleep(0.05)
        rows_of |= {
            file: pq.read_metadata(file).num_rows for file in done.glob("*[0-9].parquet") if file not in rows_of
        }


def wait_for_turn(calls: pa.Table, begin: Path) -> pa.Table:
    while calls["query_id"][0].as_py() == "measured" and not begin.exists():
        time.sleep(0.02)
    return calls


def request(row: dict[str, Any]) -> dict[str, Any]:
    return {"messages": chat(row), "sampling_params": SAMPLING}


def write_calls(chunks: list[tuple[str, str]], folder: Path) -> None:
    """Into one file, which Ray reads in order."""
    pq.write_table(pa.Table.from_pylist(calls_of(chunks), schema=CALL_SCHEMA), folder / "calls.parquet")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chunks", type=int, default=512)
    parser.add_argument("--data", type=Path, default=DATA)
    arguments = parser.parse_args()
    if arguments.chunks < WARM_UP_CHUNKS:
        parser.error(f"--chunks: at least {WARM_UP_CHUNKS}")
    cores = os.sched_getaffinity(0)
    if len(cores) < 2:
        parser.error("needs two cores: one for the model, one for everything else")
    os.environ.update(VLLM_CPU_KVCACHE_SPACE="1", VLLM_LOGGING_LEVEL="ERROR", VLLM_CPU_OMP_THREADS_BIND=str(MODEL_CORE))
    os.sched_setaffinity(0, cores - {MODEL_CORE})
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        chunks = open_chunks(arguments.data, arguments.chunks)
        # With a tokenizer that knows words, as those of real models do: a prompt has hundreds of tokens, not thousands.
        texts = [message["content"] for call in calls_of(chunks) for message in chat(call)]
        model = str(write_tiny_llama(root / "model", texts=texts, tokens=8000, **MODEL))
        sides: dict[str, Callable[..., Any]] = {
            "vllm": offline,
            "tokenise_on": partial(pipeline, True),
            "tokenise_off": partial(pipeline, False),
        }
        seconds: dict[str, list[float]] = {name: [] for name in sides}
        counted: dict[str, dict[str, int]] = {}
        number = len(chunks) * len(load_task("entities").variants)
        for repeat in range(REPEATS):
            for name, side in sides.items():
                with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
                    took, cached = process.submit(side, model, chunks).result()
                seconds[name].append(took)
                counted |= cached
                print(f"{repeat + 1}, {name}: {number / seconds[name][-1]:.1f} calls/s", flush=True)
    middle = {name: median(each) for name, each in seconds.items()}
    three, one = counted["entities"], counted["entities_json"]
    figures = {
        "calls": number,
        **{f"{name}_calls_per_second": round(number / each, 1) for name, each in middle.items()},
        "ratio_vs_vllm": round(middle["vllm"] / min(middle["tokenise_on"], middle["tokenise_off"]), 3),
        "prompt_tokens_three_calls": three["prompt"],
        "cached_share_three_calls": round(three["cached"] / three["prompt"], 3),
        "prompt_tokens_one_call": one["prompt"],
        "cached_share_one_call": round(one["cached"] / one["prompt"], 3),
        "computed_tokens_one_call_to_three": round(
            (one["prompt"] - one["cached"]) / (three["prompt"] - three["cached"]), 3
        ),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
