"""One shard, without Ray: which rows a query may find, their exact cosines and BM25 scores, and their contents."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serving.expansion import Expansion
from serving.fusion import letters_held
from serving.lexical import match_words
from serving.protocol import Filters, GroupBy, Mode
from serving.scope import Scope
from serving.selection import RowIds, Selection
from serving.shard_state import Follower, ShardState

NARROW_ROWS = 500
"""Up to so many allowed rows are all scored, both ways; more are searched by index. Every patient but a few is
narrow; beyond, a list of row ids costs Lance more (3 ms at 500) than reading its ranking deeper."""

CARRIED_ROWS = 32
"""Up to so many candidates bring their contents along, which saves a call; a page of 10 has 11 a shard."""

CONTENTS = [
    *("chunk_id", "note_id", "patient_id", "note_type", "note_time"),
    *("source", "text", "char_start", "char_end"),
]


@dataclass(frozen=True)
class ShardQuery:
    """What a shard is asked. `vector` (dimension,) is normalised and absent in lexical mode."""

    text: str = field(repr=False)
    vector: NDArray[np.float32] | None = field(repr=False)
    mode: Mode
    depth: int
    """Candidates wanted per retriever."""
    filters: Filters = field(repr=False)
    group_by: GroupBy = "chunk"
    scope: Scope | None = field(default=None, repr=False)
    """The patients whom the caller may see; None is every patient."""
    min_version: int = 0
    """Of the store's chunks, that the answer must hold."""
    expansions: Sequence[Expansion] = field(default=(), repr=False)

    @property
    def synonyms(self) -> str:
        """The words of the expansions."""
        return " ".join(name for each in self.expansions for name in each.synonyms)


@dataclass(frozen=True)
class Candidates:
    """Rows of one shard with their raw scores, each array of shape (candidates,).

    Every candidate has the scores of all retrievers of the mode; the others are 0. Hybrid candidates are the best
    `depth` of each retriever.
    """

    rows: RowIds
    versions: NDArray[np.int64]
    """Of the rows' notes: a row that changes keeps its id."""
    lexical: NDArray[np.float32]
    dense: NDArray[np.float32]
    coverage: float
    """How much of the query the best lexical candidate holds (`serving.fusion.letters_held`); 0 but in hybrid mode."""
    groups: list[str] | None
    """Of each candidate its note or patient, where these are ranked."""
    is_all: bool
    """Whether a deeper search would find nothing more."""
    patients_known: int
    """How many of the filter's patients have rows here that the caller may see."""
    version: int
    """Of the store's chunks, that were searched."""
    contents: list[dict[str, Any] | None] | None = field(default=None, repr=False)
    """Of each candidate, where there are few: nobody needs to ask for them then."""


class Shard:
    """A shard at one version of the store after the other; a search stays in the one it began with."""

    def __init__(self, follower: Follower) -> None:
        self._follower = follower
        self._following = Lock()
        self._before = follower.state
        self._has_followed = False

    @classmethod
    def load(cls, release: Path, number: int) -> "Shard":
        """Shard `number` of the release. Raises ValueError when a file or the store's version is missing or wrong."""
        shard = cls(Follower(release, number))
        # While a release is made ready the store may lack vectors of its encoder: then the first search follows.
        with suppress(ValueError):
            shard.follow()
        return shard

    @property
    def version(self) -> int:
        """Of the store's chunks, which it answers from."""
        return self._follower.state.version

    def follow(self) -> None:
        """Go to the head of the store."""
        with self._following:
            before = self._follower.state
            if self._follower.follow():
                self._before = before
            self._has_followed = True

    def search(self, queries: Sequence[ShardQuery]) -> list[Candidates]:
        """Candidates of each query. Never fewer than `depth` rows where so many are allowed and can match."""
        if not self._has_followed:
            self.follow()
        elif max(query.min_version for query in queries) > self.version:
            # Where it cannot, the answer says how far it came.
            with suppress(ValueError):
                self.follow()
        state = self._follower.state
        selections = [Selection(state, query.filters, query.scope) for query in queries]
        nearest = _nearest(state, queries, selections)
        return [
            _candidates(state, query, selected, found)
            for query, selected, found in zip(queries, selections, nearest, strict=True)
        ]

    def fetch(self, batch: Sequence[Sequence[tuple[int, int]]]) -> list[list[dict[str, Any] | None]]:
        """The contents of each list of (row id, version), in its order; None for what is not here (any longer)."""
        found = iter(self._fetch([row for rows in batch for row in rows]))
        return [[next(found) for _ in rows] for rows in batch]

    def _fetch(self, rows: Sequence[tuple[int, int]]) -> list[dict[str, Any] | None]:
        found = _contents_in(self._follower.state, rows)
        if None in found:
            # The search may have begun in the state before, or at a replica that is ahead of this one.
            self.follow()
            now, before = (_contents_in(state, rows) for state in (self._follower.state, self._before))
            found = [one or other for one, other in zip(now, before, strict=True)]
        return found


def _nearest(state: ShardState, queries: Sequence[ShardQuery], selections: Sequence[Selection]) -> list[RowIds]:
    """The best `depth` cosines of each query; none in lexical mode, all allowed rows where they are few."""
    found: list[list[RowIds]] = [[] for _ in queries]
    for place, part in enumerate(state.parts):
        everywhere, vectors = [], []
        for number, (query, selected) in enumerate(zip(queries, selections, strict=True)):
            rows = selected.rows[place]
            if query.vector is None:
                continue
            if rows is None:
                everywhere.append(number)
                vectors.append(query.vector)
                continue
            if selected.total > NARROW_ROWS:
                (rows,) = part.segment.nearest(query.vector[None], query.depth, rows)
            found[number].append(part.segment.row_ids[rows])
        if everywhere:
            depth = max(queries[number].depth for number in everywhere)
            for number, rows in zip(everywhere, part.segment.nearest(np.stack(vectors), depth), strict=True):
                found[number].append(part.segment.row_ids[rows[: queries[number].depth]])
    return [np.concatenate([np.empty(0, np.int64), *each]) for each in found]


def _candidates(state: ShardState, query: ShardQuery, selected: Selection, nearest: RowIds) -> Candidates:
    rows, lexical = np.sort(nearest), np.zeros(len(nearest), np.float32)
    is_all = len(nearest) == selected.total
    if query.mode != "dense":
        matched, scores = _match_words(state, query, selected)
        rows = np.union1d(nearest, matched)
        lexical = np.zeros(len(rows), np.float32)
        lexical[np.searchsorted(rows, matched)] = scores
        is_all |= query.mode == "lexical" and (selected.total <= NARROW_ROWS or len(matched) < query.depth)
        # A candidate of the dense side alone may hold words too, just not among the best.
        rest = np.setdiff1d(nearest, matched)
        if len(matched) >= query.depth and len(rest):
            least = scores.min()
            matched, scores = match_words(state.chunks, query.text, len(rest), within=rest, synonyms=query.synonyms)
            # Rows that the index does not have yet are scored as if there were no others: too high, but not the best.
            lexical[np.searchsorted(rows, matched)] = np.minimum(scores, least)
    dense, versions = np.zeros(len(rows), np.float32), np.zeros(len(rows), np.int64)
    for part in state.parts:
        at = part.at(rows)
        here = at >= 0
        versions[here] = part.segment.versions[at[here]]
        if query.vector is not None:
            dense[here] = part.segment.cosines(query.vector, at[here])
    coverage = 0.0
    if query.mode == "hybrid" and lexical.any():
        best = _contents(state, rows[lexical == lexical.max()], ["text"])
        texts = [content["text"] for content in best if content]
        coverage = letters_held(_as_found(query, texts), texts)
    groups = None
    if query.group_by != "chunk":
        column = f"{query.group_by}_id"
        groups = [content[column] for content in _contents(state, rows, [column]) if content]
    known = _patients_known(state, query)
    carried = _contents(state, rows) if len(rows) <= CARRIED_ROWS else None
    return Candidates(rows, versions, lexical, dense, coverage, groups, is_all, known, state.version, carried)


def _as_found(query: ShardQuery, texts: Sequence[str]) -> str:
    """The query's text, each of its expanded words by that name of theirs which the texts hold most of."""
    text = query.text
    for each in reversed(query.expansions):
        start, end = each.span
        best = max([text[start:end], *each.synonyms], key=lambda name: letters_held(name, texts))
        text = text[:start] + best + text[end:]
    return text


def _match_words(state: ShardState, query: ShardQuery, selected: Selection) -> tuple[RowIds, NDArray[np.float32]]:
    """The best `depth` word matches among the allowed rows (all of them where they are few)."""
    if not selected.total:
        return np.empty(0, np.int64), np.empty(0, np.float32)
    if selected.total <= NARROW_ROWS:
        within = selected.row_ids()
        return match_words(state.chunks, query.text, len(within), within, query.synonyms)
    # The ranking of the whole store, read deeper until it holds enough allowed rows of this shard or ends.
    everything = state.chunks.count_rows()
    limit = query.depth * everything // selected.total + query.depth
    while True:
        row_ids, scores = match_words(state.chunks, query.text, limit, synonyms=query.synonyms)
        mine = selected.holds(row_ids)
        if np.count_nonzero(mine) >= query.depth or len(row_ids) < limit:
            return row_ids[mine][: query.depth], scores[mine][: query.depth]
        limit *= 4


def _contents(state: ShardState, row_ids: RowIds, columns: Sequence[str] = CONTENTS) -> list[dict[str, Any] | None]:
    found: list[dict[str, Any] | None] = [None] * len(row_ids)
    for part in state.parts:
        at = part.at(row_ids)
        here = np.flatnonzero(at >= 0)
        if len(here):
            for place, content in zip(here.tolist(), part.segment.contents(at[here], columns), strict=True):
                found[place] = content
    return found


def _contents_in(state: ShardState, rows: Sequence[tuple[int, int]]) -> list[dict[str, Any] | None]:
    """Contents of rows in these versions alone."""
    found = _contents(state, np.array([row_id for row_id, _ in rows], np.int64), [*CONTENTS, "version"])
    return [
        content if content and content.pop("version") == version else None
        for content, (_, version) in zip(found, rows, strict=True)
    ]


def _patients_known(state: ShardState, query: ShardQuery) -> int:
    """Of the filter's patients those with living rows that are in the scope."""
    asked = {*(query.filters.patient_ids or [])}
    if query.scope is not None:
        asked &= query.scope.patients
    known = set()
    for part in state.parts:
        for patient in filter(part.segment.has_patient, asked):
            rows = part.living(part.segment.of_patients([patient]))
            if rows is not None and len(rows):
                known.add(patient)
    return len(known)
