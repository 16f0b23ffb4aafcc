"""Any model of sentence-transformers, run by that library: its own prompts, pooling and further layers."""

import hashlib
import json
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
import transformers


class PlainEncoder:
    """A model that this project does not train or serve, to be compared with."""

    def __init__(self, model: Any) -> None:
        self._model = model

    @classmethod
    def load(cls, name: str) -> "PlainEncoder":
        """A folder, or a name on the hub. Raises ValueError where the library cannot load it."""
        from sentence_transformers import SentenceTransformer

        transformers.utils.logging.disable_progress_bar()
        try:
            return cls(SentenceTransformer(name, device="cpu"))
        except (OSError, ValueError) as error:
            raise ValueError(f"{name}: sentence-transformers cannot load it: {error}") from None

    def to(self, device: str) -> "PlainEncoder":
        """Moved there."""
        self._model.to(device)
        return self

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits of SHA-256 over weights, prompts and length."""
        settings = [self._model.prompts, self._model.max_seq_length, str(self._model)]
        digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
        for name, tensor in sorted(self._model.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.contiguous().view(torch.uint8).numpy().data if tensor.dim() else str(tensor).encode())
        return digest.hexdigest()[:16]

    def encode_queries(self, texts: Sequence[str]) -> np.ndarray:
        """Query vectors, float32 (n, dimension)."""
        return self._model.encode_query(list(texts), convert_to_numpy=True, show_progress_bar=False)

    def encode_passages(self, texts: Sequence[str]) -> np.ndarray:
        """Passage vectors, float32 (n, dimension)."""
        return self._model.encode_document(list(texts), convert_to_numpy=True, show_progress_bar=False)
