"""Vectors of texts, kept by what was encoded with what. How they are encoded is given: here, or on Ray Data."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import xxhash

Kind = Literal["passage", "query"]


class TextEncoder(Protocol):
    """What encodes texts, whichever library runs it."""

    @property
    def fingerprint(self) -> str:
        """Changes with whatever changes its vectors."""

    def to(self, device: str) -> Any:
        """Itself, moved there."""

    def encode_passages(self, texts: Sequence[str]) -> np.ndarray:
        """Float32 (n, dimension)."""

    def encode_queries(self, texts: Sequence[str]) -> np.ndarray:
        """Float32 (n, dimension)."""


Load = Callable[[], TextEncoder]
Encode = Callable[[str, Load, Sequence[str], Kind], np.ndarray]
"""The encoder's name for progress lines, what loads it, texts, their kind -> float32 (texts, dimension)."""


class KeptVectors:
    """Vectors in a folder of `<texts>-<encoder fingerprint>-<kind>.npy`."""

    def __init__(self, folder: Path, encode: Encode) -> None:
        self._folder, self._encode = folder, encode

    def __call__(
        self, name: str, load: Load, fingerprint: str, texts: Sequence[str], kind: Kind = "passage"
    ) -> np.ndarray:
        """Float32 (texts, dimension), mapped from the file; `load` gives the encoder of that fingerprint."""
        path = self._folder / f"{texts_fingerprint(texts)}-{fingerprint}-{kind}.npy"
        if not path.exists():
            self._folder.mkdir(parents=True, exist_ok=True)
            aside = path.with_suffix(f".{os.getpid()}.unfinished")
            with aside.open("wb") as file:
                np.save(file, self._encode(name, load, texts, kind))
            aside.rename(path)
        return np.load(path, mmap_mode="r")


def encode_here(name: str, load: Load, texts: Sequence[str], kind: Kind) -> np.ndarray:
    """In this process."""
    encoder = load()
    return encoder.encode_passages(texts) if kind == "passage" else encoder.encode_queries(texts)


def texts_fingerprint(texts: Sequence[str]) -> str:
    """Of texts in their order."""
    digest = xxhash.xxh3_128()
    for text in texts:
        digest.update(f"{len(text)}:{text}".encode())
    return digest.hexdigest()
