"""NV-Embed's layout, from a tiny random model written in it; what its own code computes, written out."""

import json

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import save_file
from sentence_transformers import SentenceTransformer

from encoders.base import BaseChanges, prepare_base
from encoders.encoder import Encoder
from encoders.training.model import prepare
from encoders.training.settings import TrainingSettings
from tests.tiny_llama import write_tiny_llama

SIZE, LATENTS, HEADS, HEAD_SIZE = 32, 6, 2, 5
INSTRUCTION = "Instruct: find passages\nQuery: "
TEXTS = ["heart failure", "the patient was admitted with pneumonia and acute kidney injury"]


def linear(out, into):
    return torch.randn(out, into) / into**0.5


@pytest.fixture(scope="module")
def latent_weights():
    torch.manual_seed(1)
    inner = HEADS * HEAD_SIZE
    blocks = "cross_attend_blocks"
    return {
        "latents": torch.randn(LATENTS, SIZE),
        f"{blocks}.0.norm.weight": torch.rand(SIZE) + 0.5,
        f"{blocks}.0.norm.bias": torch.randn(SIZE),
        f"{blocks}.0.norm_context.weight": torch.rand(SIZE) + 0.5,
        f"{blocks}.0.norm_context.bias": torch.randn(SIZE),
        f"{blocks}.0.fn.to_q.weight": linear(inner, SIZE),
        f"{blocks}.0.fn.to_kv.weight": linear(2 * inner, SIZE),
        f"{blocks}.0.fn.to_out.weight": linear(SIZE, inner),
        f"{blocks}.1.norm.weight": torch.rand(SIZE) + 0.5,
        f"{blocks}.1.norm.bias": torch.randn(SIZE),
        f"{blocks}.1.fn.net.0.weight": linear(8 * SIZE, SIZE),
        f"{blocks}.1.fn.net.0.bias": torch.randn(8 * SIZE),
        f"{blocks}.1.fn.net.2.weight": linear(SIZE, 4 * SIZE),
        f"{blocks}.1.fn.net.2.bias": torch.randn(SIZE),
    }


@pytest.fixture(scope="module")
def mistral(tmp_path_factory):
    """The language model inside, with its tokenizer's folder."""
    folder = write_tiny_llama(tmp_path_factory.mktemp("tokenizer"))
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    config = transformers.MistralConfig(
        vocab_size=len(tokenizer),
        hidden_size=SIZE,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
    )
    config.is_causal = False
    torch.manual_seed(2)
    return transformers.MistralModel(config).eval(), tokenizer


@pytest.fixture(params=[1, 2], ids=["one file", "two files"])
def published(request, tmp_path, mistral, latent_weights):
    """A folder as the hub has it."""
    model, tokenizer = mistral
    folder = tmp_path / "nv_embed"
    folder.mkdir()
    tokenizer.save_pretrained(folder)
    weights = {f"embedding_model.{name}": value for name, value in model.state_dict().items()}
    weights |= {f"latent_attention_model.{name}": value for name, value in latent_weights.items()}
    names = list(weights)
    for number in range(request.param):
        shard = {name: weights[name].contiguous() for name in names[number :: request.param]}
        name = "model.safetensors" if request.param == 1 else f"model-0000{number + 1}-of-00002.safetensors"
        save_file(shard, folder / name, metadata={"format": "pt"})
    config = {
        "model_type": "nvembed",
        "auto_map": {"AutoModel": "modeling_nvembed.NVEmbedModel"},
        "text_config": {**model.config.to_dict(), "model_type": "bidir_mistral"},
        "latent_attention_config": {
            "model_type": "latent_attention",
            "num_latents_value": LATENTS,
            "num_cross_heads": HEADS,
            "latent_dim": SIZE,
            "hidden_dim": SIZE,
            "cross_dim_head": HEAD_SIZE,
            "output_normalize": True,
        },
    }
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def norm(x, weights, name):
    return torch.nn.functional.layer_norm(x, (SIZE,), weights[f"{name}.weight"], weights[f"{name}.bias"])


@torch.inference_mode()
def straightforward(mistral, w, text, instruction=""):
    """One text, a head at a time."""
    model, tokenizer = mistral
    ids = tokenizer(instruction + text)["input_ids"] + [tokenizer.eos_token_id]
    hidden = model(input_ids=torch.tensor([ids])).last_hidden_state[0]
    first, second = "cross_attend_blocks.0", "cross_attend_blocks.1"
    latents = norm(w["latents"], w, f"{first}.norm_context")
    queries = norm(hidden, w, f"{first}.norm") @ w[f"{first}.fn.to_q.weight"].T
    keys, values = (latents @ w[f"{first}.fn.to_kv.weight"].T).chunk(2, dim=1)
    heads = []
    for h in range(HEADS):
        own = slice(h * HEAD_SIZE, (h + 1) * HEAD_SIZE)
        weights = torch.softmax(queries[:, own] @ keys[:, own].T / HEAD_SIZE**0.5, dim=1)
        heads.append(weights @ values[:, own])
    hidden = hidden + torch.cat(heads, dim=1) @ w[f"{first}.fn.to_out.weight"].T
    inner = norm(hidden, w, f"{second}.norm") @ w[f"{second}.fn.net.0.weight"].T + w[f"{second}.fn.net.0.bias"]
    value, gate = inner.chunk(2, dim=1)
    fed = (value * torch.nn.functional.gelu(gate)) @ w[f"{second}.fn.net.2.weight"].T + w[f"{second}.fn.net.2.bias"]
    unpooled = len(tokenizer(instruction)["input_ids"])
    return torch.nn.functional.normalize((hidden + fed)[unpooled:].mean(0), dim=0).numpy()


def test_vectors_are_those_of_the_published_code(published, mistral, latent_weights, tmp_path):
    prepare_base(str(published), BaseChanges(query_prefix=INSTRUCTION), tmp_path / "base")
    encoder = Encoder.load(str(tmp_path / "base"))
    for kind, instruction in (("passages", ""), ("queries", INSTRUCTION)):
        expected = [straightforward(mistral, latent_weights, text, instruction) for text in TEXTS]
        np.testing.assert_allclose(getattr(encoder, f"encode_{kind}")(TEXTS), expected, atol=1e-5)


def test_it_is_saved_with_its_layer_for_both_libraries(published, tmp_path):
    prepare_base(str(published), BaseChanges(query_prefix=INSTRUCTION), tmp_path / "base")
    encoder = Encoder.load(str(tmp_path / "base"))
    encoder.save(tmp_path / "saved")
    ours = encoder.encode_queries(TEXTS)
    again = Encoder.load(str(tmp_path / "saved"))
    np.testing.assert_allclose(again.encode_queries(TEXTS), ours, atol=1e-6)
    plain = SentenceTransformer(str(tmp_path / "saved"), trust_remote_code=True)
    np.testing.assert_allclose(plain.encode_query(TEXTS), ours, atol=1e-5)
    with torch.no_grad():
        again.latent_attention.latents.add_(1)
    again.save(tmp_path / "other")
    assert again.fingerprint != encoder.fingerprint


def test_missing_weights_are_named(published, tmp_path):
    for file in published.glob("*.safetensors"):
        file.unlink()
    with pytest.raises(
        ValueError, match=r"nv_embed: no weights of both embedding_model\.\* and latent_attention_model"
    ):
        prepare_base(str(published), BaseChanges(), tmp_path / "base")


def test_adapters_are_all_that_is_trained_and_only_weights_take_the_number_format(published, tmp_path):
    prepare_base(str(published), BaseChanges(), tmp_path / "base")
    encoder = Encoder.load(str(tmp_path / "base"))
    frequencies = dict(encoder.named_buffers())["transformer.rotary_emb.inv_freq"].clone()
    encoder.in_format(torch.bfloat16)
    prepare(encoder, TrainingSettings(tuning="lora", precision="bf16"))
    formats = {("lora_" in name, weight.requires_grad, weight.dtype) for name, weight in encoder.named_parameters()}
    assert formats == {(True, True, torch.float32), (False, False, torch.bfloat16)}
    (kept,) = (buffer for name, buffer in encoder.named_buffers() if name.endswith("rotary_emb.inv_freq"))
    assert torch.equal(kept, frequencies)
