"""What a retriever ranks for a query, and where the relevant documents stand in it.

For many patients all documents are ranked; for one, the chunks of one note. Documents rank by score, ties by document
id descending, as trec_eval does.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from evaluation.benchmark import Benchmark, Judgement

UNKNOWN = -1
"""Stands for a document that the benchmark does not hold; it takes its place in the ranking."""
MISSED = -1
"""The rank of a relevant document that was not retrieved."""


class Hits(NamedTuple):
    """What a retriever ranks for one query, best first."""

    documents: np.ndarray
    """Positions, int (ranked,), each once; UNKNOWN may repeat."""
    scores: np.ndarray
    """Float (ranked,)."""
    unknown: Sequence[str] = ()
    """The ids of the UNKNOWN ones, in their order."""


class Ranking(NamedTuple):
    """Where the relevant documents of one ranked list stand."""

    query: int
    length: int
    """Of the list, documents that were not retrieved included."""
    ranks: np.ndarray
    """Of each relevant document, from 0, ascending, MISSED ones last; int (relevant,)."""
    grades: np.ndarray
    """Of each relevant document; int (relevant,)."""
    rows: tuple[frozenset[str], ...]
    """For each relevant document the match type rows of the report that it counts towards."""

    def only(self, row: str) -> "Ranking":
        """The list with the relevant documents that do not belong to `row` taken out."""
        kept = np.array([row in rows for rows in self.rows])
        ahead = np.cumsum(~kept)
        ranks = np.where(self.ranks == MISSED, MISSED, self.ranks - ahead)
        return Ranking(
            self.query,
            self.length - int(ahead[-1]),
            ranks[kept],
            self.grades[kept],
            tuple(rows for rows in self.rows if row in rows),
        )


def hits_by_score(benchmark: Benchmark, scores: np.ndarray) -> Hits:
    """Every document by the score of its best chunk; scores float (chunks,)."""
    order = benchmark.chunks_by_id[np.argsort(-scores[benchmark.chunks_by_id], kind="stable")]
    documents = benchmark.document_of_chunk[order]
    if benchmark.ranks == "note":
        firsts = np.sort(np.unique(documents, return_index=True)[1])
        order, documents = order[firsts], documents[firsts]
    return Hits(documents, scores[order])


def hits_of_scores(benchmark: Benchmark, scores: Mapping[str, float]) -> Hits:
    """What someone else ranked, by document id; scores in single precision, as trec_eval compares them."""
    ids = sorted(scores, reverse=True)
    values = np.array([scores[each] for each in ids], np.float32)
    order = np.argsort(-values, kind="stable")
    documents = np.array([benchmark.document_at.get(ids[at], UNKNOWN) for at in order], np.int64)
    unknown = tuple(ids[at] for at, document in zip(order, documents, strict=True) if document == UNKNOWN)
    return Hits(documents, values[order], unknown)


def multi_patient(benchmark: Benchmark, query: int, hits: Hits) -> Ranking:
    """The list over all documents, for a query that has judgements."""
    return _ranking(query, benchmark.judgements_of_query[query], hits.documents, len(benchmark.document_ids))


def single_patient(benchmark: Benchmark, query: int, hits: Hits) -> Iterator[Ranking]:
    """One list for each note with a relevant chunk: the chunks of that note, in the order of the hits."""
    by_note: dict[str, list[Judgement]] = {}
    for judgement in benchmark.judgements_of_query[query]:
        by_note.setdefault(benchmark.note_ids[judgement.document], []).append(judgement)
    rank = np.full(len(benchmark.chunk_ids) + 1, len(hits.documents))
    rank[hits.documents] = np.arange(len(hits.documents))
    for note, judgements in by_note.items():
        chunks = benchmark.chunks_of_note[note]
        listed = chunks[rank[chunks] < len(hits.documents)]
        yield _ranking(query, judgements, listed[np.argsort(rank[listed])], len(chunks))


def holds_notes(benchmark: Benchmark, query: int, hits: Hits) -> bool:
    """Whether the list goes down to every chunk of the notes that `single_patient` ranks."""
    if len(hits.documents) - len(hits.unknown) == len(benchmark.chunk_ids):
        return True
    notes = {benchmark.note_ids[judgement.document] for judgement in benchmark.judgements_of_query[query]}
    return bool(np.isin(np.concatenate([benchmark.chunks_of_note[note] for note in notes]), hits.documents).all())


def tied(benchmark: Benchmark, query: int, hits: Hits) -> tuple[bool, bool]:
    """Whether the first relevant document, and whether any, has the score of one that is not relevant."""
    relevant = np.isin(hits.documents, list(benchmark.relevant(query)))
    alike = np.isin(hits.scores[relevant], hits.scores[~relevant])
    return bool(alike[:1].any()), bool(alike.any())


def _ranking(query: int, judgements: Sequence[Judgement], order: np.ndarray, length: int) -> Ranking:
    by_document = {judgement.document: judgement for judgement in judgements}
    ranks = np.flatnonzero(np.isin(order, list(by_document)))
    ranked = [by_document.pop(int(order[rank])) for rank in ranks]
    relevant = ranked + list(by_document.values())
    return Ranking(
        query,
        length,
        np.concatenate([ranks, np.full(len(by_document), MISSED)]),
        np.array([judgement.grade for judgement in relevant]),
        tuple(map(_rows_of, relevant)),
    )


def _rows_of(judgement: Judgement) -> frozenset[str]:
    rows = {judgement.match_type} - {""}
    if rows - {"string"}:
        rows.add("non-string")
    if judgement.evidence == "unseen":
        rows.add("unseen")
    return frozenset(rows)
