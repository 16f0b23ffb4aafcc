"""Embeddings over HTTP as OpenAI's API has them."""

import base64

import numpy as np
import pytest
from in_process import Service, build_tiny_release, unit_vectors
from tiny_store import make_notes

TEXTS = ["kidney injury", "asthma"]


@pytest.fixture(scope="module")
def release(tmp_path_factory, unused_encoder):
    return build_tiny_release(tmp_path_factory.mktemp("embedding"), unused_encoder, make_notes(2), shards=1)


@pytest.fixture
def embed(release, monkeypatch):
    service = Service(release, unit_vectors, monkeypatch)
    yield lambda **body: service.ask(("POST", "/v1/embeddings", {"input": TEXTS, "model": "drehr", **body}))
    service.close()


def test_vectors_come_in_the_order_of_the_input_with_the_tokens_they_took(embed):
    body = embed().json()
    assert body["object"] == "list"
    assert [each["index"] for each in body["data"]] == [0, 1]
    np.testing.assert_allclose([each["embedding"] for each in body["data"]], unit_vectors(TEXTS), rtol=1e-6)
    assert body["usage"] == {"prompt_tokens": 19, "total_tokens": 19}
    np.testing.assert_allclose(embed(input=TEXTS[1]).json()["data"][0]["embedding"], unit_vectors(TEXTS)[1], rtol=1e-6)


def test_base64_has_the_same_numbers(embed):
    vectors = [
        np.frombuffer(base64.b64decode(each["embedding"]), "<f4")
        for each in embed(encoding_format="base64").json()["data"]
    ]
    np.testing.assert_array_equal(vectors, unit_vectors(TEXTS))


def test_fewer_dimensions_have_length_1_again(embed):
    vectors = np.array([each["embedding"] for each in embed(dimensions=3).json()["data"]])
    kept = unit_vectors(TEXTS)[:, :3]
    np.testing.assert_allclose(vectors, kept / np.linalg.norm(kept, axis=1, keepdims=True), rtol=1e-5)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"input": []}, 422, "invalid_request"),
        ({"input": ""}, 422, "invalid_request"),
        ({"input": [1, 2]}, 422, "invalid_request"),
        ({"input": ["x"] * 257}, 422, "invalid_request"),
        ({"dimensions": 9}, 422, "invalid_request"),
        ({"dimensions": 0}, 422, "invalid_request"),
        ({"encoding_format": "int8"}, 422, "invalid_request"),
        ({"input_type": "title"}, 422, "invalid_request"),
        ({"model": "another"}, 404, "unknown_model"),
    ],
)
def test_what_does_not_fit_is_refused(embed, body, status, code):
    answer = embed(**body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
