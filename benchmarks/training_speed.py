"""A training step at the size of the published encoders: time, tokens, peak memory, share of the device's arithmetic.

    python -m benchmarks.training_speed [--records <folder>] [--shapes bert_base mistral_7b] [--steps 10]
        [--set batch_size=128 ...] [--peak-tflops 989]

Random weights of each shape take the step of the recipes small_stage1 (all weights) and large_stage1 (LoRA), in bf16,
as plain processes without Ray, on the GPU where there is one. `flop_share` counts the multiplications that the step
needs, not those that gradient checkpointing repeats or padding adds, against `--peak-tflops` (989: dense bf16 of an
H200 by its data sheet). Figures are medians over the steps. The last line is JSON.
"""

import argparse
import json
import multiprocessing
import resource
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import torch
import transformers
import yaml

from benchmarks.open_data import open_records
from encoders.encoder import Encoder
from encoders.pooling import PoolingName
from encoders.spec import BUNDLED, EncoderSpec
from encoders.text_tokenizer import TextTokenizer
from encoders.training.batches import Batch, make_batch
from encoders.training.data import TrainingData
from encoders.training.model import prepare, spread
from encoders.training.settings import TrainingSettings
from encoders.training.shared_encoding import SharedEncoding
from encoders.training.step import GradientStep
from encoders.training.tables import stage_records, write_tables
from encoders.training.workers import Workers

MOST_RECORDS = 20_000
WARM_UP = 3


class Shape(NamedTuple):
    """What is trained, and how."""

    config: transformers.PretrainedConfig
    recipe: str
    pooling: PoolingName


_TINY: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
SHAPES = {
    "bert_base": Shape(transformers.BertConfig(), "small_stage1", "cls"),
    "mistral_7b": Shape(transformers.MistralConfig(vocab_size=32_000), "large_stage1", "last_token"),
    "tiny_bert": Shape(transformers.BertConfig(**_TINY), "small_stage1", "cls"),
    "tiny_mistral": Shape(
        transformers.MistralConfig(vocab_size=32_000, num_key_value_heads=1, **_TINY), "large_stage1", "last_token"
    ),
}


def settings_of(shape: Shape, changes: dict[str, Any]) -> TrainingSettings:
    """Those of the shape's recipe in bf16; the steps of the measurement are no epochs."""
    recipe = yaml.safe_load(Path(f"recipes/{shape.recipe}.yaml").read_text())["training"]
    return TrainingSettings.model_validate({**recipe, "precision": "bf16", "epochs": 1000, **changes})


def random_encoder(shape: Shape, settings: TrainingSettings, device: str) -> Encoder:
    """One of the shape. Its token ids are the bundled tokenizer's, which every shape has a row for."""
    tokenizer = TextTokenizer.load(BUNDLED).tokenizer
    lengths: dict[str, Any] = {"max_query_tokens": settings.term_tokens, "max_passage_tokens": settings.chunk_tokens}
    spec = EncoderSpec(pooling=shape.pooling, dimension=shape.config.hidden_size, **lengths)
    with torch.device(device):
        transformer = transformers.AutoModel.from_config(shape.config)
    return Encoder(transformer, tokenizer, spec, fingerprint="")


def tokens_of(data: TrainingData, batch: Batch) -> int:
    """Without padding."""
    chunks = sum(len(data.chunk_tokens(row)) for row in batch.rows)
    return chunks + sum(len(data.term_tokens(term)) for term in batch.terms)


def flops_per_token(encoder: Encoder) -> float:
    """Of the products with weight matrices: forward, to the activations, and to trained weights."""
    linear = [module.weight for module in encoder.modules() if isinstance(module, torch.nn.Linear)]
    trained = sum(weight.numel() for weight in linear if weight.requires_grad)
    return 2.0 * (2 * sum(weight.numel() for weight in linear) + trained)


def measure(name: str, folder: Path, steps: int, changes: dict[str, Any], peak_tflops: float) -> dict[str, float]:
    """One shape's figures."""
    device, shape = "cuda" if torch.cuda.is_available() else "cpu", SHAPES[name]
    settings = settings_of(shape, changes)
    data, encoder = TrainingData(folder), random_encoder(shape, settings, device)
    prepare(encoder, settings)
    model = spread(encoder, settings, Workers())
    weights = [weight for weight in encoder.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=settings.learning_rate)
    gradient = GradientStep(SharedEncoding(model, data, settings, Workers()), None)
    seconds, tokens = [], []
    for step in range(WARM_UP + steps):
        begun = time.perf_counter()
        batch = make_batch(data, step, settings)
        gradient(batch, step)
        optimizer.step()
        optimizer.zero_grad()
        if device == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - begun)
        tokens.append(tokens_of(data, batch))
    rate = median(n / took for n, took in zip(tokens[WARM_UP:], seconds[WARM_UP:], strict=True))
    on_cpu = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        "step_seconds": median(seconds[WARM_UP:]),
        "tokens_per_second": rate,
        "peak_gb": (torch.cuda.max_memory_allocated() if device == "cuda" else on_cpu) / 1e9,
        "flop_share": rate * flops_per_token(encoder) / (1e12 * peak_tflops),
        "chunks": settings.batch_size,
    }


def main() -> None:
    """Measure the shapes, each in a process of its own, and print what they took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=Path, help="stage-1 records; without it those of the open notes are made")
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=["bert_base", "mistral_7b"])
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--set", type=_setting, nargs="+", default=[])
    parser.add_argument("--peak-tflops", type=float, default=989)
    arguments = parser.parse_args()
    changes, figures = dict(arguments.set), {}
    file = next(iter(sorted((arguments.records or open_records(stage=1)).glob("*.jsonl"))))
    with file.open(encoding="utf-8") as stream:
        lines = list(islice(stream, MOST_RECORDS))
    for name in arguments.shapes:
        settings = settings_of(SHAPES[name], changes)
        with tempfile.TemporaryDirectory() as folder:
            rows = stage_records(lines, [str(file)] * len(lines), BUNDLED, settings.chunk_tokens)
            write_tables(rows, BUNDLED, settings, Path(folder))
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
                of = (name, Path(folder), arguments.steps, changes, arguments.peak_tflops)
                figures[name] = process.submit(measure, *of).result()
        print(json.dumps({name: figures[name]}), flush=True)
    print(json.dumps(figures))


def _setting(text: str) -> tuple[str, Any]:
    name, _, value = text.partition("=")
    return name, yaml.safe_load(value)


if __name__ == "__main__":
    main()
