"""OpenVINO against torch: the same vectors in fp32, the same ranking in int8, whatever is encoded beside."""

import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
import transformers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from encoders import compiled, conversion
from encoders.compiled import BATCH_TOKENS, LONE_TOKENS, CompiledEncoder, load_encoder
from encoders.conversion import MODEL, NotConvertibleError, cache_folder, calibration_texts, converted, openvino
from encoders.encoder import Encoder
from encoders.pooling import POOLINGS
from encoders.spec import EncoderSpec, resolve
from tests.encoders.conftest import AS_ENCODERS, LENGTHS, prepare_base, write_tiny_decoder

SENTENCES = [
    "Creatinine rose from 1.1 to 3.2 after contrast was given for the angiography.",
    "Right lower lobe infiltrate on chest film, started on ceftriaxone for pneumonia.",
    "Irregularly irregular rhythm, anticoagulated with apixaban since last year.",
    "HbA1c 9.1 percent on metformin; insulin glargine is added.",
    "Ferritin 6, haemoglobin 8.2, black stools for a week.",
    "Wheezing with reduced peak flow, given prednisone and salbutamol.",
    "Fell on the outstretched hand; the wrist is swollen and deformed.",
    "Two weeks of low mood, early waking and loss of appetite.",
]
QUERIES = [
    "acute kidney injury",
    "pneumonia",
    "atrial fibrillation",
    "poorly controlled diabetes",
    "iron deficiency anaemia",
    "asthma exacerbation",
    "fracture of the wrist",
    "depression",
]
TEXTS = [*SENTENCES, "", "Ödem, ß-Blocker 🙂", "fever " * 300, *QUERIES]


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield folder


@pytest.fixture(scope="module")
def bundled():
    return Encoder.load("bundled")


def cosines(ours, expected):
    norms = np.linalg.norm(ours, axis=1) * np.linalg.norm(expected, axis=1)
    return (ours * expected).sum(1) / norms


@pytest.fixture(scope="module", params=POOLINGS)
def tiny(request, tmp_path_factory):
    """A folder with a random BERT that pools so, with prefixes of which one is not pooled, not normalised."""
    torch.manual_seed(0)
    config = transformers.BertConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, attn_implementation="eager"
    )
    tokenizer = transformers.AutoTokenizer.from_pretrained(resolve("bundled"))
    spec = EncoderSpec(
        pooling=request.param,
        query_prefix="Find: ",
        passage_prefix="A note: ",
        pools_prefixes=False,
        max_query_tokens=24,
        max_passage_tokens=64,
        dimension=32,
        normalised=False,
    )
    folder = tmp_path_factory.mktemp("tiny")
    Encoder(transformers.BertModel(config), tokenizer, spec, "").save(folder)
    return folder


@pytest.fixture(scope="module")
def decoder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("decoder") / "encoder"
    source = write_tiny_decoder("llama", tmp_path_factory.mktemp("llama"))
    prepare_base(str(source), AS_ENCODERS["llama"].model_copy(update=LENGTHS), folder)
    return str(folder)


def test_every_pooling_and_the_prefixes_are_as_in_torch(tiny):
    expected, ours = Encoder.load(str(tiny)), CompiledEncoder.load(str(tiny), threads=2)
    np.testing.assert_allclose(ours.encode_passages(TEXTS), expected.encode_passages(TEXTS), atol=1e-4)
    np.testing.assert_allclose(ours.encode_queries(TEXTS), expected.encode_queries(TEXTS), atol=1e-4)
    assert (ours.fingerprint, ours.spec) == (expected.fingerprint, expected.spec)
    assert np.abs(ours.encode_passages(QUERIES) - ours.encode_queries(QUERIES)).max() > 0.01


@pytest.mark.parametrize(("number_format", "least"), [("fp32", 0.999999), ("bf16", 0.9999)])
def test_the_bundled_encoder_gives_the_vectors_of_torch(bundled, number_format, least):
    ours = CompiledEncoder.load("bundled", number_format, threads=2)
    assert cosines(ours.encode_passages(TEXTS), bundled.encode_passages(TEXTS)).min() > least
    alone = np.concatenate([ours.encode_queries([text]) for text in TEXTS])
    assert cosines(alone, bundled.encode_queries(TEXTS)).min() > least
    assert ours.encode_queries([]).shape == (0, 384)


def test_int8_ranks_as_fp32_does(bundled):
    ours = CompiledEncoder.load("bundled", "int8", threads=2)
    chunks = [*SENTENCES, *calibration_texts()["passage"][:40]]
    expected = bundled.encode_queries(QUERIES) @ bundled.encode_passages(chunks).T
    found = ours.encode_queries(QUERIES) @ ours.encode_passages(chunks).T
    assert (found.argmax(1) == expected.argmax(1)).all()
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.995
    assert np.abs(found - expected).max() > 1e-4  # it is int8


@pytest.mark.parametrize(("number_format", "least"), [("fp32", 0.999999), ("bf16", 0.9999), ("int8", 0.97)])
def test_a_text_of_any_length_is_as_in_torch(bundled, number_format, least):
    ours = CompiledEncoder.load("bundled", number_format, threads=2)
    words = " ".join([*SENTENCES, *QUERIES]).split()
    texts = [" ".join(words[start : start + length]) for length in range(1, 80) for start in (0, length)]
    if number_format == "bf16" and "BF16" not in openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        texts = texts[::8]  # a processor without it takes minutes for all
    assert cosines(ours.encode_queries(texts), bundled.encode_queries(texts)).min() > least


@pytest.fixture(scope="module")
def mean_of_tiny(tiny_encoder):
    return CompiledEncoder.load(str(tiny_encoder), threads=2)


@given(st.lists(st.text(max_size=80), max_size=12))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_vector_does_not_depend_on_what_is_encoded_beside(mean_of_tiny, texts):
    together = mean_of_tiny.encode_passages(texts)
    for text, vector in zip(texts, together, strict=True):
        np.testing.assert_allclose(mean_of_tiny.encode_passages([text])[0], vector, atol=1e-5)


@given(st.lists(st.integers(1, 3 * BATCH_TOKENS), max_size=200))
def test_batches_hold_every_row_once_within_their_budget(lengths):
    batches = list(compiled._batches(lengths))
    assert sorted(row for batch, _ in batches for row in batch) == list(range(len(lengths)))
    for batch, padded in batches:
        assert 0 <= padded - max(lengths[row] for row in batch) < compiled.STEP
        assert len(batch) == 1 or len(batch) * padded <= BATCH_TOKENS


def test_short_texts_are_not_padded_to_a_long_one():
    batches = list(compiled._batches([100, 6, 7, 8, 9]))
    assert batches == [([0], 104), ([4, 1, 2, 3], 16)], "8 tokens of padding are less than what a batch costs"


def test_threads_that_encode_at_once_get_their_own_vectors(mean_of_tiny):
    asked = [[text] for text in TEXTS] + [TEXTS, TEXTS[::-1]] * 4
    expected = [mean_of_tiny.encode_queries(texts) for texts in asked]
    with ThreadPoolExecutor(8) as pool:
        for found, wanted in zip(pool.map(mean_of_tiny.encode_queries, asked * 5), expected * 5, strict=True):
            np.testing.assert_allclose(found, wanted, atol=1e-6)
    assert min(len(ids) for ids in mean_of_tiny.tokenize(TEXTS, "query")) < LONE_TOKENS


def test_a_conversion_is_made_once(tiny_encoder, monkeypatch):
    model = converted(str(tiny_encoder), "fp32")
    monkeypatch.setattr(conversion, "_make", lambda *_: pytest.fail("made again"))
    assert converted(str(tiny_encoder), "fp32") == converted(str(tiny_encoder), "bf16") == model


def test_a_conversion_that_breaks_off_is_not_used(tiny_encoder, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    save = conversion.openvino().save_model

    def break_off(model, path, **options):
        save(model, path, **options)
        path.with_suffix(".bin").write_bytes(b"")
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(conversion.openvino(), "save_model", break_off)
        with pytest.raises(KeyboardInterrupt):
            converted(str(tiny_encoder), "fp32")
    assert [each.parent.suffix for each in cache_folder().glob(f"*/{MODEL}")] == [".unfinished"]
    ours = CompiledEncoder.load(str(tiny_encoder))
    expected = Encoder.load(str(tiny_encoder)).encode_queries(QUERIES)
    np.testing.assert_allclose(ours.encode_queries(QUERIES), expected, atol=1e-5)
    assert not list(cache_folder().glob("*.unfinished"))


def test_nothing_is_reported_home(tiny_encoder):
    converted(str(tiny_encoder), "fp32")
    assert sys.modules["openvino_telemetry"] is None
    assert sys.modules["openvino.tools.ovc.telemetry_utils"].tm.__name__.endswith("telemetry_stub")


def test_decoders_are_run_by_torch(decoder):
    expected = Encoder.load(decoder).encode_queries(QUERIES)
    assert isinstance(load_encoder(decoder), Encoder)
    np.testing.assert_array_equal(load_encoder(decoder).encode_queries(QUERIES), expected)
    in_bf16 = load_encoder(decoder, "bf16")
    assert next(in_bf16.parameters()).dtype == torch.bfloat16
    assert 1e-5 < np.abs(in_bf16.encode_queries(QUERIES) - expected).max() < 0.1


def test_int8_of_a_decoder_is_refused(decoder):
    with pytest.raises(ValueError, match="a decoder, which OpenVINO does not run: no int8; take number_format fp32"):
        load_encoder(decoder, "int8")


def test_int8_on_a_gpu_is_refused():
    with pytest.raises(ValueError, match="bundled: on a GPU: no int8"):
        load_encoder("bundled", "int8", use_gpu=True)


def test_without_openvino_torch_runs_and_int8_is_refused(monkeypatch):
    monkeypatch.setattr(compiled, "find_spec", lambda _: None)
    assert isinstance(load_encoder("bundled"), Encoder)
    with pytest.raises(ValueError, match=r"pip install drehr\[cpu\].*: no int8"):
        load_encoder("bundled", "int8")


def test_a_model_whose_trace_does_not_hold_is_not_converted(decoder, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setitem(conversion.MODEL_FOR_MASKED_LM_MAPPING_NAMES, "llama", "LlamaModel")
    with pytest.raises(NotConvertibleError, match="OpenVINO"):
        converted(decoder, "fp32")
    assert isinstance(load_encoder(decoder), Encoder)
    assert not list(cache_folder().glob(f"*/{MODEL}"))
