"""Words in a million chunks: Lance's full text index, as the service asks it, against tantivy.

    pip install -e .[cpu,bench]
    python -m benchmarks.lexical_search [--rows 1000000]

Chunks are drawn sentence by sentence from the notes of a synthetic hospital, about 100 words each. Both sides index the
same texts with stop words left out of the queries, and give the best 100 by BM25, which hybrid mode asks a shard for.
One search at a time, every query new, sides in turn; figures are medians over all searches.

The last line is JSON: `p50_ms` and `p99_ms` of each side, `p50_ratio` (Lance's over tantivy's), `agreement` (the share
of Lance's best 10 that are as good by tantivy, ties included), and what the indexes took in seconds and gigabytes.
"""

import argparse
import json
import re
import shutil
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import lance
import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds

from benchmarks.served import questions, run_job
from serving.lexical import STOP_WORDS, find_words, index_text, match_words

try:
    import tantivy
except ModuleNotFoundError as error:
    raise SystemExit(f"{error.name} is not installed; pip install -e .[cpu,bench]") from None

PATIENTS, WORDS, LIMIT, BEST = 1_000, 100, 100, 10
AT_ONCE = 50_000
WARM_UP, SEARCHES = 50, 400
NEAR = 1e-3
Ranking = dict[int, float]
"""Rows and their scores, best first."""


def drawn_chunks(rows: int, work: Path) -> Iterator[list[str]]:
    """Texts, some at a time."""
    run_job("generate_hospital", f"hospital.patients={PATIENTS}", f"output.path={work / 'hospital'}")
    notes = ds.dataset(work / "hospital" / "notes", format="parquet").to_table(["text"])["text"].to_pylist()
    sentences = [each for note in notes for each in re.split(r"(?<=[.:])\s+|\n+", note) if each.strip()]
    mean = np.mean([len(each.split()) for each in sentences])
    random = np.random.default_rng(0)
    for start in range(0, rows, AT_ONCE):
        picked = random.integers(len(sentences), size=(min(AT_ONCE, rows - start), round(WORDS / mean)))
        yield [" ".join(sentences[at] for at in of_chunk) for of_chunk in picked.tolist()]


def build_lance(rows: int, work: Path) -> Callable[[str], Ranking]:
    batches = (pa.record_batch({"text": pa.array(texts)}) for texts in drawn_chunks(rows, work))
    schema = pa.schema({"text": pa.string()})
    chunks = lance.write_dataset(batches, work / "chunks.lance", schema, enable_stable_row_ids=True)
    index_text(chunks)

    def search(query: str) -> Ranking:
        found, scores = match_words(chunks, query, LIMIT)
        return dict(zip(found.tolist(), scores.tolist(), strict=True))

    return search


def build_tantivy(rows: int, work: Path) -> Callable[[str], Ranking]:
    schema = tantivy.SchemaBuilder().add_text_field("text").add_integer_field("row", fast=True, stored=True).build()
    folder = work / "tantivy"
    folder.mkdir(parents=True)
    index = tantivy.Index(schema, str(folder))
    writer = index.writer(heap_size=500_000_000, num_threads=2)
    row = 0
    for texts in drawn_chunks(rows, work):
        for text in texts:
            writer.add_document(tantivy.Document(text=text, row=row))
            row += 1
    writer.commit()
    writer.wait_merging_threads()
    index.reload()
    searcher = index.searcher()

    def search(query: str) -> Ranking:
        words = {word.folded for word in find_words(query)} - STOP_WORDS
        found = searcher.search(index.parse_query(" ".join(sorted(words)), ["text"]), LIMIT).hits
        return {searcher.doc(address)["row"][0]: score for score, address in found}

    return search


def agreement(ours: Ranking, theirs: Ranking) -> float:
    """The share of the best of ours that score as the best of theirs do; NaN where nothing is found."""
    best = list(ours)[:BEST]
    least = min(list(theirs.values())[:BEST], default=0.0) * (1 - NEAR)
    return float(np.mean([theirs.get(row, 0.0) >= least for row in best])) if best else float("nan")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--work", type=Path, default=Path("runs/lexical_search"))
    arguments = parser.parse_args()
    work: Path = arguments.work.resolve() / str(arguments.rows)
    for built in ("chunks.lance", "tantivy"):  # by a run before: an overwritten table would go on counting its rows
        shutil.rmtree(work / built, ignore_errors=True)
    sides: dict[str, Callable[[str], Ranking]] = {}
    figures: dict[str, Any] = {"rows": arguments.rows}
    for name, build, files in (("lance", build_lance, "chunks.lance/_indices"), ("tantivy", build_tantivy, "tantivy")):
        begun = time.perf_counter()
        sides[name] = build(arguments.rows, work)
        figures[name] = {"build_s": round(time.perf_counter() - begun, 1)}
        size = sum(file.stat().st_size for file in (work / files).rglob("*") if file.is_file())
        figures[name]["files_gb"] = round(size / 1e9, 3)
        print(f"{name}: {figures[name]}", flush=True)
    took: dict[str, list[float]] = {name: [] for name in sides}
    agreed = []
    for number, query in enumerate(islice(questions(), WARM_UP + SEARCHES)):
        found = {}
        for name, search in sides.items():
            begun = time.perf_counter()
            found[name] = search(query)
            if number >= WARM_UP:
                took[name].append(1000 * (time.perf_counter() - begun))
        agreed.append(agreement(found["lance"], found["tantivy"]))
    for name, of in took.items():
        figures[name] |= {f"p{share}_ms": round(float(np.percentile(of, share)), 2) for share in (50, 99)}
    figures["p50_ratio"] = round(figures["lance"]["p50_ms"] / figures["tantivy"]["p50_ms"], 2)
    figures["agreement"] = round(float(np.nanmean(agreed)), 3)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
