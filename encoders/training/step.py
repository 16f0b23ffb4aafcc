"""The gradient of one batch: every distinct text encoded once, in parts of similar length.

The loss is computed on the vectors alone. Its gradient with respect to them then goes back through the encoder, through
what each part kept of its forward pass or, with the gradient cache, through a second one (Gao et al. 2021, arXiv
2101.06983). Dropout is seeded by part, so both passes drop the same, and so does any number of workers.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import NamedTuple

import numpy as np
import torch

from encoders.training.batches import Batch
from encoders.training.objective import Objective, Side
from encoders.training.shared_encoding import Part, SharedEncoding, Text


class Teacher(NamedTuple):
    """A teacher's vectors of all chunks and terms of the training data, mapped; float (n, d)."""

    chunks: np.ndarray
    terms: np.ndarray


class GradientStep:
    """Puts gradients into the encoder's weights."""

    def __init__(self, encoding: SharedEncoding, teacher: Teacher | None) -> None:
        self._encoding, self._teacher = encoding, teacher
        self._objective = Objective(encoding.settings)

    def __call__(self, batch: Batch, step: int) -> float:
        """The loss of the batch. Gradients of all workers together are those of one worker on the whole batch."""
        encoding, workers, is_cached = self._encoding, self._encoding.workers, self._encoding.settings.gradient_cache
        texts = [*encoding.chunks(batch.rows), *encoding.terms(batch.terms)]
        parts = encoding.own_parts(texts)
        with torch.set_grad_enabled(not is_cached):
            kept = [encoding.encode(texts, part, step) for part in parts]
        vectors = encoding.shared(texts, parts, kept).requires_grad_()
        loss = self._objective(*self._sides(batch, vectors), batch.pairs, workers)
        (gradient,) = torch.autograd.grad(loss, vectors)
        # Data-parallel training averages over the workers; the whole gradient is their sum.
        gradient = workers.sum(gradient) * workers.world
        wanted = [(part.number is not None) * gradient[part.rows].to(kept[0].dtype) for part in parts]
        if is_cached:
            self._encode_again(texts, parts, wanted, step)
        else:
            torch.autograd.backward(kept, wanted)
        return loss.item()

    def _encode_again(
        self, texts: Sequence[Text], parts: Sequence[Part], gradients: Sequence[torch.Tensor], step: int
    ) -> None:
        for part, gradient in zip(parts, gradients, strict=True):
            with nullcontext() if part is parts[-1] else self._encoding.model.without_sync():
                self._encoding.encode(texts, part, step).backward(gradient)

    def _sides(self, batch: Batch, vectors: torch.Tensor) -> tuple[Side, Side]:
        taught: tuple[torch.Tensor | None, torch.Tensor | None] = (None, None)
        if self._teacher:
            rows = self._teacher.chunks[batch.rows], self._teacher.terms[batch.terms]
            on_device = [torch.from_numpy(np.array(each, np.float32)).to(vectors.device) for each in rows]
            taught = on_device[0], on_device[1]
        chunks = len(batch.rows)
        return Side(vectors[:chunks], taught[0]), Side(vectors[chunks:], taught[1])
