"""Longest match with the boundary rules of DR.EHR's published code.

All terms lie lower-cased in a character trie. In the lower-cased text a match starts at the first character, after
white space or after `(`, on an alphanumeric; it ends at the end of the text, before white space or before one of
`datagen.graph.pieces.ENDS`. The longest term that ends so wins - a longer term that runs on into a word ("acute pain"
in "acute painful") does not hide a shorter one ("acute") - and scanning goes on behind it.
"""

from collections.abc import Sequence

from datagen.matching.base import Match, Matcher, by_text


class DrEhrMatcher(Matcher):
    def find_all(self, texts: Sequence[str]) -> list[list[Match]]:
        lowered = [text.lower() for text in texts]
        joined = "\n".join(lowered)  # no term goes over the end of a line
        matches = [Match(start, end, joined[start:end]) for start, end in self.graph.terms.scan(joined)]
        return [
            found if len(low) == len(text) else _in_original_offsets(found, text)
            for found, low, text in zip(by_text(matches, lowered, "\n"), lowered, texts, strict=True)
        ]


def _in_original_offsets(matches: list[Match], text: str) -> list[Match]:
    """Lower-casing lengthens a few characters ("İ"); lead each offset back to the character it came from."""
    origin = [i for i, character in enumerate(text) for _ in character.lower()]
    origin.append(len(text))
    return [Match(origin[start], origin[end], term) for start, end, term in matches]
