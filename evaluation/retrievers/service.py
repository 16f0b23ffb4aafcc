"""The running service over HTTP, with the ranking that its users get."""

from collections.abc import Sequence
from typing import Any

import httpx
import numpy as np

from evaluation.ranking import UNKNOWN, Hits
from evaluation.retrievers.base import Bench, Retriever

DEPTH = 1000
"""As deep as the service goes in one answer."""
TIMEOUT_S = 60.0


class Service(Retriever):
    """POST /v1/search in the service's default mode. Chunks that the benchmark does not hold keep their places."""

    form = "service:<URL>"

    def __init__(self, bench: Bench, argument: str) -> None:
        super().__init__(bench, argument)
        if bench.benchmark.ranks == "note":
            raise ValueError(f"service:{argument}: the service ranks chunks, this benchmark whole notes")
        self._url = f"{argument.rstrip('/')}/v1/search"

    def hits(self, queries: Sequence[int]) -> list[Hits]:
        benchmark = self.bench.benchmark
        found = []
        with httpx.Client(timeout=TIMEOUT_S) as client:
            for query in queries:
                hits = self._ask(client, query)
                documents = [benchmark.document_at.get(hit["chunk_id"], UNKNOWN) for hit in hits]
                found.append(Hits(np.array(documents, np.int64), np.array([hit["score"] for hit in hits], np.float64)))
        return found

    def _ask(self, client: httpx.Client, query: int) -> list[dict[str, Any]]:
        benchmark = self.bench.benchmark
        try:
            answer = client.post(self._url, json={"query": benchmark.query_texts[query], "k": DEPTH})
        except httpx.HTTPError as error:
            raise ValueError(
                f"{self._url}: no answer ({type(error).__name__}); is the service running there?"
            ) from None
        if answer.status_code != httpx.codes.OK:
            raise ValueError(f"{self._url}: answered {answer.status_code} to query {benchmark.query_ids[query]}")
        return answer.json()["hits"]
