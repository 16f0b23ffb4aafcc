"""The encoder on processors: the same model, run by OpenVINO. Several threads may encode at once."""

from collections import deque
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import torch

from encoders.conversion import NotConvertibleError, converted, openvino
from encoders.encoder import Encoder
from encoders.number_format import NumberFormat
from encoders.spec import fingerprint, resolve
from encoders.text_tokenizer import TextTokenizer

BATCH_TOKENS = 2048
"""Of a batch, padding included."""
TOKENISED_TOGETHER = 128
"""Texts: while these are computed, the next are tokenised."""
STEP = 8
"""Batches are as long as a multiple of it, because every new shape costs time."""
OWN_BATCH = 32
"""What a batch costs beside its texts, in tokens: as much padding of the shorter ones is worth another batch."""
LONE_TOKENS = 16
"""A lone query of up to so many goes to a model of this one shape: in MiniLM it takes a quarter less."""


class CompiledEncoder:
    """Text in, vectors out, as `Encoder` does; `threads` texts are computed at a time, each by one thread."""

    def __init__(
        self, model: Path, tokenizer: TextTokenizer, fingerprint: str, number_format: NumberFormat, threads: int
    ) -> None:
        self.spec, self.fingerprint, self.number_format = tokenizer.spec, fingerprint, number_format
        self._tokenizer, self._model, self._threads = tokenizer, model, threads
        self._batches = self._compile(openvino().Core().read_model(model), threads)
        self._lone: Any = None
        self._lone_lock = Lock()

    @classmethod
    def load(cls, name: str, number_format: NumberFormat = "fp32", threads: int = 1) -> "CompiledEncoder":
        """Load `bundled` or an encoder folder. Raises what `converted` raises."""
        model, tokenizer = converted(name, number_format), TextTokenizer.load(name)
        return cls(model, tokenizer, fingerprint(resolve(name), tokenizer.spec), number_format, threads)

    def to(self, device: str) -> "CompiledEncoder":
        """Itself: it runs on processors alone."""
        assert device == "cpu"
        return self

    def tokenize(self, texts: Sequence[str], kind: str) -> list[list[int]]:
        """Token ids of queries or passages: prefix added, cut at the spec's length."""
        return self._tokenizer.tokenize(texts, kind)

    def encode_queries(self, texts: Sequence[str]) -> np.ndarray:
        """Query vectors, float32 (n, dimension)."""
        return self._encode(texts, "query")

    def encode_passages(self, texts: Sequence[str]) -> np.ndarray:
        """Passage vectors, float32 (n, dimension)."""
        return self._encode(texts, "passage")

    def _encode(self, texts: Sequence[str], kind: str) -> np.ndarray:
        vectors = np.empty((len(texts), self.spec.dimension), np.float32)
        unpooled = self._tokenizer.unpooled_tokens(kind)
        if len(texts) == 1:
            token_ids = self.tokenize(texts, kind)
            if len(token_ids[0]) <= LONE_TOKENS:
                return self._encode_lone(self._tokenizer.pad(token_ids, [unpooled], LONE_TOKENS))

        running: deque[tuple[Any, list[int]]] = deque()

        def take() -> Any:
            request, rows = running.popleft()
            request.wait()
            vectors[rows] = request.get_output_tensor().data
            return request

        # No callbacks (AsyncInferQueue): they want Python's lock, which a model's end holds while it waits for them.
        for start in range(0, len(texts), TOKENISED_TOGETHER):
            token_ids = self.tokenize(texts[start : start + TOKENISED_TOGETHER], kind)
            for rows, longest in _batches([len(tokens) for tokens in token_ids]):
                batch = self._tokenizer.pad([token_ids[row] for row in rows], [unpooled] * len(rows), longest)
                # One more than is computed at a time, so that a thread finds the next.
                request = take() if len(running) > self._threads else self._batches.create_infer_request()
                request.start_async(batch)
                running.append((request, [start + row for row in rows]))
        while running:
            take()
        return vectors

    def _encode_lone(self, batch: tuple[np.ndarray, ...]) -> np.ndarray:
        with self._lone_lock:
            if self._lone is None:
                model = openvino().Core().read_model(self._model)
                model.reshape({each.any_name: batch[0].shape for each in model.inputs})
                self._lone = self._compile(model, 1).create_infer_request()
            self._lone.infer(batch, share_inputs=True)
            return self._lone.get_output_tensor().data.copy()

    def _compile(self, model: Any, threads: int) -> Any:
        settings = {
            # OpenVINO itself would take bf16 where the processor has it; beside int8 it is wrong at 32 tokens.
            "INFERENCE_PRECISION_HINT": "bf16" if self.number_format == "bf16" else "f32",
            "NUM_STREAMS": threads,
            "INFERENCE_NUM_THREADS": threads,
            # Processes of one machine would all be bound to its first cores.
            "ENABLE_CPU_PINNING": False,
        }
        return openvino().Core().compile_model(model, "CPU", settings)


def _batches(lengths: Sequence[int]) -> Iterator[tuple[list[int], int]]:
    """Rows of similar length and that to which they are padded, the longest first, BATCH_TOKENS together."""
    padded = [-(-length // STEP) * STEP for length in lengths]
    order = sorted(range(len(lengths)), key=lambda row: -padded[row])
    while order:
        longest = padded[order[0]]
        rows = order[: max(1, BATCH_TOKENS // longest)]
        for at, row in enumerate(rows):
            if (longest - padded[row]) * (len(rows) - at) > OWN_BATCH:
                rows = rows[:at]
                break
        yield rows, longest
        order = order[len(rows) :]


def load_encoder(
    name: str, number_format: NumberFormat = "fp32", threads: int = 1, use_gpu: bool = False
) -> Encoder | CompiledEncoder:
    """The encoder as it runs fastest: by OpenVINO on processors, by torch on GPUs and where OpenVINO cannot run it.

    Raises ValueError for int8 where only torch is left.
    """
    reason = f"{name}: on a GPU"
    if not use_gpu and find_spec("openvino"):
        try:
            return CompiledEncoder.load(name, number_format, threads)
        except NotConvertibleError as error:
            reason = str(error)
    elif not use_gpu:
        reason = f"{name}: without OpenVINO (pip install drehr[cpu])"
    if number_format == "int8":
        raise ValueError(f"{reason}: no int8; take number_format fp32 or bf16")
    encoder = Encoder.load(name)
    return encoder.in_format(torch.bfloat16) if number_format == "bf16" else encoder
