import numpy as np
import pytest

from encoders.workers import WorkerSettings
from evaluation.benchmarks import read_benchmark
from evaluation.encoding import CorpusVectors
from tests.evaluation.conftest import encode_here

pytestmark = pytest.mark.usefixtures("local_ray")


def test_vectors_are_those_of_the_encoder_and_are_kept(write_benchmark, tmp_path):
    counted = []
    vectors = CorpusVectors(tmp_path / "vectors", WorkerSettings(number=1), lambda *line: counted.append(line))
    benchmark = read_benchmark(write_benchmark())
    first = vectors("bundled", benchmark)
    assert np.allclose(first, encode_here("bundled", benchmark), atol=1e-5)
    assert counted == [("chunks encoded with bundled", 4, 4)]
    assert (vectors("bundled", benchmark) == first).all()
    assert len(counted) == 1, "they are not encoded again"
    (kept,) = (tmp_path / "vectors").iterdir()
    assert kept.suffix == ".npy", "nothing unfinished is left"


def test_a_missing_encoder_is_named(write_benchmark, tmp_path):
    vectors = CorpusVectors(tmp_path / "vectors", WorkerSettings(number=1), lambda *_: None)
    with pytest.raises(ValueError, match="nowhere: no encoder there"):
        vectors(str(tmp_path / "nowhere"), read_benchmark(write_benchmark()))
