"""The router, a library inside the ingress replica: it encodes, asks the shards, merges, and says who answered.

Searches that arrive together go as one batch: one call to the encoder, one to each shard. A router serves one release,
so a search stays in the release it began with.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field
from ray import serve
from ray.exceptions import RayActorError, RayError
from ray.serve.exceptions import RayServeException

from corpus.tables import bucket_of
from serving.fusion import DEFAULT_LEXICAL_WEIGHT
from serving.merging import Ranked, merge
from serving.problems import ProblemError
from serving.protocol import Filters, Mode
from serving.release import ReleaseManifest
from serving.shard import Candidates, ShardQuery
from serving.shard_deployment import shard_name

RETRY_PAUSE_S = 0.05
READY_WAIT_S = 2.0
logger = logging.getLogger("ray.serve")


class RouterSettings(BaseModel):
    """How searches are batched and merged."""

    lexical_weight: float = Field(default=DEFAULT_LEXICAL_WEIGHT, ge=0, le=1)
    """Weight of the normalised BM25 score in hybrid mode; the cosine has the rest."""
    min_candidates: int = Field(default=100, gt=0)
    """Candidates per retriever and shard in hybrid mode, at least; twice k where that is more."""
    max_batch_size: int = Field(default=32, gt=0)
    batch_wait_s: float = Field(default=0.001, ge=0)
    """How long the first search of a batch waits for others."""
    max_concurrent_batches: int = Field(default=4, gt=0)
    deadline_s: float = Field(default=10.0, gt=0)
    """After so long, what has not answered is missing; calls to a dead replica are repeated until then."""


@dataclass(frozen=True)
class Search:
    """One search. `patient_id` restricts it to one patient, who must exist."""

    query: str = field(repr=False)
    k: int
    mode: Mode
    filters: Filters = field(repr=False)
    allow_partial: bool
    patient_id: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Found:
    """The hits (rank and contents) of one search and the shards that took part."""

    hits: list[tuple[Ranked, dict[str, Any]]]
    answered: list[int]
    missing: list[int]


class Router:
    """Searches one release through the handles of its application."""

    def __init__(self, application: str, manifest: ReleaseManifest, settings: RouterSettings) -> None:
        self.manifest = manifest
        self._settings = settings
        self._encoder = serve.get_deployment_handle("encoder", application)
        self._shards = [
            serve.get_deployment_handle(shard_name(number), application) for number in range(len(manifest.shards))
        ]
        self._shard_of_bucket = manifest.shard_of_bucket()
        # Made per instance: serve.batch keeps one queue per decorated function, and releases must not mix.
        self._search_together = serve.batch(
            max_batch_size=settings.max_batch_size,
            batch_wait_timeout_s=settings.batch_wait_s,
            max_concurrent_batches=settings.max_concurrent_batches,
        )(self._search_batch)

    async def search(self, search: Search) -> Found:
        """The best hits. Raises ProblemError: unknown patient, encoder or shard missing."""
        found = await self._search_together(search)
        if isinstance(found, ProblemError):
            raise found
        return found

    async def not_ready(self) -> list[str]:
        """Names of the deployments that do not answer now."""
        deadline = monotonic() + READY_WAIT_S
        handles = {"encoder": self._encoder}
        handles |= {shard_name(number): handle for number, handle in enumerate(self._shards)}
        answers = await asyncio.gather(
            *(_call(name, handle.ready.remote, deadline) for name, handle in handles.items())
        )
        return [name for name, answer in zip(handles, answers, strict=True) if answer is None]

    async def _search_batch(self, searches: list[Search]) -> list[Found | ProblemError]:
        deadline = monotonic() + self._settings.deadline_s
        vectors = await self._encode(searches, deadline)
        asked = [self._shards_of(search) for search in searches]
        queries = [
            ShardQuery(search.query, vector, search.mode, self._depth(search), search.filters)
            for search, vector in zip(searches, vectors, strict=True)
        ]
        # A search whose vector is missing asks nobody: it becomes a problem below.
        able = [
            search.mode == "lexical" or vector is not None for search, vector in zip(searches, vectors, strict=True)
        ]
        members = {
            shard: [i for i, shards in enumerate(asked) if able[i] and shard in shards]
            for shard in range(len(self._shards))
        }
        members = {shard: numbers for shard, numbers in members.items() if numbers}
        answers = await asyncio.gather(
            *(
                _call(shard_name(shard), self._shards[shard].search.remote, deadline, [queries[i] for i in numbers])
                for shard, numbers in members.items()
            )
        )
        candidates: list[dict[int, Candidates]] = [{} for _ in searches]
        for (shard, numbers), answer in zip(members.items(), answers, strict=True):
            for i, found in zip(numbers, answer or [], strict=answer is not None):
                candidates[i][shard] = found
        problems = [
            self._refusal(search, shards, found) if can else _unavailable("encoder")
            for search, shards, found, can in zip(searches, asked, candidates, able, strict=True)
        ]
        return await self._finish(searches, asked, candidates, problems, deadline)

    async def _encode(self, searches: Sequence[Search], deadline: float) -> list[NDArray[np.float32] | None]:
        texts = list(dict.fromkeys(search.query for search in searches if search.mode != "lexical"))
        vectors = await _call("encoder", self._encoder.encode.remote, deadline, texts) if texts else None
        vector_of = {} if vectors is None else dict(zip(texts, vectors, strict=True))
        return [None if search.mode == "lexical" else vector_of.get(search.query) for search in searches]

    def _shards_of(self, search: Search) -> list[int]:
        """Shards that can hold a hit: those of the filter's patients, or all."""
        patients = search.filters.patient_ids
        if patients is None:
            return list(range(len(self._shards)))
        return sorted({int(self._shard_of_bucket[bucket_of(patient)]) for patient in patients})

    def _depth(self, search: Search) -> int:
        return max(2 * search.k, self._settings.min_candidates) if search.mode == "hybrid" else search.k

    def _refusal(self, search: Search, asked: list[int], found: dict[int, Candidates]) -> ProblemError | None:
        missing = [shard for shard in asked if shard not in found]
        if missing and not (search.allow_partial and found):
            return _unavailable(", ".join(map(shard_name, missing)))
        if search.patient_id is not None and not any(each.patients_known for each in found.values()):
            return ProblemError(404, "unknown_patient", "no searchable note of this patient")
        return None

    async def _finish(
        self,
        searches: Sequence[Search],
        asked: Sequence[list[int]],
        candidates: Sequence[dict[int, Candidates]],
        problems: Sequence[ProblemError | None],
        deadline: float,
    ) -> list[Found | ProblemError]:
        """Merge, fetch the contents of the winners, and check them."""
        weight = self._settings.lexical_weight
        rankings = [
            [] if problem else merge(found, search.mode, search.k, weight)
            for search, found, problem in zip(searches, candidates, problems, strict=True)
        ]
        rows: dict[int, list[int]] = {}
        for shard, row in sorted({(each.shard, each.row) for ranking in rankings for each in ranking}):
            rows.setdefault(shard, []).append(row)
        answers = await asyncio.gather(
            *(
                _call(shard_name(shard), self._shards[shard].fetch.remote, deadline, wanted)
                for shard, wanted in rows.items()
            )
        )
        lost = {shard for shard, answer in zip(rows, answers, strict=True) if answer is None}
        if lost:
            # A shard that died between the two calls: go on as if it had not answered the first one.
            left = [{s: c for s, c in found.items() if s not in lost} for found in candidates]
            refusals = [
                problem or self._refusal(search, shards, found)
                for problem, search, shards, found in zip(problems, searches, asked, left, strict=True)
            ]
            return await self._finish(searches, asked, left, refusals, deadline)
        contents = {
            (shard, row): content
            for (shard, wanted), answer in zip(rows.items(), answers, strict=True)
            for row, content in zip(wanted, answer, strict=True)
        }
        return [
            problem or self._found(search, shards, found, ranking, contents)
            for problem, search, shards, found, ranking in zip(
                problems, searches, asked, candidates, rankings, strict=True
            )
        ]

    def _found(
        self,
        search: Search,
        asked: list[int],
        candidates: dict[int, Candidates],
        ranking: list[Ranked],
        contents: dict[tuple[int, int], dict[str, Any]],
    ) -> Found | ProblemError:
        hits = [(each, contents[each.shard, each.row]) for each in ranking]
        if not in_scope(search.filters, [content["patient_id"] for _, content in hits]):
            logger.error("a hit lies outside the patients that were asked for; the answer is withheld")
            return ProblemError(500, "internal_error", "the request failed")
        missing = [shard for shard in asked if shard not in candidates]
        return Found(hits, answered=sorted(candidates), missing=missing)


def in_scope(filters: Filters, patient_ids: Sequence[str]) -> bool:
    """Whether all these patients are among those the filters allow: the second check of the patient scope."""
    return filters.patient_ids is None or {*patient_ids} <= {*filters.patient_ids}


def _unavailable(what: str) -> ProblemError:
    return ProblemError(503, "unavailable", f"no answer from: {what}", retry_after_s=2)


async def _call(name: str, remote: Callable[..., Awaitable[Any]], deadline: float, *args: object) -> Any:
    """The answer of a replica, asking again when it dies; None when there is none by the deadline."""
    while True:
        try:
            return await asyncio.wait_for(remote(*args), deadline - monotonic())
        except RayActorError:
            await asyncio.sleep(min(RETRY_PAUSE_S, max(0.0, deadline - monotonic())))
        except (TimeoutError, RayError, RayServeException) as error:
            # An error of the replica's own code could quote the query, so only its kind is logged.
            logger.warning("no answer from %s: %s", name, type(error).__name__)
            return None
