"""Search among some patients, types and dates: from the filter to the ids of the hits, one thread each.

    LANCE_LOG=error python -m benchmarks.filtered_search [--rows 1000000]

A query names a cohort of patients, a note type and a range of dates, each query another cohort. Ours is a shard's
segment, exact and as lists of 1-bit codes. The peers find the rows with Arrow and search FAISS Flat + IDSelectorArray
or FAISS IVF + IDSelectorBitmap (nprobe raised until its recall is 0.99 or ours, if that is less), or search Lance with
its prefilter (BTREE and BITMAP indexes, IVF_FLAT, nprobe alike). All have the same vectors, rounded to float16. Sides
take turns; times are medians, in milliseconds.

The last line is JSON: `speedup_vs_ivf_at_0.1pct`, `worst_ratio_vs_best_peer` (the best peer's time over that of our
codes, at the worst selectivity), `recall_min` of ours, and `recall_min_exact` where the rows are scored one by one.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import faiss
import lance
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from threadpoolctl import threadpool_limits

from benchmarks.clustered_vectors import DIMENSION, clustered
from corpus.tables import CHUNK_SCHEMA
from serving.coarse_lists import QUERIES, build_lists, lists_to_read
from serving.protocol import Filters
from serving.scope import Scope
from serving.segment import Segment
from serving.vector_index import SCANNED, CoarseIndex, ExactIndex

SELECTIVITIES = [0.0001, 0.001, 0.01, 0.1]
ROWS_PER_PATIENT = 50
TYPES = ["progress note", "discharge summary", "radiology report", "nursing note"]
DAYS = 1000
KEPT_SHARE = 0.25 * 0.8
"""Of a cohort's rows those of one type and in the dates."""
K = 10
FAISS: Any = faiss


class Query(NamedTuple):
    vector: np.ndarray
    patients: list[str]
    type: str
    since: datetime
    until: datetime


Search = Callable[[Query], Sequence[str]]


def metadata(rows: int) -> pa.Table:
    """Rows of a shard without their texts, in patient order."""
    random, number = np.random.default_rng(1), np.arange(rows)
    patients = pa.array([f"patient-{each:07}" for each in range(-(-rows // ROWS_PER_PATIENT))])
    times = datetime(2024, 1, 1, tzinfo=UTC).timestamp() + 86400 * random.integers(DAYS, size=rows)
    columns = {
        "chunk_id": pa.array([f"note-{each:08}_0" for each in number]),
        "note_id": pa.array([f"note-{each:08}" for each in number]),
        "patient_id": patients.take(pa.array(number // ROWS_PER_PATIENT)),
        "note_type": pa.array(TYPES).take(pa.array(random.integers(len(TYPES), size=rows))),
        "note_time": pa.array((times * 1e6).astype("int64")).cast(pa.timestamp("us", tz="UTC")),
        "source": pa.array(["ehr"] * rows),
        "version": pa.array(np.ones(rows, np.int64)),
        "row_id": pa.array(number),
    }
    assert {"chunk_id", "patient_id", "note_type", "note_time"} <= {*CHUNK_SCHEMA.names}
    return pa.table(columns)


def queries(rows: int, selectivity: float, number: int) -> list[Query]:
    """Each of another cohort, whose rows that pass are `selectivity` of all."""
    random, patients = np.random.default_rng(int(selectivity * 1e6)), rows // ROWS_PER_PATIENT
    cohort = max(1, min(patients, round(selectivity / KEPT_SHARE * patients)))
    begin = datetime(2024, 1, 1, tzinfo=UTC)
    found = []
    for vector in clustered(number, seed=int(selectivity * 1e6) + 1):
        since = begin + timedelta(days=int(random.integers(DAYS // 5)))
        chosen = [f"patient-{each:07}" for each in random.choice(patients, cohort, replace=False)]
        found.append(Query(vector, chosen, str(random.choice(TYPES)), since, since + timedelta(days=4 * DAYS // 5)))
    return found


def ours(segment: Segment) -> Search:
    """A shard's segment, with a cohort it has not seen before."""

    def search(query: Query) -> Sequence[str]:
        filters = Filters(note_types=[query.type], time_from=query.since, time_to=query.until)
        rows = segment.select(filters, Scope(str(id(query)), frozenset(query.patients)))
        (found,) = segment.nearest(query.vector[None], K, rows)
        return list(segment.rows["chunk_id"].take(pa.array(found)).to_pylist())

    return search


def passing(table: pa.Table, query: Query) -> np.ndarray:
    """The rows that pass, by Arrow's expressions."""
    mask = pc.and_(
        pc.is_in(table["patient_id"], pa.array(query.patients)),
        pc.and_(
            pc.equal(table["note_type"], query.type),
            pc.and_(
                pc.greater_equal(table["note_time"], pa.scalar(query.since, pa.timestamp("us", tz="UTC"))),
                pc.less(table["note_time"], pa.scalar(query.until, pa.timestamp("us", tz="UTC"))),
            ),
        ),
    )
    return np.flatnonzero(mask.to_numpy())


def flat_peer(table: pa.Table, index: Any) -> Search:
    """FAISS Flat, told the rows one by one."""

    def search(query: Query) -> Sequence[str]:
        parameters = FAISS.SearchParameters(sel=FAISS.IDSelectorArray(passing(table, query)))
        (found,) = index.search(query.vector[None], K, params=parameters)[1]
        return list(table["chunk_id"].take(pa.array(found[found >= 0])).to_pylist())

    return search


def ivf_peer(table: pa.Table, index: Any, nprobe: int) -> Search:
    """FAISS IVF, told the rows by a bitmap."""

    def search(query: Query) -> Sequence[str]:
        mask = np.zeros(len(table), bool)
        mask[passing(table, query)] = True
        selector = FAISS.IDSelectorBitmap(np.packbits(mask, bitorder="little"))
        parameters = FAISS.SearchParametersIVF(nprobe=nprobe, sel=selector)
        (found,) = index.search(query.vector[None], K, params=parameters)[1]
        return list(table["chunk_id"].take(pa.array(found[found >= 0])).to_pylist())

    return search


def lance_peer(dataset: lance.LanceDataset, nprobe: int) -> Search:
    """Lance's vector search after its own filter."""

    def search(query: Query) -> Sequence[str]:
        among = ",".join(f"'{each}'" for each in query.patients)
        times = [each.strftime("timestamp '%Y-%m-%d %H:%M:%S'") for each in (query.since, query.until)]
        where = (
            f"patient_id IN ({among}) AND note_type = '{query.type}' "
            f"AND note_time >= {times[0]} AND note_time < {times[1]}"
        )
        nearest = {"column": "vector", "q": query.vector, "k": K, "nprobes": nprobe, "metric": "dot"}
        found = dataset.scanner(
            columns=["chunk_id", "_distance"], nearest=nearest, filter=where, prefilter=True
        ).to_table()
        return list(found["chunk_id"].to_pylist())

    return search


def lance_table(folder: Path, table: pa.Table, vectors: np.ndarray, n_lists: int) -> lance.LanceDataset:
    """The same rows in Lance, with the indexes its documentation advises."""
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), DIMENSION)
    naive = table.set_column(4, "note_time", table["note_time"].cast(pa.timestamp("us")))
    dataset = lance.write_dataset(naive.append_column("vector", column), folder / "rows.lance")
    dataset.create_scalar_index("patient_id", "BTREE")
    dataset.create_scalar_index("note_type", "BITMAP")
    dataset.create_scalar_index("note_time", "BTREE")
    dataset.create_index("vector", "IVF_FLAT", metric="dot", num_partitions=n_lists)
    return dataset


def recall(search: Search, exact: Search, asked: Sequence[Query]) -> float:
    """Of the exact hits those that are found."""
    shares = []
    for query in asked:
        expected = {*exact(query)}
        shares.append(len(expected & {*search(query)}) / len(expected) if expected else 1.0)
    return float(np.mean(shares))


def equal_recall(
    make: Callable[[int], Search], exact: Search, asked: Sequence[Query], n_lists: int, wanted: float
) -> tuple[int, float]:
    """The least lists, in steps of a quarter, with which a peer finds so much of the exact hits (all, if none does)."""
    nprobe = 1
    while (reached := recall(make(nprobe), exact, asked)) < wanted and nprobe < n_lists:
        nprobe = min(nprobe + -(-nprobe // 4), n_lists)
    return nprobe, reached


def milliseconds(sides: dict[str, Search], asked: Sequence[Query]) -> dict[str, float]:
    """Medians a query, the sides in turn at every query."""
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for query in asked:
        for name, search in sides.items():
            begun = time.perf_counter()
            search(query)
            taken[name].append(1000 * (time.perf_counter() - begun))
    return {name: median(each) for name, each in taken.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=60, help="of each selectivity")
    arguments = parser.parse_args()
    os.environ["LANCE_CPU_THREADS"] = "1"  # one I/O thread as well would wait for itself
    pa.set_cpu_count(1)
    threadpool_limits(2)
    table, half = metadata(arguments.rows), clustered(arguments.rows).astype(np.float16)
    vectors = half.astype(np.float32)
    lists = build_lists(half, "pq4")
    nprobe = lists_to_read(lists, half, clustered(QUERIES, seed=2))
    n_lists = 2 ** round(np.log2(4 * arguments.rows**0.5))
    flat = faiss.IndexFlatIP(DIMENSION)
    FAISS.IndexFlatIP.add(flat, vectors)
    ivf: Any = faiss.index_factory(DIMENSION, f"IVF{n_lists},Flat", faiss.METRIC_INNER_PRODUCT)
    ivf.train(vectors[:: max(1, arguments.rows // (40 * n_lists))])
    ivf.add(vectors)
    print(
        f"{arguments.rows:,} rows; ours reads {nprobe} of {lists.nlist} lists without a filter; IVF has {n_lists}",
        flush=True,
    )
    exact = ours(Segment(table, ExactIndex(vectors)))
    codes = ours(Segment(table, CoarseIndex(lists, half, nprobe)))
    speedups: dict[float, float] = {}
    ratios: list[float] = []
    recalls: list[float] = []
    exact_recalls: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        dataset = lance_table(Path(folder), table, vectors, n_lists)
        threadpool_limits(1)
        for selectivity in SELECTIVITIES:
            asked = queries(arguments.rows, selectivity, arguments.queries)
            some = asked[:20]
            found = {"exact": recall(exact, flat_peer(table, flat), some), "codes": recall(codes, exact, asked)}
            wanted = min(0.99, found["codes"])
            ivf_lists, ivf_recall = equal_recall(lambda each: ivf_peer(table, ivf, each), exact, some, n_lists, wanted)
            lance_lists, lance_recall = equal_recall(
                lambda each: lance_peer(dataset, each), exact, some, n_lists, wanted
            )
            sides = {
                "exact": exact,
                "codes": codes,
                "flat": flat_peer(table, flat),
                "ivf": ivf_peer(table, ivf, ivf_lists),
                "lance": lance_peer(dataset, lance_lists),
            }
            taken = milliseconds(sides, asked)
            mine = taken["codes"]
            best = min(taken[name] for name in ("flat", "ivf", "lance"))
            speedups[selectivity] = taken["ivf"] / mine
            ratios.append(best / mine)
            recalls += found.values()
            exact_recalls.append(found["exact"])
            if selectivity * arguments.rows <= SCANNED:
                exact_recalls.append(found["codes"])
            print(
                f"{selectivity:.2%}: "
                + ", ".join(f"{name} {each:.2f} ms" for name, each in taken.items())
                + f"; recall: exact {found['exact']:.3f}, codes {found['codes']:.3f}, "
                f"ivf {ivf_recall:.3f} with {ivf_lists} lists, lance {lance_recall:.3f} with {lance_lists}",
                flush=True,
            )
    result = {
        "speedup_vs_ivf_at_0.1pct": speedups[0.001],
        "worst_ratio_vs_best_peer": min(ratios),
        "recall_min": min(recalls),
        "recall_min_exact": min(exact_recalls),
    }
    print(json.dumps({name: round(each, 3) for name, each in result.items()}))


if __name__ == "__main__":
    main()
