"""Texts to token ids, as an encoder's spec says; needs none of its weights."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import transformers

from encoders.spec import EncoderSpec, read_spec, resolve


class TextTokenizer(NamedTuple):
    """A tokenizer of transformers with an encoder's prefixes and lengths."""

    tokenizer: Any
    spec: EncoderSpec

    @classmethod
    def load(cls, name: str) -> "TextTokenizer":
        """Of an encoder by name. Raises ValueError naming the file when its folder is incomplete."""
        folder = resolve(name)
        return cls(transformers.AutoTokenizer.from_pretrained(folder), read_spec(folder))

    def tokenize(self, texts: Sequence[str], kind: str, max_tokens: int | None = None) -> list[list[int]]:
        """Token ids of queries or passages: prefix added, cut at the spec's length or at `max_tokens` without it."""
        prefix, limit = getattr(self.spec, f"{kind}_prefix"), getattr(self.spec, f"max_{kind}_tokens")
        if max_tokens:
            limit = min(limit, max_tokens + len(self.tokenizer(prefix, add_special_tokens=False)["input_ids"]))
        return self.tokenizer([prefix + text for text in texts], truncation=True, max_length=limit)["input_ids"]

    def unpooled_tokens(self, kind: str) -> int:
        """How many of the first tokens of a query or passage are not pooled, special ones in front included."""
        prefix = getattr(self.spec, f"{kind}_prefix")
        if self.spec.pools_prefixes or not prefix:
            return 0
        ids = self.tokenizer(prefix)["input_ids"]
        return len(ids) - (ids[-1] in self.tokenizer.all_special_ids)

    def pad(
        self, token_ids: Sequence[Sequence[int]], unpooled: Sequence[int], longest: int = 0
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Padded ids, their mask and that of the pooled ones, each int64 (n, the longest or more).

        `unpooled` (n,) says how many of the first tokens of each are left out of the pooling.
        """
        lengths = np.array([len(row) for row in token_ids])
        ids = np.full((len(lengths), max(longest, *lengths)), self.tokenizer.pad_token_id)
        for row, tokens in zip(ids, token_ids, strict=True):
            row[: len(tokens)] = tokens
        places = np.arange(ids.shape[1])
        mask = places < lengths[:, None]
        # A space that ends a prefix is a token of its own only while nothing follows it: the last one is always pooled.
        pooled = mask & (places >= np.minimum(unpooled, lengths - 1)[:, None])
        return ids, mask.astype(np.int64), pooled.astype(np.int64)
