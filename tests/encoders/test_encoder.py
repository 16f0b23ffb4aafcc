import json
import shutil

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from encoders.encoder import Encoder
from encoders.spec import read_spec, resolve

TEXTS = ["Cr 1.1 -> 3.2 after cath", "type 2 diabetes mellitus", "", "pt denies chest pain " * 80]


@pytest.fixture(scope="module")
def bundled():
    return Encoder.load("bundled")


@pytest.fixture
def saved(bundled, tmp_path):
    bundled.save(tmp_path / "encoder")
    return tmp_path / "encoder"


def test_plain_sentence_transformers_gives_the_same_vectors(bundled, saved):
    ours = bundled.encode_passages(TEXTS)
    theirs = SentenceTransformer(str(saved)).encode(TEXTS)
    assert np.abs(ours - theirs).max() < 1e-5


def test_a_saved_encoder_loads_with_its_spec_and_vectors(bundled, saved):
    again = Encoder.load(str(saved))
    assert again.spec == bundled.spec
    np.testing.assert_allclose(again.encode_queries(TEXTS), bundled.encode_queries(TEXTS), atol=1e-6)


def test_prefixes_reach_both_this_project_and_sentence_transformers(bundled, tmp_path):
    spec = bundled.spec.model_copy(update={"query_prefix": "query: ", "passage_prefix": "passage: "})
    Encoder(bundled.transformer, bundled.tokenizer, spec, "").save(tmp_path)
    ours, theirs = Encoder.load(str(tmp_path)), SentenceTransformer(str(tmp_path))
    plain = bundled.encode_queries(["query: sepsis"])
    np.testing.assert_allclose(ours.encode_queries(["sepsis"]), plain, atol=1e-5)
    np.testing.assert_allclose(theirs.encode_query(["sepsis"]), plain, atol=1e-5)
    np.testing.assert_allclose(theirs.encode_document(["sepsis"]), ours.encode_passages(["sepsis"]), atol=1e-5)


def test_cls_pooling_survives_the_round_trip(bundled, tmp_path):
    spec = bundled.spec.model_copy(update={"pooling": "cls"})
    encoder = Encoder(bundled.transformer, bundled.tokenizer, spec, "")
    encoder.save(tmp_path)
    theirs = SentenceTransformer(str(tmp_path)).encode(TEXTS)
    np.testing.assert_allclose(encoder.encode_passages(TEXTS), theirs, atol=1e-5)
    assert not np.allclose(theirs, bundled.encode_passages(TEXTS), atol=1e-2)


def test_what_sentence_transformers_saved_has_its_length_and_vectors(tmp_path):
    theirs = SentenceTransformer(str(resolve("bundled")))
    theirs.max_seq_length = 40
    theirs.save(str(tmp_path))
    ours = Encoder.load(str(tmp_path))
    assert ours.spec.max_passage_tokens == 40
    np.testing.assert_allclose(ours.encode_passages(TEXTS), theirs.encode(TEXTS), atol=1e-5)


def test_a_model_that_counts_positions_from_its_padding_has_fewer(bundled, saved):
    (saved / "encoder_spec.json").unlink()
    (saved / "sentence_bert_config.json").unlink()
    tokenizer = json.loads((saved / "tokenizer_config.json").read_text())
    (saved / "tokenizer_config.json").write_text(json.dumps({**tokenizer, "model_max_length": 10**30}))
    config = {**json.loads((saved / "config.json").read_text()), "max_position_embeddings": 514, "pad_token_id": 1}
    for kind, positions in (("bert", 514), ("xlm-roberta", 512)):
        (saved / "config.json").write_text(json.dumps({**config, "model_type": kind}))
        assert read_spec(saved).max_passage_tokens == positions


def test_batching_does_not_change_a_vector(bundled):
    alone = np.concatenate([bundled.encode_passages([text]) for text in TEXTS])
    np.testing.assert_allclose(bundled.encode_passages(TEXTS), alone, atol=1e-5)


def test_no_texts_give_no_vectors(bundled):
    assert bundled.encode_passages([]).shape == (0, 384)


def test_the_fingerprint_follows_weights_tokenizer_and_spec(bundled, saved, tmp_path):
    first = Encoder.load(str(saved)).fingerprint
    assert first == Encoder.load(str(saved)).fingerprint

    other_spec = shutil.copytree(saved, tmp_path / "spec")
    values = json.loads((other_spec / "encoder_spec.json").read_text())
    (other_spec / "encoder_spec.json").write_text(json.dumps({**values, "query_prefix": "q: "}))
    other_weights = shutil.copytree(saved, tmp_path / "weights")
    blob = bytearray((other_weights / "model.safetensors").read_bytes())
    blob[-1] ^= 1
    (other_weights / "model.safetensors").write_bytes(blob)
    assert len({first, *(Encoder.load(str(f)).fingerprint for f in (other_spec, other_weights))}) == 3


def test_a_folder_without_a_model_is_one_clear_error(tmp_path):
    with pytest.raises(ValueError, match=r"no encoder there"):
        resolve(str(tmp_path))


def test_a_broken_spec_names_file_and_field(saved):
    values = json.loads((saved / "encoder_spec.json").read_text())
    (saved / "encoder_spec.json").write_text(json.dumps({**values, "pooling": "median"}))
    with pytest.raises(ValueError, match=r"encoder_spec.json: pooling"):
        Encoder.load(str(saved))


def test_a_folder_with_a_missing_file_names_it(saved):
    (saved / "encoder_spec.json").unlink()
    (saved / "1_Pooling" / "config.json").unlink()
    with pytest.raises(ValueError, match=r"1_Pooling/config.json: missing"):
        Encoder.load(str(saved))


def test_a_layer_of_sentence_transformers_that_would_be_left_out_is_refused(saved):
    (saved / "encoder_spec.json").unlink()
    modules = json.loads((saved / "modules.json").read_text())
    modules.append({"idx": 3, "name": "3", "path": "3_Dense", "type": "sentence_transformers.models.Dense"})
    (saved / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ValueError, match=r"modules\.json: a layer of the kind Dense"):
        Encoder.load(str(saved))
