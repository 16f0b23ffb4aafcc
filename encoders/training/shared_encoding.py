"""Vectors of training texts: encoded in parts of similar length, every worker its share of the parts."""

from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from typing import NamedTuple

import numpy as np
import torch

from encoders.training.data import TrainingData
from encoders.training.model import Model
from encoders.training.parts import cut
from encoders.training.settings import TrainingSettings
from encoders.training.workers import Workers


class Text(NamedTuple):
    """A chunk or a term."""

    tokens: list[int]
    unpooled: int
    """How many of the first tokens are not pooled."""


class Part(NamedTuple):
    """Texts that go through the encoder at once."""

    number: int | None
    """Among the parts of all workers; None for one that is encoded in vain."""
    rows: np.ndarray
    """Places of its texts, int (n,)."""


class SharedEncoding:
    """Encodes chunks and terms of the training data. Every rank makes the same calls."""

    def __init__(self, model: Model, data: TrainingData, settings: TrainingSettings, workers: Workers) -> None:
        self.model, self.settings, self.workers = model, settings, workers
        self._data = data
        self._unpooled = {kind: model.encoder.unpooled_tokens(kind) for kind in ("passage", "query")}

    def chunks(self, rows: Iterable[int]) -> list[Text]:
        """The chunks of some rows of the training data."""
        return [Text(self._data.chunk_tokens(int(row)), self._unpooled["passage"]) for row in rows]

    def terms(self, terms: Iterable[int]) -> list[Text]:
        """Terms by their ids."""
        return [Text(self._data.term_tokens(int(term)), self._unpooled["query"]) for term in terms]

    def own_parts(self, texts: Sequence[Text]) -> list[Part]:
        """The rank's parts. Every rank has as many; those that lack one encode a text in vain."""
        parts = cut([len(text.tokens) for text in texts], self.settings.part_tokens)
        rank, world = self.workers
        numbers = range(rank, -(-len(parts) // world) * world, world)
        return [Part(n, parts[n]) if n < len(parts) else Part(None, parts[-1][-1:]) for n in numbers]

    def encode(self, texts: Sequence[Text], part: Part, step: int) -> torch.Tensor:
        """Vectors (n, dimension) of a part's texts; what dropout drops follows from seed, step and part."""
        torch.manual_seed(hash((self.settings.seed, step, part.number or 0)))
        inputs = self.model.encoder.pad(*zip(*(texts[row] for row in part.rows), strict=True))
        bf16 = self.settings.precision == "bf16"
        with torch.autocast(inputs[0].device.type, torch.bfloat16) if bf16 else nullcontext():
            return self.model.forward(*inputs)

    def shared(self, texts: Sequence[Text], parts: Sequence[Part], vectors: Iterable[torch.Tensor]) -> torch.Tensor:
        """Vectors of all texts, float32 (texts, dimension), of those that each rank has of its own parts."""
        encoder = self.model.encoder
        device = next(iter(encoder.parameters())).device
        whole = torch.zeros(len(texts), encoder.spec.dimension, device=device)
        for part, own in zip(parts, vectors, strict=True):
            if part.number is not None:
                whole[part.rows] = own.detach().float()
        return self.workers.sum(whole)

    @torch.no_grad()
    def vectors(self, texts: Sequence[Text]) -> np.ndarray:
        """Vectors of any number of texts as the encoder is now, float32 (texts, dimension)."""
        parts = self.own_parts(texts)
        encoder = self.model.encoder.eval()
        whole = self.shared(texts, parts, (self.encode(texts, part, 0) for part in parts)).cpu().numpy()
        encoder.train()
        return whole
