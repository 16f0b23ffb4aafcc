"""The lexical side: Lance's full text index (BM25) over the chunks' text, and which words of a hit it matched.

Analysis: split at everything that is no letter or digit, lower case, accents folded, no stemming (it lowers MRR on
clinical notes: 0.901 against 0.906), and a short list of stop words of our own. The usual English list would swallow
abbreviations that look like function words: AS (aortic stenosis), OR (operating room), IT (intrathecal), no, not.
"""

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import lance
import numpy as np
from lance.query import BooleanQuery, FullTextQuery, MatchQuery, Occur
from numpy.typing import NDArray

STOP_WORDS = frozenset(
    [
        *("a", "an", "and", "are", "be", "been", "by", "for", "from", "had", "has", "have", "is"),
        *("of", "on", "that", "the", "this", "to", "was", "were", "which", "with"),
    ]
)
SYNONYM_WEIGHT = 0.05
"""So little that they decide among chunks without the query's own words, and hardly among those with them. As heavy as
these they cost a tenth of BM25's MRR on bench-dev; at this weight they bring 0.026 (docs/benchmarks.md)."""
_WORD = re.compile(r"[^\W_]+")


def index_text(chunks: lance.LanceDataset, anew: bool = False) -> None:
    """Create the full text index on `text`, or bring the one there is up to date. Commits a version if it changes.

    An index that is brought up to date keeps the words of rows that are gone; one that is made `anew` does not.
    """
    if not anew and any("text" in index.field_names for index in chunks.describe_indices()):
        chunks.optimize.optimize_indices()
    else:
        chunks.create_scalar_index("text", "INVERTED", stem=False, custom_stop_words=sorted(STOP_WORDS))


def match_words(
    chunks: lance.LanceDataset, query: str, limit: int, within: NDArray[np.int64] | None = None, synonyms: str = ""
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Lance row ids and BM25 scores of the best `limit` chunks that hold a word of `query`, best first.

    Words of `synonyms` count with SYNONYM_WEIGHT. `within` restricts the answer to these row ids; the statistics stay
    those of the whole store, so scores of different shards compare. But rows that came after the index was brought up
    to date are counted among those of `within` alone. The query is words only: it has no syntax.
    """
    found = chunks.scanner(
        columns=["_score"],
        with_row_id=True,
        full_text_query=_words_of(query, synonyms),
        filter=None if within is None else f"_rowid IN ({','.join(map(str, within.tolist()))})",
        prefilter=True,
        limit=limit,
    ).to_table()
    return found["_rowid"].to_numpy().astype(np.int64), found["_score"].to_numpy().astype(np.float32)


def _words_of(query: str, synonyms: str) -> FullTextQuery:
    asked = MatchQuery(query, "text")
    if not find_words(synonyms):
        return asked
    return BooleanQuery([(Occur.SHOULD, asked), (Occur.SHOULD, MatchQuery(synonyms, "text", boost=SYNONYM_WEIGHT))])


class Word(NamedTuple):
    """A word of a text: where it stands, and as the index has it."""

    span: tuple[int, int]
    folded: str


def find_words(text: str) -> list[Word]:
    """The words of a text as the index cuts them, stop words too."""
    return [Word(match.span(), _fold(match.group())) for match in _WORD.finditer(text)]


def highlights(query: str, text: str) -> list[tuple[int, int]]:
    """Spans `[start, end)` in `text` of the words that the index matches with a word of `query`."""
    wanted = _wanted(query)
    if text.isascii():
        lowered = text.lower()
        return sorted(span for word in wanted for span in _whole(word, lowered))
    return [match.span() for match in _WORD.finditer(text) if _fold(match.group()) in wanted]


@lru_cache(maxsize=64)
def _wanted(query: str) -> frozenset[str]:
    """The words of a query that highlights look for; every hit asks for them."""
    return frozenset(word.folded for word in find_words(query)) - STOP_WORDS


def _whole(word: str, text: str) -> Iterator[tuple[int, int]]:
    """Where it stands in the text as a word of its own."""
    start = text.find(word)
    while start >= 0:
        end = start + len(word)
        if not text[start - 1 : start].isalnum() and not text[end : end + 1].isalnum():
            yield start, end
        start = text.find(word, end)


def _fold(word: str) -> str:
    if word.isascii():
        return word.lower()
    decomposed = unicodedata.normalize("NFKD", word.lower())
    return "".join(character for character in decomposed if not unicodedata.combining(character))
