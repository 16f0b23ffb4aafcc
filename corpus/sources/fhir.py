"""DocumentReference of FHIR R4 and R5 in bulk export's NDJSON (hl7.org/fhir/documentreference.html)."""

import re
from collections.abc import Iterator
from typing import Any

from corpus.files import NoteFile
from corpus.sources.attachments import BINARIES, attached_text
from corpus.sources.base import BadRow, LeftOut, NoteSource, Row
from corpus.sources.jsonl import json_lines

_REFERENCE = re.compile(r"(?:^|/)(?P<type>[A-Za-z]+)/(?P<id>[A-Za-z0-9.-]+)(?:/_history/[^/]+)?$")
_URN = re.compile(r"^urn:(?:uuid|oid):(?P<id>.+)$")


class FhirSource(NoteSource):
    """A document that the server marks as entered in error or as superseded is left out."""

    names = ("*documentreference*.ndjson", "*documentreference*.ndjson.gz")
    beside = BINARIES

    def rows(self, file: NoteFile) -> Iterator[tuple[int, Row]]:
        for number, resource in json_lines(file):
            try:
                yield number, resource if isinstance(resource, BadRow) else _note(resource, file)
            except (AttributeError, TypeError):
                yield number, BadRow("not_fhir")  # A list where FHIR has an object, or the like.


def _note(resource: dict[str, Any], file: NoteFile) -> Row:
    if resource.get("resourceType") != "DocumentReference":
        return LeftOut("other_resource")
    if "entered-in-error" in (resource.get("status"), resource.get("docStatus")):
        return LeftOut("withdrawn")
    if resource.get("status") == "superseded":
        return LeftOut("superseded")
    attachments = [content.get("attachment", {}) for content in resource.get("content", [])]
    text = attached_text(attachments, file)
    if isinstance(text, BadRow):
        return text
    # R4: an object that holds encounters and a period. R5: a list of references, the period beside it.
    context = resource.get("context") or {}
    encounters = context if isinstance(context, list) else context.get("encounter", [])
    period = resource.get("period") or ({} if isinstance(context, list) else context.get("period", {}))
    times = [resource.get("date"), period.get("start"), *(attachment.get("creation") for attachment in attachments)]
    return {
        "note_id": resource.get("id"),
        "patient_id": _id_of(resource.get("subject", {}), "Patient"),
        "encounter_id": next(filter(None, (_id_of(encounter, "Encounter") for encounter in encounters)), None),
        "note_type": _name_of(resource.get("type", {})),
        "note_time": next((_whole(time) for time in times if time), None),
        "text": text,
    }


def _id_of(reference: dict[str, Any], resource_type: str) -> str | None:
    """The id in a reference: `Patient/1`, `https://server/fhir/Patient/1/_history/2` or `urn:uuid:...`."""
    written = reference.get("reference", "")
    if found := _URN.match(written):
        return found["id"]
    found = _REFERENCE.search(written)
    return found["id"] if found and found["type"] == resource_type else None


def _name_of(concept: dict[str, Any]) -> str | None:
    codings = concept.get("coding", [])
    names = [concept.get("text"), *(coding.get("display") for coding in codings), *(c.get("code") for c in codings)]
    return next(filter(None, names), None)


def _whole(time: str) -> str:
    """FHIR may give a year or a month alone: its first day."""
    return time + {4: "-01-01", 7: "-01"}.get(len(time), "")
