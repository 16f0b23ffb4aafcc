"""The HTTP ingress: a stable Serve deployment that points at the current release."""

import asyncio
from functools import partial
from pathlib import Path
from time import monotonic

from fastapi import FastAPI, Request
from pydantic import BaseModel
from ray.serve.handle import DeploymentHandle

from corpus.store import Store
from corpus.writing import Changes
from serving.access.gate import AccessSettings, Gate, Visit
from serving.answers import answer_of
from serving.audit.recorder import Recorder
from serving.audit.writer import AuditSettings
from serving.door import Desk, Door, record_of
from serving.embedding_routes import add_embedding_routes
from serving.entering import ENTERING, Identity, Reader, unknown_patient
from serving.ingest_deployment import OUTDATED
from serving.limits import Limits, LimitSettings
from serving.metrics import GAUGES_EVERY_S, ReleaseMetrics
from serving.note_routes import add_note_routes
from serving.problems import ProblemError, describe, install
from serving.protocol import (
    BatchResponse,
    Filters,
    Health,
    PatientSearchRequest,
    SearchOptions,
    SearchRequest,
    SearchResponse,
)
from serving.release_deployment import describe_release
from serving.router import Router, RouterSettings, Search, call
from serving.scope import Scope

WRITE_S = 30.0
"""A write that has not been acknowledged by then is 503; it is safe to repeat."""
SEARCHING = (408, 413, 415, 422, *ENTERING)


class IngressOptions(BaseModel):
    """What an ingress replica is told once."""

    router: RouterSettings = RouterSettings()
    limits: LimitSettings = LimitSettings()
    access: AccessSettings | None = None
    audit: AuditSettings | None = None


class Ingress:
    """Answers HTTP from the release that `user_config` names; moving that pointer restarts nothing."""

    def __init__(self, options: IngressOptions, ingest: DeploymentHandle) -> None:
        self._options = options
        self._ingest = ingest
        self._router: Router | None = None
        gate = Gate(options.access) if options.access else None
        recorder = Recorder(options.audit) if options.audit else None
        self.desk = Desk(gate, Limits(options.limits), recorder)
        self._tending: list[asyncio.Task[None]] = []

    async def reconfigure(self, user_config: dict[str, str]) -> None:
        """Point at the application `user_config["application"]`; searches that began go on in their release."""
        application = user_config["application"]
        self._router = Router(application, await describe_release(application), self._options.router)
        if not self._tending:
            self._tending = [asyncio.create_task(job) for job in [*self.desk.jobs(), self._show_release()]]

    async def _show_release(self) -> None:
        """Say again and again to which release searches go; the last one is soon forgotten."""
        metrics = ReleaseMetrics()
        while True:
            metrics.current(self.router().manifest.id)
            await asyncio.sleep(GAUGES_EVERY_S)

    async def current(self) -> str | None:
        """The application that it points at."""
        return self._router.application if self._router else None

    def router(self) -> Router:
        """That of the current release. Raises ProblemError before there is one."""
        if self._router is None:
            raise ProblemError(503, "unavailable", "no release is loaded", retry_after_s=2)
        return self._router

    def store(self) -> Store:
        """That of the current release."""
        return Store(Path(self.router().manifest.store))

    async def write(self, changes: Changes) -> int:
        """Write through the ingest; the store version that holds it. Raises ProblemError (503) without an answer."""
        store_id = self.router().manifest.store_id
        version = await call("ingest", self._ingest.write.remote, monotonic() + WRITE_S, store_id, changes)
        if version is None:
            raise ProblemError(503, "unavailable", "no answer from: ingest", retry_after_s=2)
        if version == OUTDATED:
            raise ProblemError(409, "changed_meanwhile", "a note was changed meanwhile; send the request again")
        return int(version)

    def __serve_build_asgi_app__(self) -> FastAPI:
        return build_app(self)


def build_app(ingress: Ingress) -> FastAPI:
    """The routes, their models and their problems."""
    app = FastAPI(title="drehr", description="Search over clinical notes.", redirect_slashes=False)
    install(app)
    app.add_middleware(Door, desk=ingress.desk)
    app.state.desk = ingress.desk

    @app.get("/healthz")
    async def healthz() -> Health:
        """The process answers."""
        return Health(status="ok")

    @app.get("/readyz", responses=describe(503))
    async def readyz() -> Health:
        """The encoder and every shard of the current release answer."""
        if missing := await ingress.router().not_ready():
            detail = f"no answer from: {', '.join(missing)}"
            raise ProblemError(503, "not_ready", detail, retry_after_s=2)
        return Health(status="ready")

    @app.post("/v1/search", responses=describe(404, *SEARCHING))
    async def search(asked: SearchRequest, request: Request, visit: Reader) -> SearchResponse | BatchResponse:
        """Search all patients that the caller may see, or those that the filters name among them."""
        queries = asked.queries or [asked.query or ""]
        ingress.desk.limits.charge(visit.caller.name, len(queries) - 1)
        ingress.desk.note(request, queries, **_told(asked, asked.filters))
        scope = scope_of(visit, asked.filters)
        filters = visible(asked.filters, visit)
        searches = [Search(query, filters, asked, scope) for query in queries]
        answers = await asyncio.gather(*(_answer(ingress.router(), each, visit, request) for each in searches))
        return answers[0] if asked.queries is None else BatchResponse(answers=list(answers))

    @app.post("/v1/patients/{patient_id:path}/search", responses=describe(404, *SEARCHING))
    async def search_patient(
        patient_id: Identity, asked: PatientSearchRequest, request: Request, visit: Reader
    ) -> SearchResponse:
        """Search one patient's notes, exactly."""
        ingress.desk.note(request, [asked.query], **_told(asked, asked.filters))
        if not visit.may_see(patient_id):
            raise unknown_patient()
        filters = Filters(**asked.filters.model_dump(), patient_ids=[patient_id])
        search = Search(asked.query, filters, asked, scope_of(visit, filters), patient_id)
        return await _answer(ingress.router(), search, visit, request)

    add_note_routes(app, ingress.store, ingress.write)
    add_embedding_routes(app, ingress.router)
    return app


def visible(filters: Filters, visit: Visit) -> Filters:
    """The filters without patients that the caller may not see: nobody learns that they are there."""
    if filters.patient_ids is None:
        return filters
    return filters.model_copy(update={"patient_ids": [each for each in filters.patient_ids if visit.may_see(each)]})


def scope_of(visit: Visit, filters: Filters) -> Scope | None:
    """The patients of the caller's policy and of the cohort that is asked for; None is all of them.

    Raises ProblemError (404) when there is no such cohort.
    """
    allowed, name = visit.allowed, f"{visit.caller.policy}@{visit.rules_id}"
    if filters.cohort is not None:
        if filters.cohort not in visit.cohorts:
            raise ProblemError(404, "unknown_cohort", "no cohort has this name")
        cohort = visit.cohorts[filters.cohort]
        allowed, name = cohort if allowed is None else allowed & cohort, f"{name}&{filters.cohort}"
    return None if allowed is None else Scope(name, allowed)


async def _answer(router: Router, search: Search, visit: Visit, request: Request) -> SearchResponse:
    answer = answer_of(await router.search(search), search, router.manifest)
    patients = {hit.patient_id for hit in [*answer.hits, *(hit for group in answer.groups for hit in group.hits)]}
    # The second check: what the shards were told to leave out is not taken on trust.
    if not all(map(partial(_is_asked_for, search, visit), patients)):
        raise ProblemError(500, "internal_error", "the request failed")
    record_of(request).patients |= patients
    return answer


def _is_asked_for(search: Search, visit: Visit, patient: str) -> bool:
    named, scope = search.filters.patient_ids, search.scope
    return (
        visit.may_see(patient) and (named is None or patient in named) and (scope is None or patient in scope.patients)
    )


def _told(options: SearchOptions, filters: BaseModel) -> dict[str, object]:
    return {
        "options": options.model_dump(include=set(SearchOptions.model_fields), exclude_defaults=True),
        "filters": filters.model_dump(mode="json", exclude_none=True),
    }
