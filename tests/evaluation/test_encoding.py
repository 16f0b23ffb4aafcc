from functools import partial

import numpy as np
import pytest

from encoders.encoder import Encoder
from encoders.plain import PlainEncoder
from encoders.spec import resolve
from encoders.workers import WorkerSettings
from evaluation.benchmarks import read_benchmark
from evaluation.encoding import CorpusVectors

pytestmark = pytest.mark.usefixtures("local_ray")


def test_vectors_are_those_of_the_encoder_and_are_kept(write_benchmark, tmp_path):
    counted = []
    vectors = CorpusVectors(tmp_path / "vectors", WorkerSettings(number=1), lambda *line: counted.append(line))
    benchmark = read_benchmark(write_benchmark())
    ours, plain = partial(Encoder.load, "bundled"), partial(PlainEncoder.load, str(resolve("bundled")))
    first = vectors("bundled", ours, "ours", benchmark)
    assert np.allclose(first, Encoder.load("bundled").encode_passages(benchmark.chunk_texts), atol=1e-5)
    assert counted == [("chunks encoded with bundled", 4, 4)]
    assert (vectors("bundled", ours, "ours", benchmark) == first).all()
    assert len(counted) == 1, "they are not encoded again"
    assert np.allclose(vectors("plain", plain, "plain", benchmark), first, atol=1e-5)
    assert sorted(file.suffix for file in (tmp_path / "vectors").iterdir()) == [".npy"] * 2, "nothing unfinished"
