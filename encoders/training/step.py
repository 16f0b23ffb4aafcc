"""The gradient of one batch: every distinct text encoded once, in parts of similar length.

The loss is computed on the vectors alone. Its gradient with respect to them then goes back through the encoder, through
what each part kept of its forward pass or, with the gradient cache, through a second one (Gao et al. 2021, arXiv
2101.06983). Dropout is seeded by part, so both passes drop the same, and so does any number of workers.
"""

from collections.abc import Iterator
from contextlib import nullcontext
from typing import NamedTuple

import numpy as np
import torch

from encoders.training.batches import Batch
from encoders.training.data import TrainingData
from encoders.training.model import Model
from encoders.training.objective import Objective, Side
from encoders.training.parts import cut
from encoders.training.settings import TrainingSettings
from encoders.training.workers import Workers


class Teacher(NamedTuple):
    """A teacher's vectors of all chunks and terms of the training data, mapped; float (n, d)."""

    chunks: np.ndarray
    terms: np.ndarray


NO_PART = -1


class _Text(NamedTuple):
    tokens: list[int]
    unpooled: int


class GradientStep:
    """Puts gradients into the encoder's weights."""

    def __init__(
        self, model: Model, data: TrainingData, settings: TrainingSettings, workers: Workers, teacher: Teacher | None
    ) -> None:
        self._model, self._data, self._settings, self._workers = model, data, settings, workers
        self._teacher = teacher
        self._objective = Objective(settings)
        self._unpooled = [model.encoder.unpooled_tokens(kind) for kind in ("passage", "query")]

    def __call__(self, batch: Batch, step: int) -> float:
        """The loss of the batch. Gradients of all workers together are those of one worker on the whole batch."""
        encoder, chunks = self._model.encoder, len(batch.rows)
        texts = [_Text(self._data.chunk_tokens(row), self._unpooled[0]) for row in batch.rows]
        texts += [_Text(self._data.term_tokens(term), self._unpooled[1]) for term in batch.terms]
        parts = list(self._own_parts(texts))
        device = next(iter(encoder.parameters())).device
        vectors = torch.zeros(len(texts), encoder.spec.dimension, device=device)
        kept = []
        for number, rows in parts:
            with torch.set_grad_enabled(not self._settings.gradient_cache):
                kept.append(self._encode(texts, rows, step, number))
            if number != NO_PART:
                vectors[rows] = kept[-1].detach().float()
        vectors = self._workers.sum(vectors).requires_grad_()
        loss = self._objective(*self._sides(batch, vectors, chunks), batch.pairs, self._workers)
        (gradient,) = torch.autograd.grad(loss, vectors)
        # Data-parallel training averages over the workers; the whole gradient is their sum.
        gradient = self._workers.sum(gradient) * self._workers.world
        own = [gradient[rows] if number != NO_PART else torch.zeros_like(gradient[rows]) for number, rows in parts]
        if self._settings.gradient_cache:
            self._encode_again(texts, parts, own, step)
        else:
            torch.autograd.backward(kept, [each.to(of.dtype) for each, of in zip(own, kept, strict=True)])
        return loss.item()

    def _own_parts(self, texts: list[_Text]) -> Iterator[tuple[int, np.ndarray]]:
        """The rank's parts with their numbers. Every rank has as many; those that lack one encode a text in vain."""
        parts = cut([len(text.tokens) for text in texts], self._settings.part_tokens)
        rank, world = self._workers
        for number in range(rank, -(-len(parts) // world) * world, world):
            yield (number, parts[number]) if number < len(parts) else (NO_PART, parts[-1][-1:])

    def _encode(self, texts: list[_Text], rows: np.ndarray, step: int, number: int) -> torch.Tensor:
        torch.manual_seed(hash((self._settings.seed, step, number)))
        inputs = self._model.encoder.pad(*zip(*(texts[row] for row in rows), strict=True))
        bf16 = self._settings.precision == "bf16"
        with torch.autocast(inputs[0].device.type, torch.bfloat16) if bf16 else nullcontext():
            return self._model.forward(*inputs)

    def _encode_again(
        self,
        texts: list[_Text],
        parts: list[tuple[int, np.ndarray]],
        gradients: list[torch.Tensor],
        step: int,
    ) -> None:
        for (number, rows), gradient in zip(parts, gradients, strict=True):
            is_last = rows is parts[-1][1]
            with nullcontext() if is_last else self._model.without_sync():
                vectors = self._encode(texts, rows, step, number)
                vectors.backward(gradient.to(vectors.dtype))

    def _sides(self, batch: Batch, vectors: torch.Tensor, chunks: int) -> tuple[Side, Side]:
        taught: tuple[torch.Tensor | None, torch.Tensor | None] = (None, None)
        if self._teacher:
            rows = self._teacher.chunks[batch.rows], self._teacher.terms[batch.terms]
            on_device = [torch.from_numpy(np.array(each, np.float32)).to(vectors.device) for each in rows]
            taught = on_device[0], on_device[1]
        return Side(vectors[:chunks], taught[0]), Side(vectors[chunks:], taught[1])
