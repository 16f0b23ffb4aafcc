"""Notes that are written and removed over HTTP: durable, found or gone, and of allowed patients alone."""

import asyncio
import json
import shutil
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest
from in_process import Service, build_tiny_release, unit_vectors

from corpus.notes import parse_note
from corpus.store import Purged
from corpus.writing import Changes
from serving import note_routes, problems
from serving.access.keys import create_key
from serving.ingest_deployment import OUTDATED
from serving.manifest import MANIFEST
from serving.problems import MAX_BULK_BYTES

LATER = datetime.now(UTC) + timedelta(days=1)
NDJSON = {"Content-Type": "application/x-ndjson"}


@pytest.fixture(scope="module")
def built(tmp_path_factory, unused_encoder):
    return build_tiny_release(tmp_path_factory.mktemp("written"), unused_encoder).parent


@pytest.fixture
def release(built, tmp_path):
    path = shutil.copytree(built, tmp_path / "served")
    manifest = path / "release" / MANIFEST
    manifest.write_text(manifest.read_text().replace(str(built), str(path)))
    return path / "release"


@pytest.fixture
def service(release, monkeypatch):
    service = Service(release, unit_vectors, monkeypatch)
    yield service
    service.close()


def a_note(note_id="new", text="A zebra was seen.", patient="newcomer", **fields):
    return {"note_id": note_id, "patient_id": patient, "text": text, **fields}


def write(service, *notes, **keywords):
    return service.ask(("POST", "/v1/notes", {"notes": list(notes)}), **keywords)


def found(service, version=0, query="zebra"):
    hits = service.search(query, mode="lexical", min_version=version).json()["hits"]
    return {hit["note_id"]: hit["text"] for hit in hits}


def test_a_note_is_written_found_replaced_and_removed(service):
    answer = write(service, a_note(), a_note("other", note_time="2026-01-02T03:04:05Z"))
    assert answer.status_code == 200
    version = answer.json()["store_version"]
    assert answer.json()["notes"] == 2
    assert found(service, version).keys() == {"new", "other"}
    version = write(service, a_note(text="A zebra crossing.", version=2)).json()["store_version"]
    assert found(service, version)["new"] == "A zebra crossing."
    version = service.ask(("DELETE", "/v1/notes/new", None)).json()["store_version"]
    assert found(service, version).keys() == {"other"}
    assert service.ask(("GET", "/v1/notes/new", None)).status_code == 404
    answer = service.ask(("DELETE", "/v1/patients/newcomer", None)).json()
    assert answer["notes"] == 1
    assert found(service, answer["store_version"]) == {}
    assert service.ask(("GET", "/v1/patients/newcomer/notes", None)).status_code == 404


def test_a_write_may_be_repeated(service):
    first, again = (write(service, a_note()).json() for _ in range(2))
    assert first == again
    service.ask(("DELETE", "/v1/notes/new", None))
    version = write(service, a_note()).json()["store_version"]
    assert found(service, version) == {}, "a removed note does not come back by the version that was removed"


def test_notes_come_as_lines_of_json(service):
    lines = "\n".join(json.dumps(a_note(f"n{number}")) for number in range(3)) + "\n\n"
    answer = service.send("POST", "/v1/notes", lines.encode(), **NDJSON)
    assert answer.json()["notes"] == 3
    assert len(found(service, answer.json()["store_version"])) == 3


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "notes"),
        ([], "notes"),
        ({"notes": []}, "notes"),
        ({"notes": "text"}, "notes"),
        ({"notes": [a_note()] * 1001}, "notes"),
        ({"notes": [a_note(), "zanzibar"]}, "notes.1"),
        ({"notes": [a_note(), {"note_id": "x", "text": "zanzibar"}]}, "notes.1.patient_id"),
        ({"notes": [a_note(text="  ")]}, "notes.0.text"),
        ({"notes": [a_note(version="zanzibar")]}, "notes.0.version"),
        ({"notes": [a_note(note_time="zanzibar")]}, "notes.0.note_time"),
        ({"notes": [a_note("x" * 257)]}, "notes.0.note_id"),
        ({"notes": [a_note(text="\ud800")]}, "notes.0.text"),
    ],
)
def test_what_is_no_note_is_named_and_nothing_is_written(service, body, field):
    before = service.shards[0].version
    content = json.dumps(body).encode()
    answer = service.send("POST", "/v1/notes", content, **{"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)
    assert "zanzibar" not in answer.text
    service.shards[0].follow()
    assert service.shards[0].version == before


@pytest.mark.parametrize(
    ("content", "kind", "status", "code"),
    [
        (b'{"notes": [', "application/json", 400, "malformed_json"),
        (b'{"note_id": "x"}\nzanzibar', "application/x-ndjson", 400, "malformed_json"),
        (b'{"notes": [\xff]}', "application/json", 400, "malformed_json"),
        (b"[" * 100_000, "application/json", 400, "malformed_json"),
        (b"note_id=x", "text/plain", 415, "not_json"),
        (b" " * (MAX_BULK_BYTES + 1), "application/json", 413, "body_too_large"),
    ],
)
def test_what_cannot_be_read_is_refused(service, content, kind, status, code):
    answer = service.send("POST", "/v1/notes", content, **{"Content-Type": kind})
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert "zanzibar" not in answer.text


def test_half_a_body_is_none(service):
    half = {"type": "http.request", "body": b'{"note_id": "n"}\n', "more_body": True}
    messages = iter([half, {"type": "http.disconnect"}])
    assert service.send_messages("/v1/notes", messages) == (400, "broken_off")


def test_a_body_that_does_not_come_is_given_up(service, monkeypatch):
    monkeypatch.setattr(problems, "BODY_S", 0.05)
    assert service.send_messages("/v1/notes", iter([])) == (408, "slow_body")


def test_too_many_lines_are_refused_before_any_is_read(service):
    answer = service.send("POST", "/v1/notes", b"zanzibar\n" * 1001, **NDJSON)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "notes")


@pytest.mark.parametrize("path", ["/v1/notes/nothing", "/v1/patients/nobody"])
def test_what_is_not_there_cannot_be_removed(service, path):
    assert service.ask(("DELETE", path, None)).status_code == 404


@pytest.fixture
def guarded(release, tmp_path, monkeypatch):
    folder = tmp_path / "access"
    folder.mkdir()
    (folder / "policies.yaml").write_text("ours: {patients: [patient-01, patient-02]}\n")
    service = Service(release, unit_vectors, monkeypatch, access={"path": folder})
    service.key = lambda *scopes: create_key(folder, scopes, "ours", LATER)
    yield service
    service.close()


@pytest.mark.parametrize(
    ("request_", "scopes", "status", "code"),
    [
        (("POST", "/v1/notes", {"notes": [a_note(patient="patient-01")]}), ["read"], 403, "missing_scope"),
        (("DELETE", "/v1/notes/note-01-0", None), ["read"], 403, "missing_scope"),
        (("DELETE", "/v1/patients/patient-01", None), ["read", "write"], 403, "missing_scope"),
        (("POST", "/v1/notes", {"notes": [a_note(patient="patient-09")]}), ["write"], 403, "patient_not_allowed"),
        (
            ("POST", "/v1/notes", {"notes": [a_note("note-09-0", patient="patient-01", version=9)]}),
            ["write"],
            403,
            "patient_not_allowed",
        ),
        (("DELETE", "/v1/notes/note-09-0", None), ["write"], 404, "unknown_note"),
        (("DELETE", "/v1/patients/patient-09", None), ["admin"], 404, "unknown_patient"),
    ],
)
def test_writes_need_their_scope_and_stay_within_the_policy(guarded, request_, scopes, status, code):
    answer = guarded.ask(request_, key=guarded.key(*scopes))
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    guarded.shards[0].follow()
    assert guarded.ask(("GET", "/v1/notes/note-01-0", None), key=guarded.key("read")).status_code == 200


def test_allowed_patients_are_written_and_removed(guarded):
    key = guarded.key("admin")
    assert write(guarded, a_note(patient="patient-01"), key=key).status_code == 200
    assert guarded.ask(("DELETE", "/v1/notes/new", None), key=key).status_code == 200
    assert guarded.ask(("DELETE", "/v1/patients/patient-02", None), key=key).json()["notes"] == 3


def test_a_note_that_became_anothers_while_the_right_to_it_was_checked_is_not_changed(service, monkeypatch):
    write(service, a_note(patient="theirs"))
    monkeypatch.setattr(note_routes, "patients_of_notes", lambda store, ids: {})
    answer = write(service, a_note(text="A horse.", version=2))
    assert (answer.status_code, answer.json()["code"]) == (409, "changed_meanwhile")
    monkeypatch.undo()
    assert service.ask(("GET", "/v1/notes/new", None)).json()["patient_id"] == "theirs"


def test_ids_may_hold_slashes(service):
    note, patient = "ward/1/a b", "p/q"
    version = write(service, a_note(note, patient=patient)).json()["store_version"]
    of_note, of_patient = (
        f"/v1/{kind}/{quote(name, safe='')}" for kind, name in (("notes", note), ("patients", patient))
    )
    assert service.ask(("GET", of_note, None)).json()["patient_id"] == patient
    listed = service.ask(("GET", f"{of_patient}/notes", None)).json()["notes"]
    assert [each["note_id"] for each in listed] == [note]
    asked = {"query": "zebra", "min_version": version}
    hits = service.ask(("POST", f"{of_patient}/search", asked)).json()["hits"]
    assert [hit["note_id"] for hit in hits] == [note]
    assert service.ask(("DELETE", of_note, None)).status_code == 200
    assert service.ask(("GET", of_note, None)).status_code == 404
    write(service, a_note("other", patient=patient))
    assert service.ask(("DELETE", of_patient, None)).json()["notes"] == 1


@pytest.mark.parametrize("column", ["note_id", "patient_id"])
@pytest.mark.parametrize("name", [".", ".."])
def test_ids_that_no_url_can_name_are_refused(service, column, name):
    answer = write(service, {**a_note(), column: name})
    assert (answer.status_code, answer.json()["errors"]) == (
        422,
        [{"field": f"notes.0.{column}", "reason": "not_an_id"}],
    )


@pytest.mark.parametrize(("second", "is_written"), [("alice", True), ("bob", False)])
def test_changes_of_one_group_fit_each_other(service, second, is_written):
    ingest = service.ingest
    group = [
        (ingest._store_id, Changes([parse_note(a_note(patient=patient, version=version), "http")], seen={}))
        for version, patient in ((1, "alice"), (2, second))
    ]
    one, other = ingest._write(group)
    assert (one > OUTDATED, other > OUTDATED) == (True, is_written)
    note = service.ask(("GET", "/v1/notes/new", None)).json()
    assert (note["patient_id"], note["version"]) == ("alice", 2 if is_written else 1)


def test_changes_that_come_a_second_time_are_acknowledged(service):
    ingest = service.ingest
    note = parse_note(a_note(), "http")
    for changes in (Changes([note], seen={}), Changes(remove_notes=["new"], seen={"new": "newcomer"})):
        first, second = (ingest._write([(ingest._store_id, changes)])[0] for _ in range(2))
        assert first == second > OUTDATED


def test_what_was_checked_in_another_store_is_not_written(service):
    write(service, a_note("there"))
    service.ingest._store_id = "another"
    described = service.ask(("GET", "/openapi.json", None)).json()["paths"]
    for method, path, body, route in (
        ("POST", "/v1/notes", {"notes": [a_note()]}, "/v1/notes"),
        ("DELETE", "/v1/notes/there", None, "/v1/notes/{note_id}"),
        ("DELETE", "/v1/patients/newcomer", None, "/v1/patients/{patient_id}"),
    ):
        answer = service.ask((method, path, body))
        assert (answer.status_code, answer.json()["code"]) == (409, "changed_meanwhile")
        assert "409" in described[route][method.lower()]["responses"]
    assert service.ask(("GET", "/v1/notes/new", None)).status_code == 404
    assert service.ask(("GET", "/v1/notes/there", None)).status_code == 200


def test_a_purge_of_another_store_does_nothing(service):
    ingest = service.ingest
    purged = asyncio.run(ingest.purge("another", Purged(1, 1), readers_s=0))
    assert purged is False
