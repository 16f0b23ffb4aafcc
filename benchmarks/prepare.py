"""Raw notes to stage-1 training records, on one core and on two.

    python -m benchmarks.prepare [--copies 4] [--data ../shared/data]

Reads the open notes so many times over under other ids, cuts and commits them, and matches DOID, HP and SYMP in them,
each time in a Ray of its own whose processes may use the given cores only. Starting Ray and building the graph do
not count. The last line is JSON.
"""

import argparse
import json
import multiprocessing
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.open_data import DATA, open_notes, open_ontologies
from corpus.chunking import ChunkingSettings
from corpus.prepare import prepare_corpus
from corpus.settings import NotesSettings
from corpus.store import Store
from datagen.graph.artefact import BuiltGraph
from datagen.graph.building import build_graph
from datagen.guard import Guard, GuardSettings
from datagen.record_files import match_entities
from datagen.stage1 import Stage1Settings
from ray_jobs.job import ray_session


def write_copies(data: Path, copies: int, notes: Path) -> None:
    """The open notes `copies` times, a file each, with ids of their own."""
    rows = open_notes(data)
    notes.mkdir()
    for copy in range(copies):
        with (notes / f"{copy}.jsonl").open("w") as out:
            for row in rows:
                named = {name: f"{copy}-{row[name]}" for name in ("note_id", "patient_id")}
                out.write(json.dumps({**row, **named}) + "\n")


def run(cores: int, notes: Path, graph: Path, folder: Path, results: Any) -> None:
    """One measurement: (seconds to prepare, seconds to match, chunks)."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    folder.mkdir()
    settings = NotesSettings(path=str(notes))
    guard = Guard(GuardSettings(), BuiltGraph.open(graph))
    with ray_session():
        begun = time.perf_counter()
        prepare_corpus(settings, ChunkingSettings(), folder, lambda *_: None)
        between = time.perf_counter()
        counts = match_entities(Store(folder), graph, Stage1Settings(), guard, folder, lambda *_: None)
        results.put((between - begun, time.perf_counter() - between, counts["chunks"]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--copies", type=int, default=4)
    parser.add_argument("--data", type=Path, default=DATA)
    arguments = parser.parse_args()
    spawn = multiprocessing.get_context("spawn")
    seconds: dict[int, float] = {}
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as temporary:
        notes, graph = Path(temporary) / "notes", Path(temporary) / "graph"
        write_copies(arguments.data, arguments.copies, notes)
        build_graph(open_ontologies(arguments.data), graph)
        for cores in (1, 2):
            results = spawn.Queue()
            process = spawn.Process(target=run, args=(cores, notes, graph, Path(temporary) / f"on{cores}", results))
            process.start()
            prepared, matched, chunks = results.get()
            process.join()
            seconds[cores] = prepared + matched
            figures |= {"chunks": chunks, f"prepare_seconds_{cores}": round(prepared, 1)}
            figures |= {f"match_seconds_{cores}": round(matched, 1)}
            print(f"{cores} cores: prepared in {prepared:.0f} s, matched in {matched:.0f} s", flush=True)
    figures["chunks_per_core_second"] = round(figures["chunks"] / seconds[1], 1)
    figures["scaling_1_to_2"] = round(seconds[1] / seconds[2], 2)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
