"""The encoder as a Serve deployment: texts that arrive together become one batch."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from ray import serve
from ray.serve import Application

from encoders.compiled import load_encoder
from serving.bare_errors import bare
from serving.batching import Batcher
from serving.manifest import read_manifest
from serving.release import find_encoder
from serving.replicas import ReplicaSettings

Encode = Callable[[Sequence[str]], NDArray[np.floating]]
PIECE = 8
"""Texts of a long call that are computed at a time: so long a query waits at most."""


class EncoderSettings(ReplicaSettings):
    """Resources and batching of the encoder replicas."""

    num_cpus: float = Field(default=0.5, ge=0)
    use_gpu: bool = False
    """One GPU a replica; what runs on processors is compiled for them instead."""
    threads: int = Field(default=1, gt=0)
    """Batches that a replica computes at a time, each by one thread: more do not help one query, but with two none
    waits for what is longer."""
    max_batch_size: int = Field(default=32, gt=0)
    """Requests (not texts) in one batch."""

    def resources(self) -> dict[str, float]:
        """What Ray reserves for one replica."""
        return {**super().resources(), **({"GPU": 1} if self.use_gpu else {})}


class EncoderDeployment:
    """Query texts in, normalised vectors out."""

    def __init__(self, release: str, settings: EncoderSettings) -> None:
        torch.set_num_threads(settings.threads)
        encoder, number_format = find_encoder(Path(release)), read_manifest(Path(release)).number_format
        loaded = load_encoder(encoder, number_format, settings.threads, settings.use_gpu)
        self._encoder = loaded.to("cuda" if settings.use_gpu else "cpu")
        self._encoder.encode_queries(["warm up"])  # the first of its kind takes longer
        # Who waits longest is next: queries and pieces of long calls take turns.
        self._turn = asyncio.Semaphore(settings.threads)
        # Of several routers: each sends one batch at a time.
        self._encode_together = Batcher(self._encode_batch, settings.max_batch_size)

    @bare
    async def encode(self, queries: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of unit length, shape (queries, dimension)."""
        return await self._encode_together(list(queries))

    @bare
    async def embed(self, texts: Sequence[str], kind: str) -> tuple[NDArray[np.floating], int]:
        """Unit vectors of queries or passages, shape (texts, dimension), and how many tokens these have."""
        encode = self._encoder.encode_queries if kind == "query" else self._encoder.encode_passages
        tokens = await asyncio.to_thread(self._encoder.tokenize, list(texts), kind)
        return _unit(await self._in_pieces(encode, texts)), sum(map(len, tokens))

    @bare
    async def encode_passages(self, texts: Sequence[str]) -> NDArray[np.floating]:
        """Vectors of chunks that come in, shape (texts, dimension)."""
        return await self._in_pieces(self._encoder.encode_passages, texts)

    @bare
    async def ready(self) -> bool:
        """True once the model is loaded: the constructor does that."""
        return True

    async def _encode_batch(self, requests: list[list[str]]) -> list[NDArray[np.float32]]:
        texts = [text for request in requests for text in request]
        vectors = _unit(await self._computed(self._encoder.encode_queries, texts))
        ends = np.cumsum([len(request) for request in requests])
        return np.split(vectors, ends[:-1])

    async def _in_pieces(self, encode: Encode, texts: Sequence[str]) -> NDArray[np.floating]:
        pieces = [texts[at : at + PIECE] for at in range(0, len(texts), PIECE)]
        return np.concatenate([await self._computed(encode, piece) for piece in pieces])

    async def _computed(self, encode: Encode, texts: Sequence[str]) -> NDArray[np.floating]:
        async with self._turn:
            return await asyncio.to_thread(encode, texts)


def _unit(vectors: NDArray[np.floating]) -> NDArray[np.floating]:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def bind_encoder(release: Path, settings: EncoderSettings) -> Application:
    """The encoder node of a release's application."""
    deployment = serve.deployment(
        name="encoder",
        **settings.deployment_options(),
        max_ongoing_requests=4 * settings.max_batch_size,
        max_constructor_retry_count=2,
    )(EncoderDeployment)
    return deployment.bind(str(release), settings)
