"""Other names of what a query names: terms of a knowledge graph and their synonyms, in a file of the release.

A key is a term's words, folded as the lexical side folds them, one space between; or a short form in capitals after a
mark, which only a word in capitals of the query finds: MS is not "ms". A value is its synonyms, one a line.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import marisa_trie

from serving.lexical import find_words
from serving.manifest import check_file, checksum_of

SYNONYMS = "synonyms.marisa"
LONGEST = 8
"""Words of a term, at most."""
SHORT = "^"


class Expansion(NamedTuple):
    """Words of a query, as written and where, and other names of what they name."""

    words: str
    synonyms: list[str]
    span: tuple[int, int]


def write_synonyms(known: Iterable[tuple[str, bool, Sequence[str]]], release: Path) -> str:
    """Write terms, whether each is a short form, and their synonyms into the release; the file's checksum."""
    entries: dict[str, bytes] = {}
    for term, is_short, synonyms in known:
        folded = [word.folded for word in find_words(term)]
        if 0 < len(folded) <= LONGEST and synonyms:
            key = SHORT + folded[0].upper() if is_short and len(folded) == 1 else " ".join(folded)
            entries.setdefault(key, "\n".join(synonyms).encode())
    marisa_trie.BytesTrie(entries.items()).save(str(release / SYNONYMS))
    return checksum_of(release / SYNONYMS)


class Synonyms:
    """Those of a release, memory-mapped. Raises ValueError when its file is missing or changed."""

    def __init__(self, release: Path, checksum: str) -> None:
        path = release / SYNONYMS
        check_file(path, checksum)
        self._trie = marisa_trie.BytesTrie().mmap(str(path))

    def expand(self, query: str) -> list[Expansion]:
        """What the query names by other names: from the left the longest terms, none within another."""
        words, found, start = find_words(query), [], 0
        while start < len(words):
            for stop in range(min(len(words), start + LONGEST), start, -1):
                if synonyms := self._of([word.folded for word in words[start:stop]], query[slice(*words[start].span)]):
                    span = words[start].span[0], words[stop - 1].span[1]
                    found.append(Expansion(query[slice(*span)], synonyms, span))
                    start = stop
                    break
            else:
                start += 1
        return found

    def _of(self, folded: Sequence[str], written: str) -> list[str]:
        keys = [" ".join(folded)]
        if len(folded) == 1 and written.isupper():
            keys.insert(0, SHORT + folded[0].upper())
        for key in keys:
            for value in self._trie.get(key, []):
                return str(value.decode()).split("\n")
        return []
