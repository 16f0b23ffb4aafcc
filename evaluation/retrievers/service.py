"""The running service over HTTP, with the ranking that its users get."""

from collections.abc import Sequence

import httpx

from evaluation.ranking import Hits, hits_of_scores
from evaluation.retrievers.base import Bench, Retriever
from evaluation.runs import MOST

DEPTH = 1000
"""As deep as the service goes in one answer."""
MOST_QUERY_CHARACTERS = 4000
"""That it takes."""
TIMEOUT_S = 60.0


class Service(Retriever):
    """POST /v1/search in the service's default mode. Chunks that the benchmark does not hold keep their places."""

    form = "service:<URL>"

    def __init__(self, bench: Bench, argument: str) -> None:
        super().__init__(bench, argument)
        if bench.benchmark.ranks == "note":
            raise ValueError(f"service:{argument}: the service ranks chunks, this benchmark whole notes")
        self._url = f"{argument.rstrip('/')}/v1/search"
        for query_id, text in zip(bench.benchmark.query_ids, bench.benchmark.query_texts, strict=True):
            if len(text) > MOST_QUERY_CHARACTERS:
                raise ValueError(f"{self._url}: takes {MOST_QUERY_CHARACTERS:,} characters; query {query_id} is longer")

    def hits(self, queries: Sequence[int]) -> list[Hits]:
        benchmark = self.bench.benchmark
        found = []
        with httpx.Client(timeout=TIMEOUT_S) as client:
            for query in queries:
                found.append(hits_of_scores(benchmark, self._ask(client, query)))
        return found

    def _ask(self, client: httpx.Client, query: int) -> dict[str, float]:
        benchmark = self.bench.benchmark
        try:
            answer = client.post(self._url, json={"query": benchmark.query_texts[query], "k": DEPTH})
        except httpx.HTTPError as error:
            raise ValueError(
                f"{self._url}: no answer ({type(error).__name__}); is the service running there?"
            ) from None
        if answer.status_code != httpx.codes.OK:
            raise ValueError(f"{self._url}: answered {answer.status_code} to query {benchmark.query_ids[query]}")
        try:
            found = {hit["chunk_id"]: float(hit["score"]) for hit in answer.json()["hits"]}
            if not all(chunk.isprintable() and chunk.split() == [chunk] for chunk in found):
                raise ValueError
            if not all(abs(score) <= MOST for score in found.values()):
                raise ValueError
            return found
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
            raise ValueError(f"{self._url}: its answers are not those of this service; is the URL right?") from None
