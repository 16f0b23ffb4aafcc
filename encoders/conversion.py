"""Encoders converted for OpenVINO, once a machine: `<cache>/drehr/openvino/<fingerprint>-<weights>-<version>/`.

The cache is XDG_CACHE_HOME, else ~/.cache; what is in it can be deleted at any time. bf16 is computed from the weights
in fp32. For int8 the ranges of activations are measured on `calibration_texts.txt`, chunks and queries of the synthetic
hospital: not on the corpus, so that every machine makes the same model of an encoder.
"""

import os
import re
import shutil
import sys
import warnings
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES

from encoders.encoder import Encoder
from encoders.number_format import NumberFormat
from encoders.spec import fingerprint, read_json, read_spec, resolve

INPUTS = ("input_ids", "attention_mask", "pooled_mask")
MODEL = "model.xml"
SAME = 0.9999
"""The least cosine with torch's vectors."""
INNER_INT8 = "int8-inner"
_LAYER = re.compile(r"\.layers?\.(\d+)\.")


class NotConvertibleError(ValueError):
    """OpenVINO cannot run the encoder, or not as torch does."""


@cache
def openvino() -> Any:
    """The library, without the reports that it and NNCF send home. Raises ImportError where it is not installed."""
    telemetry = "openvino_telemetry"
    sys.modules[telemetry] = None  # type: ignore[assignment]  # both then take their stub
    import openvino

    return openvino


def converted(name: str, number_format: NumberFormat) -> Path:
    """The encoder's OpenVINO model, made now unless it is there.

    Raises NotConvertibleError for a decoder, whose traced mask fits one length alone, and where vectors differ.
    """
    folder = resolve(name)
    if read_json(folder / "config.json")["model_type"] not in MODEL_FOR_MASKED_LM_MAPPING_NAMES:
        raise NotConvertibleError(f"{name}: a decoder, which OpenVINO does not run")
    weights = INNER_INT8 if number_format == "int8" else "fp32"
    version = openvino().__version__.partition("-")[0]
    made = cache_folder() / f"{fingerprint(folder, read_spec(folder))}-{weights}-{version}"
    if not made.exists():
        made.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(made.with_name(f"{made.name}.lock")):
            if not made.exists():
                _make(name, weights, made)
    return made / MODEL


def cache_folder() -> Path:
    """Where converted encoders are kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "drehr" / "openvino"


def calibration_texts() -> dict[str, list[str]]:
    """Chunks and queries of the synthetic hospital, by their kind."""
    chunks, queries = (files(__package__) / "calibration_texts.txt").read_text("utf-8").split("\n\n")
    return {"passage": chunks.splitlines(), "query": queries.splitlines()}


def _make(name: str, weights: str, made: Path) -> None:
    aside = made.with_name(f"{made.name}.unfinished")
    shutil.rmtree(aside, ignore_errors=True)
    encoder = Encoder.load(name)
    batches = list(_calibration_batches(encoder))
    try:
        model = _traced(encoder, batches[-1])
        least = _least_cosine(encoder, model, batches)
    except Exception as error:  # whatever torch's tracing and OpenVINO raise
        raise NotConvertibleError(f"{name}: OpenVINO cannot run it: {str(error).partition(chr(10))[0]}") from error
    if not least >= SAME:
        raise NotConvertibleError(f"{name}: in OpenVINO its vectors are others (cosine {least:.4f})")
    if weights == INNER_INT8:
        model = _quantised(model, batches)
    openvino().save_model(model, aside / MODEL, compress_to_fp16=False)
    aside.rename(made)


def _calibration_batches(encoder: Encoder) -> Iterator[tuple[torch.Tensor, ...]]:
    """One text a batch, so that no padding is measured, and two at last."""
    texts = calibration_texts()
    single = [(kind, [text]) for kind, several in texts.items() for text in several]
    for kind, several in [*single, ("query", texts["query"][:2])]:
        yield encoder.pad(encoder.tokenize(several, kind), [encoder.unpooled_tokens(kind)] * len(several))


def _traced(encoder: Encoder, batch: tuple[torch.Tensor, ...]) -> Any:
    with torch.no_grad(), warnings.catch_warnings(action="ignore", category=torch.jit.TracerWarning):
        return openvino().convert_model(encoder, example_input=dict(zip(INPUTS, batch, strict=True)))


def _least_cosine(encoder: Encoder, model: Any, batches: list[tuple[torch.Tensor, ...]]) -> float:
    """With torch's vectors, on batches of several shapes: what was traced may hold for its example's alone."""
    run = openvino().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    cosines = []
    for batch in (batches[0], batches[len(batches) // 2], batches[-1]):
        vectors = torch.from_numpy(run([each.numpy() for each in batch])[0])
        with torch.no_grad():
            cosines.append(torch.nn.functional.cosine_similarity(vectors, encoder(*batch)).min().item())
    return min(cosines)


def _quantised(model: Any, batches: list[tuple[torch.Tensor, ...]]) -> Any:
    """The model in int8, but for its first and last layer: with these it loses twice as much of NDCG."""
    import nncf

    samples = [dict(zip(INPUTS, (each.numpy() for each in batch), strict=True)) for batch in batches]
    layers = {int(number) for each in model.get_ops() for number in _LAYER.findall(each.get_friendly_name())}
    outer = [rf".*\.layers?\.{number}\..*" for number in (min(layers), max(layers))] if len(layers) > 2 else []
    nncf.set_log_level("ERROR")
    return nncf.quantize(
        model,
        nncf.Dataset(samples),
        subset_size=len(samples),
        model_type=nncf.ModelType.TRANSFORMER,
        ignored_scope=nncf.IgnoredScope(patterns=outer, validate=False),
    )
