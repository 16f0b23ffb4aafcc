"""Notes that come in while the service is searched: how fast, and what searches notice.

    python -m benchmarks.ingest [--chunks 10000] [--seconds 30] [--batch 100]

The service of `benchmarks.served` with two shards, over a store made anew. One writer sends the notes of another
synthetic hospital, `batch` in a request, and after each asks with `min_version` for what it wrote. Beside it 4 clients
search, dense, every query new; they do so alone before, and while `build_index` encodes the grown store in another
number format and makes the next release.

The last line is JSON: `notes_per_second` and `chunks_per_second`, from the first request to the last search that had
what was written; `searchable_p50_ms` and `searchable_p99_ms`, from sending a batch to the search that has it;
`p50_alone_ms`, `p99_alone_ms`, and the same for `ingesting` and `building`.
"""

import argparse
import asyncio
import json
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow.dataset as ds

from benchmarks.served import Service, load, make_release, questions, run_job, serving
from corpus.store import Store

K, SHARDS, CLIENTS = 10, 2, 4
WARM_UP = 100
MORE_PATIENTS = 2_000
TURN_S = 3.0
TIMEOUT_S = 60.0
NEXT = "release-next"


def incoming(work: Path) -> list[dict[str, Any]]:
    """Notes of a hospital that the store does not have."""
    folder = work / "more"
    run_job("generate_hospital", f"hospital.patients={MORE_PATIENTS}", "hospital.seed=1", f"output.path={folder}")
    rows = ds.dataset(folder / "notes", format="parquet").to_table(["note_id", "patient_id", "text"]).to_pylist()
    return [{**row, **{name: f"new-{row[name]}" for name in ("note_id", "patient_id")}} for row in rows]


def write(service: Service, notes: list[dict[str, Any]], batch: int, seconds: float) -> dict[str, list[float]]:
    """Send batches for so long; of each the notes it had, and the milliseconds until a search had them."""
    found: dict[str, list[float]] = {"notes": [], "searchable_ms": []}
    begun = time.perf_counter()
    with httpx.Client(base_url=service.url, headers=service.headers, timeout=TIMEOUT_S) as client:
        for start in range(0, len(notes), batch):
            sent, some = time.perf_counter(), notes[start : start + batch]
            if sent - begun > seconds:
                break
            version = client.post("/v1/notes", json={"notes": some}).raise_for_status().json()["store_version"]
            asked = {"query": "follow up", "mode": "lexical", "k": 1, "min_version": version}
            client.post("/v1/search", json=asked).raise_for_status()
            found["notes"].append(len(some))
            found["searchable_ms"].append(1000 * (time.perf_counter() - sent))
    found["seconds"] = [time.perf_counter() - begun]
    return found


def search_until_done(service: Service, asked: Iterator[str], work: Future[Any]) -> dict[str, float]:
    """Search until the work is done; percentiles."""
    seconds: list[float] = []
    while not work.done():
        seconds += asyncio.run(load(service.side(k=K, mode="dense"), asked, CLIENTS, TURN_S)).seconds
    return {"p50": 1000 * float(np.percentile(seconds, 50)), "p99": 1000 * float(np.percentile(seconds, 99))}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chunks", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--work", type=Path, default=Path("runs/ingest"))
    arguments = parser.parse_args()
    work = arguments.work.resolve()
    for grown in ("store", f"release-{SHARDS}", NEXT):
        shutil.rmtree(work / grown, ignore_errors=True)
    release, notes, asked = make_release(arguments.chunks, SHARDS, work), incoming(work), questions()
    chunks = Store(work / "store").chunks
    building = [f"store.path={work / 'store'}", f"output.path={work / NEXT}", "index.number_format=fp32"]
    figures: dict[str, float] = {}
    with serving(release, work / "service") as service, ThreadPoolExecutor(1) as beside:

        def search(while_working: str, work: Future[Any]) -> None:
            of = search_until_done(service, asked, work)
            figures.update({f"{percentile}_{while_working}_ms": value for percentile, value in of.items()})
            print(f"searches {while_working}: p50 {of['p50']:.0f} ms, p99 {of['p99']:.0f} ms", flush=True)

        asyncio.run(load(service.side(k=K, mode="dense"), asked, CLIENTS, TURN_S, WARM_UP))
        search("alone", beside.submit(time.sleep, arguments.seconds))
        before = chunks().count_rows()
        writing = beside.submit(write, service, notes, arguments.batch, arguments.seconds)
        search("ingesting", writing)
        wrote, new = writing.result(), chunks().count_rows() - before
        print(f"{sum(wrote['notes']):.0f} notes in {wrote['seconds'][0]:.0f} s", flush=True)
        search("building", beside.submit(run_job, "build_index", *building))
    took = wrote["seconds"][0]
    figures |= {"notes_per_second": sum(wrote["notes"]) / took, "chunks_per_second": new / took}
    for percentile in (50, 99):
        figures[f"searchable_p{percentile}_ms"] = float(np.percentile(wrote["searchable_ms"], percentile))
    print(json.dumps({name: round(value, 1) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
