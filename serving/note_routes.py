"""Routes of notes: read, list, write and remove them."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request

from corpus.notes import parse_note
from corpus.sources.base import BadRow
from corpus.store import Store
from corpus.writing import Changes
from serving.access.gate import Visit
from serving.door import record_of
from serving.entering import ENTERING, Admin, Identity, Reader, Writer, unknown_note, unknown_patient
from serving.notes import find_note, notes_of_patient, patients_of_notes
from serving.problems import NDJSON, ProblemError, describe, invalid
from serving.protocol import DEEPEST, FieldProblem, NoteResponse, NotesResponse, WriteResponse

MOST_NOTES = 1000
"""Of one request."""
LONGEST_ID = 256
SOURCE = "http"
"""Of notes that do not say where they are from."""
TEXTS = ("note_id", "patient_id", "text", "encounter_id", "note_type", "source")
NOTE = {
    "type": "object",
    "required": ["note_id", "patient_id", "text"],
    "properties": {
        **{name: {"type": "string", "minLength": 1} for name in TEXTS},
        "note_id": {"type": "string", "minLength": 1, "maxLength": LONGEST_ID},
        "patient_id": {"type": "string", "minLength": 1, "maxLength": LONGEST_ID},
        "version": {"type": "integer", "minimum": 0},
        "note_time": {"type": "string", "format": "date-time"},
    },
}
NOTES_BODY = {
    "requestBody": {
        "required": True,
        "description": f"Up to {MOST_NOTES} notes: note_id, patient_id, text; version (1), note_type, note_time, "
        "encounter_id, source.",
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["notes"],
                    "properties": {"notes": {"type": "array", "minItems": 1, "maxItems": MOST_NOTES, "items": NOTE}},
                }
            },
            "application/x-ndjson": {"schema": {"type": "string"}},
        },
    }
}
Write = Callable[[Changes], Awaitable[int]]


def add_note_routes(app: FastAPI, store: Callable[[], Store], write: Write) -> None:
    """Add them to `app`; `store()` is the one that is served now, `write` makes changes durable."""

    async def written(request: Request, changes: Changes, notes: int) -> WriteResponse:
        # Whatever becomes of the request from here on, that it was to be made is known.
        await app.state.desk.begin(request)
        return WriteResponse(store_version=await write(changes), notes=notes)

    @app.get("/v1/patients/{patient_id:path}/notes", responses=describe(404, 422, *ENTERING))
    async def notes(
        patient_id: Identity,
        request: Request,
        visit: Reader,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        offset: Annotated[int, Query(ge=0, le=DEEPEST)] = 0,
    ) -> NotesResponse:
        """The notes of a patient, without their texts."""
        if not visit.may_see(patient_id):
            raise unknown_patient()
        found = await asyncio.to_thread(notes_of_patient, store(), patient_id, limit, offset)
        if not (found.notes or offset):
            raise unknown_patient()
        record_of(request).patients.add(patient_id)
        return found

    @app.get("/v1/notes/{note_id:path}", responses=describe(404, 422, *ENTERING))
    async def note(note_id: Identity, request: Request, visit: Reader) -> NoteResponse:
        """A note as the store has it now."""
        found = await asyncio.to_thread(find_note, store(), note_id)
        if found is None or not visit.may_see(found.patient_id):
            raise unknown_note()
        record_of(request).patients.add(found.patient_id)
        return found

    @app.post("/v1/notes", responses=describe(408, 409, 413, 415, 422, *ENTERING), openapi_extra=NOTES_BODY)
    async def upsert(request: Request, visit: Writer) -> WriteResponse:
        """Write notes. One that is there in the same or a later version is left as it is: safe to repeat."""
        body, kind = await request.body(), request.headers.get("content-type", "")
        rows = await asyncio.to_thread(lambda: _parsed(_rows(body, kind)))
        ids = [row["note_id"] for row in rows]
        app.state.desk.note(request, notes=ids)
        before = await asyncio.to_thread(patients_of_notes, store(), ids)
        patients = {row["patient_id"] for row in rows}
        _require_all(visit, patients | {*before.values()})
        record_of(request).patients |= patients | {*before.values()}
        return await written(request, Changes(rows, seen=before), len(rows))

    @app.delete("/v1/notes/{note_id:path}", responses=describe(404, 409, 422, *ENTERING))
    async def remove_note(note_id: Identity, request: Request, visit: Writer) -> WriteResponse:
        """Remove a note. An older version of it that arrives later is left out."""
        patients = await asyncio.to_thread(patients_of_notes, store(), [note_id])
        if note_id not in patients or not visit.may_see(patients[note_id]):
            raise unknown_note()
        record_of(request).patients.add(patients[note_id])
        return await written(request, Changes(remove_notes=[note_id], seen=patients), 1)

    @app.delete("/v1/patients/{patient_id:path}", responses=describe(404, 409, 422, *ENTERING))
    async def remove_patient(patient_id: Identity, request: Request, visit: Admin) -> WriteResponse:
        """Remove every note of a patient."""
        if not visit.may_see(patient_id):
            raise unknown_patient()
        found = await asyncio.to_thread(notes_of_patient, store(), patient_id, 1, 0)
        if not found.notes:
            raise unknown_patient()
        record_of(request).patients.add(patient_id)
        return await written(request, Changes(remove_patients=[patient_id]), found.total)


def _rows(body: bytes, content_type: str) -> list[Any]:
    """What the body holds. Raises ProblemError (400) for what is not JSON, (422) for what holds no notes."""
    try:
        if content_type.split(";")[0].strip().lower() == NDJSON.decode():
            lines = [line for line in body.splitlines() if line.strip()]
            rows = lines if len(lines) > MOST_NOTES else [json.loads(line) for line in lines]
        else:
            rows = json.loads(body)["notes"]
    except (KeyError, TypeError):
        raise invalid([FieldProblem(field="notes", reason="missing")]) from None
    except (ValueError, RecursionError):
        raise ProblemError(400, "malformed_json", "the body is not JSON") from None
    if not isinstance(rows, list) or not 1 <= len(rows) <= MOST_NOTES:
        raise invalid([FieldProblem(field="notes", reason=f"give 1 to {MOST_NOTES} notes")])
    return rows


def _parsed(rows: list[Any]) -> list[dict[str, Any]]:
    """Rows of NOTE_SCHEMA. Raises ProblemError (422) naming every row that is none; then nothing is written."""
    parsed = [parse_note(row, SOURCE) if isinstance(row, dict) else BadRow("not_an_object") for row in rows]
    wrong = [
        FieldProblem(field=".".join(filter(None, ["notes", str(number), each.column])), reason=each.reason)
        for number, each in enumerate(parsed)
        if isinstance(each, BadRow)
    ]
    notes = [each for each in parsed if not isinstance(each, BadRow)]
    wrong += [
        FieldProblem(field=f"notes.{number}.{column}", reason=f"an id has at most {LONGEST_ID} characters")
        for number, each in enumerate(parsed)
        for column in ("note_id", "patient_id")
        if not isinstance(each, BadRow) and len(each[column]) > LONGEST_ID
    ]
    if wrong:
        raise invalid(wrong)
    return notes


def _require_all(visit: Visit, patients: set[str]) -> None:
    if not all(map(visit.may_see, patients)):
        raise ProblemError(403, "patient_not_allowed", "a note is of a patient outside the caller's policy")
