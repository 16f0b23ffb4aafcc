import asyncio
import threading

import numpy as np
import pytest

from encoders.encoder import Encoder
from serving.encoder_deployment import PIECE, EncoderDeployment, EncoderSettings
from tests.serving.tiny_store import make_notes, release_of, write_store

TEXTS = [f"note {number}: creatinine rose after contrast" for number in range(5 * PIECE + 3)]


@pytest.fixture(scope="module")
def encoder():
    return Encoder.load("bundled")


@pytest.fixture
def deployment(tmp_path, encoder):
    write_store(tmp_path / "store", make_notes(1), encoder.fingerprint, encoder.encode_passages)
    release_of(tmp_path / "store", encoder.fingerprint, "bundled", tmp_path / "release", shards=1)
    return EncoderDeployment(str(tmp_path / "release"), EncoderSettings())


class Stepwise:
    """Computes one call at a time, each when it is told to, and keeps what it was asked."""

    def __init__(self):
        self.asked = []
        self._begun, self._go_on = threading.Semaphore(0), threading.Semaphore(0)

    def step(self):
        self._go_on.release()

    def wait_until_asked(self):
        self._begun.acquire()

    def encode_passages(self, texts):
        return self._compute("passages", texts)

    def encode_queries(self, texts):
        return self._compute("queries", texts)

    def _compute(self, kind, texts):
        self.asked.append((kind, len(texts)))
        self._begun.release()
        self._go_on.acquire()
        return np.ones((len(texts), 3), np.float32)


def test_a_query_waits_for_one_piece_of_a_long_call_and_not_for_all_of_it(deployment):
    deployment._encoder = encoder = Stepwise()

    async def both():
        long = asyncio.create_task(deployment.encode_passages(TEXTS))
        await asyncio.to_thread(encoder.wait_until_asked)
        query = asyncio.create_task(deployment.encode(["kidney injury"]))
        await asyncio.sleep(0.05)
        for _ in range(7):
            encoder.step()
        return await query, await long

    query, long = asyncio.run(both())
    assert query.shape == (1, 3)
    assert len(long) == len(TEXTS)
    assert encoder.asked == [("passages", PIECE), ("queries", 1), *[("passages", PIECE)] * 4, ("passages", 3)]


def test_vectors_of_a_long_call_are_those_of_its_texts(deployment, encoder):
    vectors = asyncio.run(deployment.encode_passages(TEXTS))
    np.testing.assert_allclose(vectors, encoder.encode_passages(TEXTS), atol=1e-3)


def test_what_openai_clients_ask_for_comes_with_its_tokens(deployment, encoder):
    vectors, tokens = asyncio.run(deployment.embed(TEXTS, "query"))
    np.testing.assert_allclose(vectors, encoder.encode_queries(TEXTS), atol=1e-3)
    assert tokens == sum(map(len, encoder.tokenize(TEXTS, "query")))
