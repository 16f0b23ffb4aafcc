"""Phrases of a chunk's own text, as terms that are literally true of it.

Dense retrievers rank by topic and miss rare names that stand in the text word for word (Sciavolino et al. 2021, arXiv
2109.08535); a model taught on phrases of its own passages finds them (Chen et al. 2021, arXiv 2110.06918). It needs no
graph and works in every language.
"""

import re
from collections import Counter
from collections.abc import Iterable

import numpy as np
import xxhash

LONGEST = 3
"""Words of a phrase."""
COMMON = 0.1
"""A word in more than this share of the chunks begins and ends no phrase: function words of any language."""
_WORD = re.compile(r"\w+(?:[-'/.]\w+)*")
_BETWEEN = re.compile(r"\s+")


def phrases_of(text: str) -> set[str]:
    """Every run of up to LONGEST words that no punctuation breaks, casefolded."""
    words = list(_WORD.finditer(text))
    found = set()
    for start, first in enumerate(words):
        phrase, end = first.group().casefold(), first.end()
        found.add(phrase)
        for following in words[start + 1 : start + LONGEST]:
            if not _BETWEEN.fullmatch(text, end, following.start()):
                break
            phrase, end = f"{phrase} {following.group().casefold()}", following.end()
            found.add(phrase)
    return found


def common_words(texts: Iterable[str]) -> set[str]:
    """Words in more than COMMON of the texts, casefolded."""
    counts, number = Counter[str](), 0
    for text in texts:
        counts.update({word.group().casefold() for word in _WORD.finditer(text)})
        number += 1
    return {word for word, count in counts.items() if count > COMMON * number}


def draw_phrases(text: str, number: int, common: set[str]) -> list[str]:
    """Up to `number` phrases of a text, the same whenever it is asked; none begins or ends with a common word."""
    able = [phrase for phrase in sorted(phrases_of(text)) if _may_be_drawn(phrase, common)]
    generator = np.random.default_rng(xxhash.xxh64_intdigest(text.encode()))
    return [able[place] for place in generator.permutation(len(able))[:number]]


def _may_be_drawn(phrase: str, common: set[str]) -> bool:
    words = phrase.split(" ")
    return all(end not in common and any(map(str.isalpha, end)) for end in (words[0], words[-1]))
