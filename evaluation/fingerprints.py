"""What an evaluation depends on, in a form that another machine can check."""

import json
from collections.abc import Sequence
from functools import cache
from importlib.metadata import version

import xxhash

from encoders.spec import fingerprint, read_spec, resolve
from evaluation.benchmark import Benchmark
from evaluation.retrievers import encoder_of

BENCHMARK_FINGERPRINTS = ("chunks", "queries and judgements")
PACKAGES = ("bm25s", "ir_measures", "pytrec_eval-terrier", "sentence-transformers", "torch", "transformers")


def chunks_fingerprint(benchmark: Benchmark) -> str:
    """Of the texts that are ranked, in their order."""
    return _digest(benchmark.chunk_texts)


def fingerprints(benchmark: Benchmark, specs: Sequence[str]) -> dict[str, str]:
    """Of the benchmark, of each encoder that a retriever names, and the versions of what ranks and measures."""
    queries = [*benchmark.query_ids, *benchmark.query_texts, *benchmark.query_types]
    judged = [json.dumps(judgement) for judgement in sorted(benchmark.judgements)]
    of_benchmark = chunks_fingerprint(benchmark), _digest([*queries, *benchmark.document_ids, *judged])
    encoders = {f"encoder {name}": encoder_fingerprint(name) for spec in specs if (name := encoder_of(spec))}
    return {
        **dict(zip(BENCHMARK_FINGERPRINTS, of_benchmark, strict=True)),
        **encoders,
        **{package: version(package) for package in PACKAGES},
    }


@cache
def encoder_fingerprint(name: str) -> str:
    """Of weights, tokenizer and spec. Raises ValueError for a folder that holds no encoder."""
    folder = resolve(name)
    return fingerprint(folder, read_spec(folder))


def _digest(texts: Sequence[str]) -> str:
    digest = xxhash.xxh3_128()
    for text in texts:
        digest.update(f"{len(text)}:{text}".encode())
    return digest.hexdigest()
