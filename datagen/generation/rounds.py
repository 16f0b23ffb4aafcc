"""Rounds of calls on Ray Data: an answer that is written is never asked for again, a failed call is asked once more.

    round-1/calls/     every call
    round-1/answers/   one row a call, written as they come
    round-1/done/      Ray Data's checkpoint: the ids of the calls whose answers stand in whole files
    round-2/calls/     the calls of round 1 that failed and may succeed, and so on

Row checkpoints hold only for read -> map -> write into files, so nothing is split or filtered until a round is over.
"""

import re
import shutil
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import ray
import xxhash
from ray.data import DataContext, Dataset
from ray.data.checkpoint import CheckpointConfig
from ray.data.exceptions import ExecutionTimeoutError
from ray.exceptions import ActorDiedError

from datagen.engines.base import EngineDown
from datagen.generation.answers import FINAL_REASONS
from datagen.generation.metrics import COUNTED, AnswerMetrics

MOST_ROWS_A_FILE = 2048
FILES = 500
"""A round's answers are written into about so many files, or into larger ones of at most MOST_ROWS_A_FILE rows: what is
not written yet is what a killed run asks again."""
WRITER_CPUS = 0.25
SECONDS_APART = 2.0
LONGEST_SILENCE_S = 2 * 3600

Progress = Callable[[str, int, int | None], None]
WriteCalls = Callable[[Path], None]
"""Writes the calls as Parquet files into a folder."""


class Engine(NamedTuple):
    """What answers calls."""

    ask: Callable[[Dataset], Dataset]
    """Calls (`CALL_SCHEMA`) to answers (`ANSWER_SCHEMA`), one row each."""
    calls_at_once: int
    """How many are handed over together."""
    gpus: Callable[[], int]
    """How many it takes on the cluster as it is."""


class Round:
    """One round in its folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.calls, self._answers, self._done = folder / "calls", folder / "answers", folder / "done"
        self._times = folder / "times.txt"

    def prepare(self, write_calls: WriteCalls) -> int:
        """Write the calls unless they are there; how many they are."""
        if not self.calls.exists():
            aside = self.calls.with_suffix(".unfinished")
            shutil.rmtree(aside, ignore_errors=True)
            aside.mkdir(parents=True)
            write_calls(aside)
            aside.rename(self.calls)
        return sum(map(_rows, _parquet(self.calls)))

    def answer(self, engine: Engine, name: str, progress: Progress) -> None:
        """Answer every call that has no answer yet.

        Raises EngineDown where nothing comes for long, ValueError where not every call has exactly one answer in the
        end, RuntimeError where Ray Data would work without checkpoints.
        """
        calls = _ids(_parquet(self.calls))
        if len(np.setdiff1d(calls, _ids(self._done_files()))):
            began, gpus = time.monotonic(), engine.gpus()
            try:
                with self._progress(name, len(calls), progress):
                    self._run(engine, len(calls))
            finally:
                with self._times.open("a") as times:
                    times.write(f"{(time.monotonic() - began) / 3600:.5f} {gpus}\n")
        # Of the answers that will be read: should Ray ever lose or repeat one, nothing may look whole.
        if not np.array_equal(np.sort(calls), np.sort(_ids(self._answers_of(self._done_files())))):
            raise ValueError(
                f"{self.folder}: not one answer for each of its {len(calls):,} calls; remove it and run the job again"
            )

    def hours(self) -> tuple[float, float]:
        """How long its runs took, those left out that were killed, and their GPU hours."""
        lines = self._times.read_text().splitlines() if self._times.exists() else []
        runs = [(float(hours), float(hours) * int(gpus)) for hours, gpus in map(str.split, lines)]
        return sum(hours for hours, _ in runs), sum(of_gpus for _, of_gpus in runs)

    def answers(self) -> Iterator[pa.RecordBatch]:
        """The answers, from files that were written whole."""
        for file in self._answers_of(self._done_files()):
            yield from pq.ParquetFile(file).iter_batches()

    def _run(self, engine: Engine, calls: int) -> None:
        context = DataContext.get_current().copy()
        # The answers outlive the checkpoint: a driver killed after its last row must still find both.
        context.checkpoint_config = CheckpointConfig("call_id", str(self._done), delete_checkpoint_on_success=False)
        # Each worker would look through its own memory map every second.
        context.memory_usage_poll_interval_s = None
        # Large models load for long.
        context.execution_no_progress_timeout_s = LONGEST_SILENCE_S
        self._done.mkdir(exist_ok=True)
        with DataContext.current(context), warnings.catch_warnings():
            warnings.filterwarnings("error", message=".*heckpointing will be disabled")
            rows = ray.data.read_parquet(str(self.calls)).repartition(target_num_rows_per_block=engine.calls_at_once)
            rows_a_file = min(MOST_ROWS_A_FILE, calls // FILES) or None
            writer = {"num_cpus": WRITER_CPUS}
            try:
                engine.ask(rows).write_parquet(
                    str(self._answers), min_rows_per_file=rows_a_file, ray_remote_args=writer
                )
            except UserWarning as warning:
                raise RuntimeError(f"answers would not be checkpointed: {warning}") from None
            except ExecutionTimeoutError:
                raise EngineDown(
                    f"nothing was answered for {LONGEST_SILENCE_S / 3600:.0f} h; is there a place for every engine? "
                    "Run the same command again to go on"
                ) from None
            except ActorDiedError as error:
                causes = re.findall(r"^[\w.]*Error: .*", str(error), re.MULTILINE)
                raise EngineDown(
                    f"an engine, or a stage around it, could not start: {(causes or [error])[-1]} "
                    "(what it said before stands further up)"
                ) from None

    def _done_files(self) -> list[Path]:
        return [file for file in _parquet(self._done) if not file.stem.endswith(".pending")]

    def _answers_of(self, done: Iterable[Path]) -> list[Path]:
        """Files of answers that were written whole."""
        stems = {file.stem for file in done}
        return [file for file in _parquet(self._answers) if file.stem.rpartition("-")[0] in stems]

    @contextmanager
    def _progress(self, name: str, total: int, progress: Progress) -> Iterator[None]:
        """Count written answers while Ray Data works."""
        counted, metrics = set(self._done_files()), AnswerMetrics()
        progress(name, sum(map(_rows, counted)), total)
        stop = threading.Event()

        def count() -> None:
            while True:
                last = stop.wait(SECONDS_APART)
                new = [file for file in self._done_files() if file not in counted]
                counted.update(new)
                if new:
                    progress(name, sum(map(_rows, new)), total)
                    for file in self._answers_of(new):
                        metrics.written(pq.read_table(file, columns=COUNTED))
                if last:
                    return

        counter = threading.Thread(target=count, daemon=True)
        counter.start()
        try:
            yield
        finally:
            stop.set()
            counter.join()


def ask_in_rounds(
    folder: Path, write_calls: WriteCalls, engine: Engine, tries: int, name: str, progress: Progress
) -> list[Round]:
    """Ask every call up to `tries` times, until it is answered or fails for good; the rounds that this took.

    Called again on the folder of an interrupted run, it goes on from the answers that are written.
    """
    rounds: list[Round] = []
    for number in range(1, tries + 1):
        now = Round(folder / f"round-{number}")
        last = rounds[-1] if rounds else None
        if not now.prepare(partial(_write_failed, last) if last else write_calls):
            break
        now.answer(engine, name if number == 1 else f"{name}, try {number}", progress)
        rounds.append(now)
    return rounds


def settled(rounds: Sequence[Round]) -> Iterator[tuple[int, pa.RecordBatch]]:
    """The last answer to every call, with how often it was asked."""
    for tries, each in enumerate(rounds, 1):
        for batch in each.answers():
            yield tries, batch if each is rounds[-1] else batch.filter(pc.invert(_may_succeed(batch)))


def _write_failed(last: Round, folder: Path) -> None:
    again = [batch["call_id"].filter(_may_succeed(batch)) for batch in last.answers()]
    failed = np.sort(np.concatenate([_hashes(ids) for ids in again]))
    keep = partial(_among, failed=failed)
    if len(failed):
        calls = ray.data.read_parquet(str(last.calls)).map_batches(keep, batch_format="pyarrow")
        calls.write_parquet(str(folder))


def _among(calls: pa.Table, failed: np.ndarray) -> pa.Table:
    return calls.filter(pa.array(np.isin(_hashes(calls["call_id"]), failed)))


def _may_succeed(answers: pa.RecordBatch) -> pa.Array:
    final = pc.is_in(answers["reason"], pa.array(sorted(FINAL_REASONS)))
    return pc.and_not(pc.equal(answers["status"], "error"), final)


def _parquet(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.parquet"))


def _rows(file: Path) -> int:
    return pq.read_metadata(file).num_rows


def _ids(files: list[Path]) -> np.ndarray:
    """The hashed call ids of the files, 8 bytes each."""
    return np.concatenate([np.empty(0, np.uint64), *(_hashes(pq.read_table(f, columns=["call_id"])[0]) for f in files)])


def _hashes(ids: pa.Array | pa.ChunkedArray) -> np.ndarray:
    return np.fromiter((xxhash.xxh64_intdigest(each.encode()) for each in ids.to_pylist()), np.uint64, len(ids))
