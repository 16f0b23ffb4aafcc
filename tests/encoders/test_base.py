"""A language model made into an encoder, as this project and plain sentence-transformers see it."""

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer

from encoders.base import BaseChanges, prepare_base
from encoders.encoder import Encoder

TEXTS = ["heart failure", "pt on lasix for chf, no edema", "the patient was admitted with pneumonia"]
INSTRUCTION = "Instruct: find passages\nQuery: "
LENGTHS = {"max_query_tokens": 64, "max_passage_tokens": 64}


def encoder_of(folder, tmp_path, **changes):
    target = tmp_path / f"base{len(list(tmp_path.iterdir()))}"
    prepare_base(str(folder), BaseChanges(**{**LENGTHS, "pooling": "last_token", **changes}), target)
    return Encoder.load(str(target)), target


@pytest.mark.parametrize("pooling", ["last_token", "mean"])
@pytest.mark.parametrize("attention", ["causal", "bidirectional"])
@pytest.mark.parametrize("pools_prefixes", [True, False])
def test_plain_sentence_transformers_gives_the_same_vectors(tiny_decoder, tmp_path, pooling, attention, pools_prefixes):
    changes = {"pooling": pooling, "attention": attention, "pools_prefixes": pools_prefixes}
    ours, folder = encoder_of(tiny_decoder, tmp_path, query_prefix=INSTRUCTION, append_eos=True, **changes)
    theirs = SentenceTransformer(str(folder))
    np.testing.assert_allclose(ours.encode_queries(TEXTS), theirs.encode_query(TEXTS), atol=1e-5)
    np.testing.assert_allclose(ours.encode_passages(TEXTS), theirs.encode_document(TEXTS), atol=1e-5)
    ours.save(tmp_path / "saved")
    again = SentenceTransformer(str(tmp_path / "saved"))
    np.testing.assert_allclose(ours.encode_queries(TEXTS), again.encode_query(TEXTS), atol=1e-5)


def test_the_first_token_sees_the_last_with_bidirectional_attention_alone(tiny_decoder, tmp_path):
    for attention, sees in (("causal", False), ("bidirectional", True)):
        encoder, _ = encoder_of(tiny_decoder, tmp_path, attention=attention)
        ids = torch.tensor([[5, 6, 7, 8], [5, 6, 7, 9]])
        hidden = encoder.transformer(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
        assert torch.equal(hidden[0, 0], hidden[1, 0]) != sees


def test_padding_changes_no_vector(tiny_decoder, tmp_path):
    for attention in ("causal", "bidirectional"):
        encoder, _ = encoder_of(tiny_decoder, tmp_path, attention=attention)
        alone = np.concatenate([encoder.encode_passages([text]) for text in TEXTS])
        np.testing.assert_allclose(encoder.encode_passages(TEXTS), alone, atol=1e-5)


def test_an_instruction_is_attended_to_and_not_pooled(tiny_decoder, tmp_path):
    plain, _ = encoder_of(tiny_decoder, tmp_path, pooling="mean", query_prefix="")
    pooled, _ = encoder_of(tiny_decoder, tmp_path, pooling="mean", query_prefix=INSTRUCTION)
    unpooled, _ = encoder_of(tiny_decoder, tmp_path, pooling="mean", query_prefix=INSTRUCTION, pools_prefixes=False)
    vectors = [encoder.encode_queries(["heart failure"])[0] for encoder in (plain, pooled, unpooled)]
    assert np.abs(vectors[2] - vectors[0]).max() > 1e-3
    assert np.abs(vectors[2] - vectors[1]).max() > 1e-3
    ids = unpooled.tokenize(["heart failure"], "query")
    with torch.inference_mode():
        tokens = unpooled.transformer(input_ids=torch.tensor(ids)).last_hidden_state[0]
    own = tokens[unpooled.unpooled_tokens("query") :].mean(0)
    np.testing.assert_allclose(vectors[2], torch.nn.functional.normalize(own, dim=0).numpy(), atol=1e-5)


def test_every_text_ends_with_the_end_of_text_token_also_when_cut(tiny_decoder, tmp_path):
    encoder, _ = encoder_of(tiny_decoder, tmp_path, append_eos=True)
    for tokens in encoder.tokenize(["a", "the patient was admitted " * 40], "passage"):
        assert tokens[-1] == encoder.tokenizer.eos_token_id
        assert len(tokens) <= 64


@pytest.mark.parametrize("missing", ["pooling", "max_query_tokens", "max_passage_tokens"])
def test_a_language_model_needs_to_be_told_how_it_encodes(tiny_decoder, tmp_path, missing):
    changes = {**LENGTHS, "pooling": "mean"}
    changes.pop(missing)
    with pytest.raises(ValueError, match=f"a language model, no encoder yet; give base_changes.{missing}"):
        prepare_base(str(tiny_decoder), BaseChanges(**changes), tmp_path / "base")


def test_an_encoder_keeps_what_is_not_changed(tmp_path):
    prepare_base("bundled", BaseChanges(query_prefix="query: "), tmp_path / "base")
    base, changed = Encoder.load("bundled"), Encoder.load(str(tmp_path / "base"))
    assert changed.spec == base.spec.model_copy(update={"query_prefix": "query: "})
    np.testing.assert_allclose(changed.encode_queries(["AKI"]), base.encode_queries(["query: AKI"]), atol=1e-6)


def test_attention_is_refused_for_what_is_no_decoder(tiny_encoder, tmp_path):
    with pytest.raises(ValueError, match=r"base_changes\.attention: .*is no decoder"):
        prepare_base(str(tiny_encoder), BaseChanges(attention="causal"), tmp_path / "base")


@pytest.mark.parametrize("kind", ["query", "passage"])
def test_a_length_that_the_prefix_alone_fills_is_refused(tiny_decoder, tmp_path, kind):
    changes = {f"{kind}_prefix": INSTRUCTION, f"max_{kind}_tokens": 8}
    with pytest.raises(ValueError, match=rf"base_changes\.max_{kind}_tokens: the prefix alone has \d+ tokens"):
        encoder_of(tiny_decoder, tmp_path, **changes)


def test_the_last_token_is_pooled_though_the_prefix_seems_to_hold_it(tiny_decoder, tmp_path):
    encoder, _ = encoder_of(
        tiny_decoder, tmp_path, pooling="mean", query_prefix="Query: ", pools_prefixes=False, attention="bidirectional"
    )
    encoder.tokenizer.add_tokens([" patient"])  # the prefix's last token and the query's only one become one
    token_ids = encoder.tokenize(["patient"], "query")
    assert len(token_ids[0]) <= encoder.unpooled_tokens("query")
    assert encoder.pad(token_ids, [encoder.unpooled_tokens("query")])[2].sum() == 1
