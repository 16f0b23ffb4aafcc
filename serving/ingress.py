"""The HTTP ingress: a stable Serve deployment that points at the current release."""

import asyncio
from typing import Annotated

import lance
from fastapi import FastAPI, Path
from ray import serve

from serving.lexical import highlights
from serving.manifest import ReleaseManifest, open_notes, read_note
from serving.problems import ProblemError, describe, install
from serving.protocol import (
    Filters,
    Health,
    Hit,
    NoteResponse,
    PatientSearchRequest,
    ReleaseReport,
    Scores,
    SearchRequest,
    SearchResponse,
    ShardReport,
)
from serving.router import Found, Router, RouterSettings, Search

SEARCH_PROBLEMS = describe(400, 413, 415, 422, 503)


class Release:
    """What the ingress holds of a release: its router and its notes."""

    def __init__(self, router: Router, notes: lance.LanceDataset) -> None:
        self.router = router
        self.notes = notes


class Ingress:
    """Answers HTTP from the release that `user_config` names; moving that pointer restarts nothing."""

    def __init__(self, settings: RouterSettings) -> None:
        self._settings = settings
        self._release: Release | None = None

    async def reconfigure(self, user_config: dict[str, str]) -> None:
        """Point at the application `user_config["application"]`; searches that began go on in their release."""
        application = user_config["application"]
        manifest: ReleaseManifest = await serve.get_app_handle(application).describe.remote()
        notes = await asyncio.to_thread(open_notes, manifest)
        self._release = Release(Router(application, manifest, self._settings), notes)

    def current(self) -> Release:
        """The current release. Raises ProblemError before there is one."""
        if self._release is None:
            raise ProblemError(503, "unavailable", "no release is loaded", retry_after_s=2)
        return self._release

    def __serve_build_asgi_app__(self) -> FastAPI:
        return build_app(self)


def build_app(ingress: Ingress) -> FastAPI:
    """The routes, their models and their problems."""
    app = FastAPI(title="drehr", description="Search over clinical notes.")
    install(app)

    @app.get("/healthz")
    async def healthz() -> Health:
        """The process answers."""
        return Health(status="ok")

    @app.get("/readyz", responses=describe(503))
    async def readyz() -> Health:
        """The encoder and every shard of the current release answer."""
        if missing := await ingress.current().router.not_ready():
            detail = f"no answer from: {', '.join(missing)}"
            raise ProblemError(503, "not_ready", detail, retry_after_s=2)
        return Health(status="ready")

    @app.post("/v1/search", responses=SEARCH_PROBLEMS)
    async def search(request: SearchRequest) -> SearchResponse:
        """Search all patients, or those of `filters.patient_ids`."""
        return await _search(ingress.current().router, request, request.filters)

    @app.post("/v1/patients/{patient_id}/search", responses=describe(400, 404, 413, 415, 422, 503))
    async def search_patient(
        patient_id: Annotated[str, Path(max_length=256)], request: PatientSearchRequest
    ) -> SearchResponse:
        """Search one patient's notes, exactly."""
        filters = Filters(**request.filters.model_dump(), patient_ids=[patient_id])
        return await _search(ingress.current().router, request, filters, patient_id)

    @app.get("/v1/notes/{note_id}", responses=describe(404, 422, 503))
    async def note(note_id: Annotated[str, Path(max_length=256)]) -> NoteResponse:
        """A note of the release's store version."""
        found = await asyncio.to_thread(read_note, ingress.current().notes, note_id)
        if found is None:
            raise ProblemError(404, "unknown_note", "no note has this id")
        return NoteResponse(**found)

    return app


async def _search(
    router: Router, request: PatientSearchRequest, filters: Filters, patient_id: str | None = None
) -> SearchResponse:
    search = Search(request.query, request.k, request.mode, filters, request.allow_partial, patient_id)
    found: Found = await router.search(search)
    manifest = router.manifest
    return SearchResponse(
        hits=[
            Hit(
                **content,
                score=rank.score,
                scores=Scores(
                    lexical=None if request.mode == "dense" else rank.lexical,
                    dense=None if request.mode == "lexical" else rank.dense,
                ),
                highlights=highlights(request.query, content["text"]),
            )
            for rank, content in found.hits
        ],
        mode=request.mode,
        partial=bool(found.missing),
        shards=ShardReport(answered=found.answered, missing=found.missing),
        release=ReleaseReport(
            id=manifest.id,
            encoder_fingerprint=manifest.encoder_fingerprint,
            store_version=manifest.chunks_version,
        ),
    )
