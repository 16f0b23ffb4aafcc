from functools import partial

import numpy as np
import pytest

from encoders.corpus_encoding import encode_on
from encoders.encoder import Encoder
from encoders.kept_vectors import KeptVectors
from encoders.plain import PlainEncoder
from encoders.spec import resolve
from encoders.workers import WorkerSettings

pytestmark = pytest.mark.usefixtures("local_ray")


def test_vectors_are_those_of_the_encoder_and_are_kept(tmp_path):
    counted = []
    vectors = KeptVectors(tmp_path / "vectors", encode_on(WorkerSettings(number=1), lambda *line: counted.append(line)))
    texts = ["AKI after contrast", "warfarin for a DVT", "no chest pain", "type 2 diabetes"]
    ours, plain = partial(Encoder.load, "bundled"), partial(PlainEncoder.load, str(resolve("bundled")))
    first = vectors("bundled", ours, "ours", texts)
    assert np.allclose(first, Encoder.load("bundled").encode_passages(texts), atol=1e-5)
    assert counted == [("chunks encoded with bundled", 4, 4)]
    assert (vectors("bundled", ours, "ours", texts) == first).all()
    assert len(counted) == 1, "they are not encoded again"
    assert np.allclose(vectors("plain", plain, "plain", texts), first, atol=1e-5)
    queries = vectors("bundled", ours, "ours", texts, "query")
    assert np.allclose(queries, Encoder.load("bundled").encode_queries(texts), atol=1e-5)
    assert sorted(file.suffix for file in (tmp_path / "vectors").iterdir()) == [".npy"] * 3, "nothing unfinished"
