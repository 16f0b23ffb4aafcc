"""The router, a library inside the ingress replica: it encodes, asks the shards, merges, and says who answered.

Searches that arrive together share calls: one to the encoder, one to each shard. A router serves one release, so a
search stays in the release it began with.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field
from ray import serve
from ray.exceptions import RayActorError, RayError
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle

from corpus.tables import bucket_of
from serving.batching import Batcher
from serving.expansion import Expansion
from serving.fusion import DEFAULT_LEXICAL_WEIGHT
from serving.manifest import ReleaseManifest
from serving.merging import Ranked, group, merge
from serving.metrics import RouterMetrics
from serving.problems import ProblemError, invalid
from serving.protocol import FieldProblem, Filters, SearchOptions
from serving.scope import Scope
from serving.shard import Candidates, ShardQuery
from serving.shard_deployment import shard_name

RETRY_PAUSE_S = 0.05
READY_WAIT_S = 5.0
ATTEMPTS = 3
"""At a search whose hits change while they are read; after the last, what is gone is left out."""
DEEPER = 4
"""Times as deep a hybrid search reads for what lies further down, or one that has found too few notes or patients."""
logger = logging.getLogger("ray.serve")
Item = TypeVar("Item")
Result = TypeVar("Result")


class RouterSettings(BaseModel):
    """How searches are batched and merged."""

    lexical_weight: float = Field(default=DEFAULT_LEXICAL_WEIGHT, ge=0, le=1)
    """Weight of the normalised BM25 score in hybrid mode; the cosine has the rest."""
    min_candidates: int = Field(default=100, gt=0)
    """Candidates per retriever and shard in hybrid mode, for up to half as many hits; for more four times as many, and
    so on."""
    max_batch_size: int = Field(default=32, gt=0)
    batch_wait_s: float = Field(default=0.05, ge=0)
    """How long a query waits at most for the call before it to the same deployment; together with others that wait it
    is the next call."""
    deadline_s: float = Field(default=10.0, gt=0)
    """After so long, what has not answered is missing; calls to a dead replica are repeated until then."""


@dataclass(frozen=True)
class Search:
    """One search, of the patients in `scope` (None: all). `patient_id` restricts it to one, who must exist."""

    query: str = field(repr=False)
    filters: Filters = field(repr=False)
    options: SearchOptions = field(default_factory=SearchOptions)
    scope: Scope | None = field(default=None, repr=False)
    patient_id: str | None = field(default=None, repr=False)


Passage = tuple[Ranked, dict[str, Any]]
"""A row with its contents."""


@dataclass(frozen=True)
class Found:
    """What one search found, best first: passages of a group together, every chunk a group where chunks are ranked."""

    groups: list[list[Passage]]
    has_more: bool
    version: int
    """Of the store's chunks, that every shard had reached."""
    answered: list[int]
    missing: list[int]
    expansions: Sequence[Expansion] = field(default=(), repr=False)
    """Synonyms that the lexical side looked for as well."""


async def call(name: str, remote: Callable[..., Any], deadline: float, *args: object) -> Any:
    """The answer of a replica, asking again when it dies; None when there is none by the deadline."""
    while True:
        try:
            return await asyncio.wait_for(remote(*args), deadline - monotonic())
        except RayActorError:
            await asyncio.sleep(RETRY_PAUSE_S)
        except (TimeoutError, RayError, RayServeException) as error:
            # An error of the replica's own code could quote the query, so only its kind is logged.
            logger.warning("no answer from %s: %s", name, type(error).__name__)
            return None


async def call_scoped(
    name: str, remote: Callable[..., Any], deadline: float, asked: Sequence[tuple[ShardQuery, Scope | None]]
) -> Any:
    """As `call`, for queries of shards with their scopes, which are told to a replica that does not know them."""
    named = [(query, scope and scope.id) for query, scope in asked]
    found = await call(name, remote, deadline, named)
    if found is None or found:
        return found
    return await call(name, remote, deadline, named, [*{scope.id: scope for _, scope in asked if scope}.values()])


class Router:
    """Searches one release through the handles of its application."""

    def __init__(self, application: str, manifest: ReleaseManifest, settings: RouterSettings) -> None:
        self.application = application
        self.manifest = manifest
        self._settings = settings
        self._shard_of_bucket = manifest.shard_of_bucket()
        names = [shard_name(number) for number in range(len(manifest.shards))]
        self._handles = {name: _handle(name, application) for name in ["encoder", *names]}
        self._encode = self._batcher("encoder", "encode")
        self._search_shard = [self._batcher(name, "search", call_scoped) for name in names]
        self._fetch_rows = [self._batcher(name, "fetch") for name in names]
        self._metrics = RouterMetrics()

    async def search(self, search: Search) -> Found:
        """The best groups. Raises ProblemError: unknown patient, encoder or shard missing, deadline passed,
        no synonyms to expand with.
        """
        options = search.options
        seconds = min(self._settings.deadline_s, (options.deadline_ms or 60_000) / 1000)
        deadline = Deadline(monotonic() + seconds, options.allow_partial)
        expansions: Sequence[Expansion] = ()
        if options.expand and options.mode != "dense":
            expansions = await self._expand(search.query, deadline.of_next_step())
        vector: NDArray[np.float32] | None = None
        if options.mode != "lexical":
            vector = await _within(deadline.of_next_step(), self._encode(search.query))
            if vector is None:
                raise _unavailable(["encoder"])
        # Where no shard can hold a hit one is asked all the same, for the version that it has reached.
        asked = self._shards_of(search.filters) or [0]
        for _ in range(ATTEMPTS):
            candidates, groups, depths = await self._candidates(search, vector, expansions, asked, deadline)
            if search.patient_id is not None and not any(each.patients_known for each in candidates.values()):
                raise ProblemError(404, "unknown_patient", "no searchable note of this patient")
            while True:
                page = [each[: options.passages] for each in groups[options.offset :][: options.k]]
                rows = [each for ranking in page for each in ranking]
                contents = await self._contents(rows, candidates, deadline.of_next_step())
                lost = {each.shard for ranking in page for each in ranking} - contents.keys()
                if not lost:
                    break
                # A shard that died after its first answer counts as one that never gave it.
                candidates = {shard: each for shard, each in candidates.items() if shard not in lost}
                self._require(asked, candidates, options)
                groups = self._ranked(candidates, options, depths)
            found = [
                [(each, content) for each in ranking if (content := contents[each.shard][each.row])] for ranking in page
            ]
            if [*map(len, found)] == [*map(len, page)]:
                break
            # What was found was replaced or removed before it could be read: search again, in what holds now.
        return Found(
            [passages for passages in found if passages],
            len(groups) > options.offset + options.k,
            min((each.version for each in candidates.values()), default=self.manifest.chunks_version),
            sorted(candidates),
            [shard for shard in asked if shard not in candidates],
            expansions,
        )

    async def _candidates(
        self,
        search: Search,
        vector: NDArray[np.float32] | None,
        expansions: Sequence[Expansion],
        asked: Sequence[int],
        deadline: "Deadline",
    ) -> tuple[dict[int, Candidates], list[list[Ranked]], list[int]]:
        """What the shards find, the groups of it, one more than the page has, where there are so many; and how deep."""
        options = search.options
        wanted = options.offset + options.k + 1
        depths = self._depths(wanted) if options.mode == "hybrid" else [wanted]
        while True:
            query = ShardQuery(
                search.query,
                vector,
                depth=depths[-1],
                filters=search.filters,
                expansions=expansions,
                **_asked_of_shards(options),
            )
            question = query, search.scope
            found = await self._ask(self._search_shard, dict.fromkeys(asked, question), deadline.of_next_step())
            candidates = {shard: each for shard, each in found.items() if each.version >= options.min_version}
            self._require(asked, candidates, options)
            groups = self._ranked(candidates, options, depths)
            if len(groups) >= wanted or all(each.is_all for each in candidates.values()):
                return candidates, groups, depths
            depths = [*depths, depths[-1] * DEEPER]

    def _depths(self, wanted: int) -> list[int]:
        """Candidates of each retriever for half as many hits, and so on until there are enough for those wanted."""
        depths = [self._settings.min_candidates]
        while depths[-1] < 2 * wanted:
            depths.append(depths[-1] * DEEPER)
        return depths

    def _ranked(
        self, candidates: Mapping[int, Candidates], options: SearchOptions, depths: Sequence[int]
    ) -> list[list[Ranked]]:
        return group(merge(candidates, options.mode, self._settings.lexical_weight, depths))

    def _require(self, asked: Sequence[int], candidates: Mapping[int, Candidates], options: SearchOptions) -> None:
        """Raises ProblemError when shards are missing that the request does not do without."""
        missing = [shard for shard in asked if shard not in candidates]
        if missing and not (options.allow_partial and candidates):
            raise _unavailable(map(shard_name, missing))

    async def _expand(self, query: str, deadline: float) -> list[Expansion]:
        """Other names of what the query names.

        Raises ProblemError: 422 when the release has no synonyms, 503 without an answer.
        """
        if not self.manifest.synonyms:
            reason = "the release was built without a knowledge graph"
            raise invalid([FieldProblem(field="expand", reason=reason)])
        root = serve.get_app_handle(self.application)
        found = await call("root", root.expand.remote, deadline, query)
        if found is None:
            raise _unavailable(["root"])
        return list(found)

    async def embed(self, texts: Sequence[str], kind: str) -> tuple[NDArray[np.float32], int]:
        """Unit vectors of texts, and their number of tokens. Raises ProblemError (503) without an answer."""
        end = monotonic() + self._settings.deadline_s
        found = await call("encoder", self._handles["encoder"].embed.remote, end, list(texts), kind)
        if found is None:
            raise _unavailable(["encoder"])
        vectors, tokens = found
        return vectors, tokens

    async def not_ready(self) -> list[str]:
        """Names of the deployments that do not answer now."""
        deadline = monotonic() + READY_WAIT_S
        answers = await asyncio.gather(
            *(call(name, handle.ready.remote, deadline) for name, handle in self._handles.items())
        )
        return [name for name, answer in zip(self._handles, answers, strict=True) if answer is None]

    def _shards_of(self, filters: Filters) -> list[int]:
        """Shards that can hold a hit: those of the filter's patients, or all."""
        if filters.patient_ids is None:
            return list(range(len(self.manifest.shards)))
        return sorted({int(self._shard_of_bucket[bucket_of(patient)]) for patient in filters.patient_ids})

    async def _contents(
        self, ranking: Sequence[Ranked], candidates: Mapping[int, Candidates], deadline: float
    ) -> dict[int, dict[int, dict[str, Any] | None]]:
        """By shard that answers and row, the contents; None for a row that is not there any longer as it was found."""
        contents = {
            shard: dict(zip(found.rows.tolist(), found.contents, strict=True))
            for shard, found in candidates.items()
            if found.contents is not None
        }
        rows = {
            shard: [(each.row, each.version) for each in ranking if each.shard == shard]
            for shard in {each.shard for each in ranking} - contents.keys()
        }
        for shard, fetched in (await self._ask(self._fetch_rows, rows, deadline)).items():
            contents[shard] = {row: content for (row, _), content in zip(rows[shard], fetched, strict=True)}
        return contents

    async def _ask(
        self, batchers: Sequence[Batcher[Item, Result | None]], questions: Mapping[int, Item], deadline: float
    ) -> dict[int, Result]:
        """Answers by shard number; shards that do not answer are left out."""
        calls = [_within(deadline, batchers[shard](question)) for shard, question in questions.items()]
        answers = zip(questions, await asyncio.gather(*calls), strict=True)
        return {shard: answer for shard, answer in answers if answer is not None}

    def _batcher(self, name: str, method: str, send: Callable[..., Awaitable[Any]] = call) -> Batcher[Any, Any]:
        remote = getattr(self._handles[name], method).remote

        async def ask(items: list[Any]) -> list[Any]:
            answer = await send(name, remote, monotonic() + self._settings.deadline_s, items)
            if answer is None:
                self._metrics.missing(name)
                return [None] * len(items)
            return list(answer)

        return Batcher(ask, self._settings.max_batch_size, self._settings.batch_wait_s)


@dataclass(frozen=True)
class Deadline:
    """When an answer must be there."""

    end: float
    may_be_partial: bool

    def of_next_step(self) -> float:
        """When the next step must have ended: a partial answer needs time left to go on without a shard."""
        return (monotonic() + self.end) / 2 if self.may_be_partial else self.end


def _asked_of_shards(options: SearchOptions) -> dict[str, Any]:
    return {"mode": options.mode, "group_by": options.group_by, "min_version": options.min_version}


def _unavailable(what: Iterable[str]) -> ProblemError:
    return ProblemError(503, "unavailable", f"no answer from: {', '.join(what)}", retry_after_s=2)


def _handle(name: str, application: str) -> DeploymentHandle[Any]:
    # What is sent are plain classes and arrays, over which Serve's own way of packing takes longer.
    handle: DeploymentHandle[Any] = serve.get_deployment_handle(name, application)
    return handle.options(request_serialization="pickle", response_serialization="pickle")


async def _within(deadline: float, answer: Any) -> Any:
    try:
        return await asyncio.wait_for(answer, deadline - monotonic())
    except TimeoutError:
        return None
