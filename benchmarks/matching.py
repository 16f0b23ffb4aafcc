"""The matcher against the published algorithm, on open notes, one thread each.

    python -m benchmarks.matching [--data ../shared/data] [--profile drehr]

The other side is DR.EHR's matching written straight from its description: a character trie of Python dictionaries, the
longest term that ends at a boundary, scanning forward. Both sides read the same notes in turn, three times, ours with
nothing remembered; the last line gives medians of CPU seconds. `mismatches` counts notes on which they differ (the
profile `clinical` is meant to).
"""

import argparse
import gc
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.open_data import DATA, open_notes, open_ontologies
from datagen.graph.artefact import BuiltGraph
from datagen.graph.building import build_graph
from datagen.matching import MatchingSettings, make_matcher

ENDS = frozenset("_~(^+\"#%:?`>$@*[]!&,{;.|}'<\\=)/")
ROUNDS = 3
NOTES_AT_ONCE = 50
Found = list[tuple[int, int]]


def published_matcher(terms: list[str]) -> Callable[[str], Found]:
    """The spans of the longest terms of a text, by a trie of dictionaries."""
    root: dict[str, Any] = {}
    for term in terms:
        node = root
        for character in term:
            node = node.setdefault(character, {})
        node["term"] = True

    def find(text: str) -> Found:
        lowered, place, found = text.lower(), 0, []
        length = len(lowered)
        while place < length:
            character = lowered[place]
            if not character.isalnum() or (place and not lowered[place - 1].isspace() and lowered[place - 1] != "("):
                place += 1
                continue
            best, node, end = 0, root, place
            while end < length and (below := node.get(lowered[end])) is not None:
                node, end = below, end + 1
                if "term" in node and (end == length or lowered[end].isspace() or lowered[end] in ENDS):
                    best = end
            if best:
                found.append((place, best))
            place = best or place + 1
        return found

    return find


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--profile", choices=["drehr", "clinical"], default="drehr")
    arguments = parser.parse_args()
    notes = [row["text"] for row in open_notes(arguments.data)]
    megabytes = sum(len(note.encode()) for note in notes) / 1e6
    with tempfile.TemporaryDirectory() as folder:
        build_graph(open_ontologies(arguments.data), Path(folder) / "graph")
        graph = BuiltGraph.open(Path(folder) / "graph")
        published = published_matcher(list(graph.terms.trie))
        matcher = make_matcher(MatchingSettings(profile=arguments.profile), graph)
        mismatches = sum([(m.start, m.end) for m in matcher.find(note)] != published(note) for note in notes)
        # The other side's trie is a million dictionaries; the garbage collector shall not walk them on our time.
        gc.collect()
        gc.freeze()
        ours_seconds, published_seconds = [], []
        for round_ in range(ROUNDS):
            matcher = make_matcher(MatchingSettings(profile=arguments.profile), graph)
            begun = time.process_time()
            for first in range(0, len(notes), NOTES_AT_ONCE):
                matcher.find_all(notes[first : first + NOTES_AT_ONCE])
            between = time.process_time()
            for note in notes:
                published(note)
            ours_seconds.append(between - begun)
            published_seconds.append(time.process_time() - between)
            print(
                f"round {round_ + 1}: ours {ours_seconds[-1]:.2f} s, published {published_seconds[-1]:.2f} s",
                flush=True,
            )
    figures = {
        "speedup": round(median(published_seconds) / median(ours_seconds), 2),
        "mismatches": mismatches,
        "mb_per_second": round(megabytes / median(ours_seconds), 2),
        "published_mb_per_second": round(megabytes / median(published_seconds), 2),
        "profile": arguments.profile,
        "terms": len(graph.terms.trie),
        "notes": len(notes),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
