"""A benchmark: chunks to rank, queries, and which documents answer which query."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np


class Judgement(NamedTuple):
    """One relevant (query, document) pair; both are positions in the benchmark's tuples."""

    query: int
    document: int
    match_type: str = ""
    """How the document says what the query asks (string, synonym, ...); empty where the benchmark does not tell."""
    evidence: str = ""
    grade: int = 1


@dataclass(frozen=True)
class Benchmark:
    """Chunks, queries and relevant pairs. Everything after reading works on positions in these tuples."""

    name: str
    chunk_ids: tuple[str, ...]
    chunk_texts: tuple[str, ...]
    note_ids: tuple[str, ...]
    """The note of each chunk."""
    query_ids: tuple[str, ...]
    query_texts: tuple[str, ...]
    query_types: tuple[str, ...]
    judgements: tuple[Judgement, ...]
    ranks: Literal["chunk", "note"] = "chunk"
    """What a document is: a chunk, or a whole note (a patient, a concept, ...), ranked by its best chunk."""
    relevant_from: int = 1
    """The lowest grade that counts as relevant for measures that know no grades."""
    measures: tuple[str, ...] = ("mrr", "ndcg@10", "ndcg@10_cliniq", "map", "recall@100")
    """What the benchmark is usually judged by, of `evaluation.metrics.MEASURES`."""

    @cached_property
    def document_ids(self) -> tuple[str, ...]:
        return self.chunk_ids if self.ranks == "chunk" else tuple(dict.fromkeys(self.note_ids))

    @cached_property
    def document_at(self) -> dict[str, int]:
        return {document: position for position, document in enumerate(self.document_ids)}

    @cached_property
    def document_of_chunk(self) -> np.ndarray:
        """The document position of each chunk, int (chunks,)."""
        names = self.chunk_ids if self.ranks == "chunk" else self.note_ids
        return np.array([self.document_at[name] for name in names], dtype=np.int64)

    @cached_property
    def chunks_by_id(self) -> np.ndarray:
        """Chunk positions by the id of their document, descending: how trec_eval orders ties."""
        names = self.chunk_ids if self.ranks == "chunk" else self.note_ids
        return np.array(sorted(range(len(names)), key=names.__getitem__, reverse=True))

    @cached_property
    def chunks_of_note(self) -> dict[str, np.ndarray]:
        """The chunk positions of each note, ascending."""
        members: dict[str, list[int]] = {}
        for chunk, note in enumerate(self.note_ids):
            members.setdefault(note, []).append(chunk)
        return {note: np.array(chunks) for note, chunks in members.items()}

    def relevant(self, query: int) -> dict[int, Judgement]:
        """What is relevant to a judged query, by document, best grade first."""
        found = [each for each in self.judgements_of_query[query] if each.grade >= self.relevant_from]
        return {each.document: each for each in sorted(found, key=lambda each: -each.grade)}

    @property
    def has_texts(self) -> bool:
        """False where only judgements are known, so that only a run can be scored."""
        return any(self.chunk_texts)

    @property
    def is_within_notes(self) -> bool:
        """Whether the chunks of one note can be ranked: chunks are documents and some note has several."""
        return self.ranks == "chunk" and len(self.chunks_of_note) < len(self.chunk_ids)

    @cached_property
    def judgements_of_query(self) -> dict[int, list[Judgement]]:
        """The relevant pairs of each query that has any, in order of the queries."""
        grouped: dict[int, list[Judgement]] = {}
        for judgement in sorted(self.judgements):
            grouped.setdefault(judgement.query, []).append(judgement)
        return grouped


def benchmark_of(
    name: str,
    chunks: Mapping[str, Mapping[str, str]],
    queries: Mapping[str, Mapping[str, str]],
    judgements: Iterable[Judgement],
    *,
    ranks: Literal["chunk", "note"] = "chunk",
    relevant_from: int = 1,
    measures: Sequence[str] = Benchmark.measures,
) -> Benchmark:
    """Of chunks (`text`, and `note_id` where it is not the chunk itself) and queries (`text`, `type`) by their ids.

    Raises ValueError for an id of a document or a query with white space in it.
    """
    benchmark = Benchmark(
        name=name,
        chunk_ids=tuple(chunks),
        chunk_texts=tuple(chunk["text"] for chunk in chunks.values()),
        note_ids=tuple(chunk.get("note_id", chunk_id) for chunk_id, chunk in chunks.items()),
        query_ids=tuple(queries),
        query_texts=tuple(query["text"] for query in queries.values()),
        query_types=tuple(query.get("type", "") for query in queries.values()),
        judgements=tuple(judgements),
        ranks=ranks,
        relevant_from=relevant_from,
        measures=tuple(measures),
    )
    for what, ids in (("document", benchmark.document_ids), ("query", benchmark.query_ids)):
        for position, each in enumerate(ids, 1):
            if each.split() != [each]:
                raise ValueError(f"{name}: the id of {what} {position} has white space, which ends a run file's fields")
    return benchmark
