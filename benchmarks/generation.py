"""The Ray Data pipeline around vLLM against vLLM's own offline `LLM.chat`: calls per second, and tokens saved.

    python -m benchmarks.generation [--chunks 512] [--data ../shared/data]

The same tiny random model, engine arguments, prompts (task `entities`, diagnoses, on chunks of the open notes) and
sampling on both sides: temperature 0, end of text ignored, 128 output tokens. Ray's side is a round as jobs run it,
from calls in files to answers in files with their checkpoint, its tokenise stage tried on and off. All engines are
started and warmed up first and stay up; then they take turns, three times over. Prefix caching is counted on the
paper's calls (a chunk's three types) and on the one call that lists them all. The last line is JSON.
"""

import argparse
import json
import multiprocessing
import os
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.open_data import DATA, open_notes
from corpus.chunking import ChunkingSettings, Cleaned, windows
from datagen.generation.calls import CALL_SCHEMA, chunk_calls
from datagen.tasks import load_task
from tests.tiny_llama import write_tiny_llama

ENGINE: dict[str, Any] = {"dtype": "bfloat16", "enforce_eager": True, "max_num_seqs": 256}
MAX_MODEL_LEN = 4096
OUTPUT_TOKENS = 128
SAMPLING: dict[str, Any] = {"temperature": 0.0, "max_tokens": OUTPUT_TOKENS, "ignore_eos": True}
WARM_UP = 128
"""As many as engines are given together, so that no batch waits for two turns."""
TURNS = 3


def open_chunks(data: Path, number: int) -> list[tuple[str, str]]:
    """The first chunks of the open notes, one or two a note, so that they are of many kinds."""
    settings, chunks = ChunkingSettings(), []
    for note in open_notes(data):
        text = Cleaned(note["text"], settings.profile).text
        spans = list(windows(text, settings))[:2]
        chunks += [(f"{note['note_id']}_{i}", text[start:end]) for i, (start, end) in enumerate(spans)]
    return chunks[:number]


def chat(text: str, turn: int) -> list[dict[str, str]]:
    """The messages of one call; the turn stands first, so that none finds another's prompts in the prefix cache."""
    system, user = load_task("entities").messages(text, "diagnosis")
    return [{**system, "content": f"Turn {turn}. {system['content']}"}, user]


def offline(model: str, chunks: list[tuple[str, str]], orders: Any, times: Any) -> None:
    """vLLM by itself."""
    from vllm import LLM, SamplingParams

    llm = LLM(model, max_model_len=MAX_MODEL_LEN, enable_prefix_caching=True, **ENGINE)
    sampling = SamplingParams(**SAMPLING)
    turn = 0
    while turn is not None:
        chats: Any = [chat(text, turn) for _, text in chunks[: None if turn else WARM_UP]]
        begun = time.perf_counter()
        llm.chat(chats, sampling, use_tqdm=False)
        times.put(time.perf_counter() - begun)
        turn = orders.get()
    times.put({name: _cached(llm, name, chunks) for name in ("entities", "entities_json")})


def _cached(llm: Any, name: str, chunks: list[tuple[str, str]]) -> dict[str, int]:
    """Prompt tokens of a task's calls, and those of them that the prefix cache had."""
    from vllm import SamplingParams

    llm.llm_engine.reset_prefix_cache()
    task = load_task(name)
    chats = [task.messages(text, variant) for _, text in chunks for variant in task.variants]
    answers = llm.chat(chats, SamplingParams(max_tokens=1), use_tqdm=False)
    prompt = sum(len(answer.prompt_token_ids) for answer in answers)
    return {"calls": len(chats), "prompt": prompt, "cached": sum(answer.num_cached_tokens or 0 for answer in answers)}


def pipeline(tokenise: bool, model: str, folder: Path, chunks: list[tuple[str, str]], orders: Any, times: Any) -> None:
    """A round of generation, checkpoint and answer files included. One run takes all the turns: a row waits for its."""
    from benchmarks.generation import chat  # of a name that Ray's workers can import
    from datagen.engines import vllm
    from datagen.generation.rounds import Engine, Round
    from ray_jobs.job import ray_session

    settings = vllm.VllmSettings(model=model, device="cpu", max_model_len=MAX_MODEL_LEN, arguments=ENGINE)

    def request(row: dict[str, Any]) -> dict[str, Any]:
        while not (folder / row["query_id"]).exists():
            time.sleep(0.02)
        return {"messages": chat(row["text"], int(row["query_id"])), "sampling_params": SAMPLING}

    def ask(calls: Any) -> Any:
        completed = vllm.vllm_processor(settings, request, tokenise)(calls)
        return vllm.vllm_answers(completed, load_task("entities"), settings)

    with ray_session():
        asking = Round(folder / "round")
        engine = Engine(ask, vllm.CALLS_AT_ONCE, int)
        total = asking.prepare(partial(write_calls, chunks))
        counted: set[Path] = set()
        written, wanted, turn = 0, 0, 0
        worker = threading.Thread(target=asking.answer, args=(engine, "bench", lambda *_: None))
        worker.start()
        while turn is not None:
            wanted += len(chunks) if turn else WARM_UP
            begun = time.perf_counter()
            (folder / str(turn)).touch()
            while written < wanted and worker.is_alive():
                time.sleep(0.005)
                new = set((folder / "round" / "done").glob("*[0-9].parquet")) - counted
                counted |= new
                written += sum(pq.read_metadata(file).num_rows for file in new)
            times.put(time.perf_counter() - begun)
            turn = orders.get()
        assert written == total
        worker.join()


def write_calls(chunks: list[tuple[str, str]], folder: Path) -> None:
    """Turn after turn, its number in `query_id`; turn 0 is the warm-up.

    One file, which Ray reads in order: rows of later turns that came first would keep the places of earlier ones.
    """
    rows = [row for row in chunk_calls(load_task("entities"), chunks) if row["variant"] == "diagnosis"]
    calls = [
        {**row, "query_id": str(turn), "call_id": f"{turn}:{row['call_id']}"}
        for turn in range(TURNS + 1)
        for row in rows[: None if turn else WARM_UP]
    ]
    pq.write_table(pa.Table.from_pylist(calls, schema=CALL_SCHEMA), folder / "calls.parquet")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chunks", type=int, default=512)
    parser.add_argument("--data", type=Path, default=DATA)
    arguments = parser.parse_args()
    os.environ.update(VLLM_CPU_KVCACHE_SPACE="1", VLLM_LOGGING_LEVEL="ERROR")
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        model = str(write_tiny_llama(root / "model"))
        chunks = open_chunks(arguments.data, arguments.chunks)
        sides: dict[str, Callable[..., None]] = {"vllm": partial(offline, model, chunks)}
        for name, tokenise in (("tokenise_on", True), ("tokenise_off", False)):
            (folder := root / name).mkdir()
            sides[name] = partial(pipeline, tokenise, model, folder, chunks)
        queues = {name: (spawn.Queue(), spawn.Queue()) for name in sides}
        # Not daemons: engines have processes of their own.
        running = [spawn.Process(target=side, args=queues[name]) for name, side in sides.items()]
        for process, (_, times) in zip(running, queues.values(), strict=True):
            process.start()
            times.get()
        seconds: dict[str, list[float]] = {name: [] for name in sides}
        for turn in range(1, TURNS + 1):
            for name, (orders, times) in queues.items():
                orders.put(turn)
                seconds[name].append(times.get())
                print(f"round {turn}, {name}: {len(chunks) / seconds[name][-1]:.1f} calls/s", flush=True)
        for orders, _ in queues.values():
            orders.put(None)
        cached = queues["vllm"][1].get()
        for process in running:
            process.join()
    middle = {name: median(each) for name, each in seconds.items()}
    three, one = cached["entities"], cached["entities_json"]
    figures = {
        "chunks": len(chunks),
        **{f"{name}_calls_per_second": round(len(chunks) / each, 1) for name, each in middle.items()},
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
