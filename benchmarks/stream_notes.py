"""Memory while millions of notes pass `prepare_corpus` on a local Ray.

    python -m benchmarks.stream_notes [--notes 5000000]

Generates notes of about 1 kB in the form of MIMIC-IV-Note, then samples the proportional memory (PSS: a page that n
processes share counts 1/n for each) of the driver and of every Ray worker. The last line gives, for both passes over
the notes, the highest of any worker and of the driver until 10 %, 50 % and 100 % of the notes were through. 5 million
notes need about 25 GB in TMPDIR.
"""

import argparse
import csv
import gzip
import json
import random
import tempfile
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import psutil

from corpus.chunking import ChunkingSettings
from corpus.prepare import prepare_corpus
from corpus.settings import NotesSettings
from ray_jobs.job import ray_session

FILES = 20
WORDS, SENTENCES = 5000, 1000
WORDS_PER_SENTENCE, SENTENCES_PER_NOTE = 12, 13
SECONDS_APART = 0.5
SHARES = (0.1, 0.5, 1.0)


class Sample(NamedTuple):
    """What was held when `share` of the notes were through a pass, in MB."""

    name: str
    share: float
    worker: float
    driver: float


class Sampler(threading.Thread):
    """Takes samples until `stop`; told of the progress like any listener of `prepare_corpus`."""

    def __init__(self, notes: int) -> None:
        super().__init__(daemon=True)
        self.samples: list[Sample] = []
        self._notes = notes
        self._done: Counter[str] = Counter()
        self._name = ""
        self._stopped = threading.Event()

    def progress(self, name: str, newly: int, total: int | None) -> None:
        """Note that a pass over the notes went on; prints each tenth."""
        before = self._done[name] * 10 // self._notes
        self._done[name] += newly
        self._name = name
        if (tenths := self._done[name] * 10 // self._notes) > before:
            print(f"  {name}: {tenths}0 %", flush=True)

    def run(self) -> None:
        driver = psutil.Process()
        while not self._stopped.wait(SECONDS_APART):
            if name := self._name:
                share = self._done[name] / self._notes
                workers = [_pss(each) for each in driver.children(recursive=True) if _is_worker(each)]
                self.samples.append(Sample(name, share, max(workers, default=0.0), _pss(driver)))

    def stop(self) -> None:
        self._stopped.set()
        self.join()


def write_notes(folder: Path, notes: int, seed: int = 0) -> None:
    """`FILES` gzip files of `notes` notes together, from seeded sentences of made-up words."""
    chance = random.Random(seed)
    words = ["".join(chance.choices("abcdefghilmnoprstuv", k=chance.randint(2, 11))) for _ in range(WORDS)]
    sentences = [" ".join(chance.choices(words, k=WORDS_PER_SENTENCE)) + "." for _ in range(SENTENCES)]
    for file in range(FILES):
        with gzip.open(folder / f"{file:02}.csv.gz", "wt", compresslevel=1, newline="") as lines:
            rows = csv.writer(lines)
            rows.writerow(["note_id", "subject_id", "hadm_id", "note_type", "charttime", "text"])
            for i in range(file, notes, FILES):
                text = "\n".join(chance.choices(sentences, k=SENTENCES_PER_NOTE))
                rows.writerow([f"{i}-DS-1", i // 10, i, "DS", "2180-05-07 00:00:00", text])


def peaks(samples: list[Sample], of: str) -> dict[str, dict[str, int]]:
    """By pass and share of the notes, the highest value so far of `worker` or `driver`, in MB."""
    return {
        name: {
            f"{share:.0%}": round(
                max((getattr(s, of) for s in samples if s.name == name and s.share <= share), default=0)
            )
            for share in SHARES
        }
        for name in dict.fromkeys(sample.name for sample in samples)
    }


def _is_worker(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return "".join(process.cmdline()[:1]).startswith("ray::")
    return False


def _pss(process: psutil.Process) -> float:
    with suppress(psutil.Error):
        return process.memory_full_info().pss / 1e6
    return 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--notes", type=int, default=5_000_000)
    notes = parser.parse_args().notes
    with tempfile.TemporaryDirectory(prefix="drehr-stream-") as temporary:
        folders = Path(temporary, "notes"), Path(temporary, "store")
        for folder in folders:
            folder.mkdir()
        print(f"generating {notes:,} notes", flush=True)
        write_notes(folders[0], notes)
        settings = NotesSettings(path=f"{folders[0]}/*.csv.gz", format="mimic4")
        with ray_session():
            sampler = Sampler(notes)
            sampler.start()
            begun = time.monotonic()
            counts = prepare_corpus(settings, ChunkingSettings(), folders[1], sampler.progress)
            seconds = time.monotonic() - begun
            sampler.stop()
    figures = {name: peaks(sampler.samples, name) for name in ("worker", "driver")}
    print(
        json.dumps(
            {**counts, "seconds": round(seconds), **{f"{name}_peak_mb": figure for name, figure in figures.items()}}
        )
    )


if __name__ == "__main__":
    main()
