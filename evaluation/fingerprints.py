"""What an evaluation depends on, in a form that another machine can check."""

import json
from importlib.metadata import version
from pathlib import Path

import xxhash

from encoders.kept_vectors import texts_fingerprint
from evaluation.benchmark import Benchmark

BENCHMARK_FINGERPRINTS = ("chunks", "queries and judgements")
PACKAGES = ("bm25s", "ir_measures", "pytrec_eval-terrier", "sentence-transformers", "torch", "transformers")


def benchmark_fingerprints(benchmark: Benchmark) -> dict[str, str]:
    """By the names in BENCHMARK_FINGERPRINTS: of what is ranked, and of what is asked and judged."""
    queries = [*benchmark.query_ids, *benchmark.query_texts, *benchmark.query_types]
    judged = [json.dumps(judgement) for judgement in sorted(benchmark.judgements)]
    rules = [benchmark.ranks, str(benchmark.relevant_from), *benchmark.measures]
    asked = texts_fingerprint([*rules, *queries, *benchmark.document_ids, *benchmark.note_ids, *judged])
    of_both = texts_fingerprint(benchmark.chunk_texts), asked
    return dict(zip(BENCHMARK_FINGERPRINTS, of_both, strict=True))


def file_fingerprint(path: Path) -> str:
    """Of the content of a file, or of the files of a folder."""
    digest = xxhash.xxh3_128()
    for file in sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]:
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def package_versions() -> dict[str, str]:
    """Of what ranks and measures."""
    return {package: version(package) for package in PACKAGES}
