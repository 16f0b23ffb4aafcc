"""Every refused case with its status, its body and its audit record; what is let in sees its patients alone."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from in_process import Service, build_tiny_release, unit_vectors
from issuer import KEYS, Issuer

from serving.access.keys import create_key, revoke_key
from serving.audit.verify import verify

KEY = b"of the tests, and thirty-two bytes"
LATER = datetime.now(UTC) + timedelta(days=1)
OURS = [f"patient-{number:02}" for number in range(1, 6)]
THEIRS = "patient-09"


@pytest.fixture(scope="module")
def release(tmp_path_factory, unused_encoder):
    return build_tiny_release(tmp_path_factory.mktemp("guarded"), unused_encoder)


@pytest.fixture
def access(tmp_path):
    folder = tmp_path / "access"
    (folder / "cohorts").mkdir(parents=True)
    (folder / "cohorts" / "ours.txt").write_text("\n".join(OURS))
    (folder / "cohorts" / "mixed.txt").write_text(f"{OURS[0]}\n{THEIRS}\n")
    (folder / "policies.yaml").write_text("all: {patients: all}\nours: {cohort: ours}\n")
    return folder


@pytest.fixture
def started():
    services = []
    yield services
    for service in services:
        service.close()


@pytest.fixture
def guarded(release, access, tmp_path, monkeypatch, started):
    """Starts a service with access control and audit; `records()` are its audit records when it has ended."""

    def start(hash_queries=False, **options):
        (tmp_path / "audit.key").write_bytes(KEY)
        audit = {"path": tmp_path / "audit", "local": tmp_path / "local", "key_file": tmp_path / "audit.key"}
        options = {"access": {"path": access, **options.pop("gate", {})}, **options}
        audit |= {"hash_queries": hash_queries}
        started.append(Service(release, unit_vectors, monkeypatch, audit=audit, **options))
        return started[-1]

    return start


@pytest.fixture
def records(tmp_path, started):
    def read():
        for service in started:
            service.close()
        report = verify(tmp_path / "audit", KEY)
        assert report.findings == []
        lines = [line for file in sorted((tmp_path / "audit").rglob("*.jsonl")) for line in file.open()]
        return [record for record in map(json.loads, lines) if record["kind"] == "request"]

    return read


def search(**fields):
    return ("POST", "/v1/search", {"query": "kidney injury", **fields})


def key_of(access, scopes=("read",), policy="ours", expires=LATER):
    return create_key(access, scopes, policy, expires)


def refused(answer, status, code):
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_an_answer_has_a_record_of_who_asked_what_why_and_whom_it_showed(guarded, access, records):
    key = key_of(access)
    answer = guarded().ask(search(k=3), key=key, **{"X-Reason-For-Use": "quality review"})
    shown = {hit["patient_id"] for hit in answer.json()["hits"]}
    assert shown <= {*OURS}
    (record,) = records()
    assert record["who"] == f"key:{key.split('_')[1]}"
    assert record["why"] == "quality review"
    assert record["what"] == {
        "method": "POST",
        "route": "/v1/search",
        "queries": ["kidney injury"],
        "options": {"k": 3},
        "filters": {},
    }
    assert (record["status"], record["patients"]) == (200, sorted(shown))


def test_a_record_may_keep_a_hash_of_what_was_asked(guarded, access, records):
    guarded(hash_queries=True).ask(search(), search(), key=key_of(access))
    one, other = records()
    assert one["what"]["queries"] == other["what"]["queries"]
    assert "kidney" not in json.dumps([one, other])


def case(status, code, request=None, key=None, gate=None, headers=None):
    return status, code, request or search(), key, gate or {}, headers or {}


def a_note(patient=OURS[0], **fields):
    return {"note_id": "new", "patient_id": patient, "text": "a text", **fields}


def write(*notes, **body):
    return ("POST", "/v1/notes", body or {"notes": list(notes)})


def writer(access):
    return key_of(access, scopes=["write"])


def admin(access):
    return key_of(access, scopes=["admin"])


CASES = {
    "no key": case(401, "no_credentials", key=lambda access: None),
    "an unknown key": case(401, "unknown_key", key=lambda access: "drehr_00000000_secret"),
    "an expired key": case(
        401, "expired_key", key=lambda access: key_of(access, expires=datetime(2020, 1, 1, tzinfo=UTC))
    ),
    "a policy that is gone": case(403, "no_policy", key=lambda access: key_of(access, policy="gone")),
    "a key that may not read": case(403, "missing_scope", key=lambda access: key_of(access, scopes=["write"])),
    "no reason": case(400, "no_reason", gate={"reason_required": True}),
    "an endless reason": case(400, "long_reason", headers={"X-Reason-For-Use": "x" * 501}),
    "another's patient": case(404, "unknown_patient", ("POST", f"/v1/patients/{THEIRS}/search", {"query": "x"})),
    "another's notes": case(404, "unknown_patient", ("GET", f"/v1/patients/{THEIRS}/notes", None)),
    "another's note": case(404, "unknown_note", ("GET", "/v1/notes/note-09-1", None)),
    "a note that is not there": case(404, "unknown_note", ("GET", "/v1/notes/nothing", None)),
    "a cohort that is not there": case(404, "unknown_cohort", search(filters={"cohort": "nothing"})),
    "a path in a cohort's name": case(404, "unknown_cohort", search(filters={"cohort": "../cohorts/ours"})),
    "a path in a note's id": case(404, "unknown_note", ("GET", "/v1/notes/..%2F..%2Fetc%2Fpasswd", None)),
    "a path out of the patients": case(404, "unknown_path", ("GET", f"/v1/patients/{OURS[0]}/../../secrets", None)),
    "SQL in a note's id": case(404, "unknown_note", ("GET", "/v1/notes/x'%20OR%20'1'='1", None)),
    "an unknown path": case(404, "unknown_path", ("GET", "/v1/zanzibar", None)),
    "a path that ends in a slash": case(405, "method_not_allowed", ("GET", f"/v1/patients/{OURS[0]}/notes/", None)),
    "an unknown method": case(405, "method_not_allowed", ("PATCH", "/v1/search", {})),
    "a wrong field": case(422, "invalid_request", search(k=0)),
    "a note of another's patient": case(403, "patient_not_allowed", write(a_note(THEIRS)), writer),
    "another's note under an own patient": case(
        403, "patient_not_allowed", write(a_note(note_id="note-09-1", version=2)), writer
    ),
    "another's note to be removed": case(404, "unknown_note", ("DELETE", "/v1/notes/note-09-1", None), writer),
    "another's patient to be removed": case(404, "unknown_patient", ("DELETE", f"/v1/patients/{THEIRS}", None), admin),
    "a patient to be removed with a writer's key": case(
        403, "missing_scope", ("DELETE", f"/v1/patients/{OURS[0]}", None), writer
    ),
    "a note to be written with a reader's key": case(403, "missing_scope", write(a_note())),
    "a note without a text": case(422, "invalid_request", write(a_note(text=" ")), writer),
    "no notes": case(422, "invalid_request", write(nothing=[]), writer),
    "a model that is not there": case(404, "unknown_model", ("POST", "/v1/embeddings", {"input": "x", "model": "gpt"})),
    "an endless body": case(413, "body_too_large", search(filters={"sources": ["x" * 600_000]})),
}


@pytest.mark.parametrize("name", CASES)
def test_a_refusal_is_a_problem_and_has_a_record(guarded, access, records, name):
    status, code, request, make_key, gate, headers = CASES[name]
    key = make_key(access) if make_key else key_of(access)
    refused(guarded(gate=gate).ask(request, key=key, **headers), status, code)
    (record,) = records()
    assert (record["status"], record["patients"]) == (status, [])
    assert record["who"] == (None if status == 401 else f"key:{key.split('_')[1]}")


def test_the_record_of_a_refusal_says_what_was_asked_for_and_why(guarded, access, records):
    key = key_of(access, scopes=["read"])
    request, reason = ("DELETE", "/v1/notes/note-01-0", None), {"X-Reason-For-Use": "error"}
    refused(guarded().ask(request, key=key, **reason), 403, "missing_scope")
    (record,) = records()
    assert record["why"] == "error"
    assert record["what"] == {"method": "DELETE", "route": "/v1/notes/{note_id}", "note_id": "note-01-0"}


def test_a_revoked_key_is_refused(guarded, access, records):
    key = key_of(access)
    revoke_key(access, key.split("_")[1])
    refused(guarded().ask(search(), key=key), 401, "revoked_key")
    assert [record["status"] for record in records()] == [401]


def test_a_token_s_bearer_is_let_in_to_what_it_says(guarded, access, records):
    issuer = Issuer()
    service = guarded(gate={"oidc": {"issuer": issuer.url, "audience": "drehr"}})
    assert service.ask(search(), key=issuer.token(drehr_policy="ours")).status_code == 200
    refused(service.ask(search(), key=issuer.token(drehr_policy="gone")), 403, "no_policy")
    refused(service.ask(search(), key=issuer.token(drehr_policy="ours", scope="openid")), 403, "missing_scope")
    refused(service.ask(search(), key=issuer.token(drehr_policy="ours", exp=1)), 401, "expired_token")
    assert service.ask(search(), key=key_of(access)).status_code == 200
    issuer.stop()
    assert [record["who"] for record in records()][:4] == ["oidc:ann"] * 3 + [None]


TOKENS = {
    "a bad signature": (lambda issuer: issuer.token(key=KEYS["two"]), "bad_signature"),
    "a wrong issuer": (lambda issuer: issuer.token(iss="https://elsewhere"), "wrong_issuer"),
    "a wrong audience": (lambda issuer: issuer.token(aud="another"), "wrong_audience"),
    "an unknown signing key": (lambda issuer: issuer.token("two"), "unknown_signing_key"),
    "a wrong algorithm": (lambda issuer: issuer.token(algorithm="none", key=""), "wrong_algorithm"),
    "an expired token": (lambda issuer: issuer.token(exp=1), "expired_token"),
    "no token at all": (lambda issuer: "a.b.c", "malformed_token"),
}


@pytest.mark.parametrize("name", TOKENS)
def test_a_token_that_does_not_hold_is_refused_and_has_a_record(guarded, records, name):
    make, code = TOKENS[name]
    issuer = Issuer()
    service = guarded(gate={"oidc": {"issuer": issuer.url, "audience": "drehr"}})
    refused(service.ask(search(), key=make(issuer)), 401, code)
    issuer.stop()
    (record,) = records()
    assert (record["status"], record["who"], record["patients"]) == (401, None, [])


def test_without_the_issuer_s_keys_nobody_is_let_in(guarded, records):
    issuer = Issuer()
    issuer.is_down = True
    service = guarded(gate={"oidc": {"issuer": issuer.url, "audience": "drehr"}})
    refused(service.ask(search(), key=issuer.token()), 503, "no_issuer_keys")
    issuer.stop()
    assert [record["status"] for record in records()] == [503]


def test_while_the_access_folder_holds_a_mistake_nobody_is_let_in(guarded, access, records):
    key = key_of(access)
    service = guarded()
    (access / "policies.yaml").write_text("ours: {cohort: [")
    refused(service.ask(search(), key=key), 503, "access_unknown")
    assert [record["status"] for record in records()] == [503]


def test_words_of_filters_are_no_syntax(guarded, access):
    service, key = guarded(), key_of(access)
    for filters in (
        {"note_types": ["x' OR '1'='1"]},
        {"sources": ['"; DROP TABLE notes; --']},
        {"patient_ids": ["') OR 1=1"]},
    ):
        assert service.ask(search(filters=filters), key=key).json()["hits"] == []


def test_a_cohort_narrows_and_never_widens(guarded, access):
    service = guarded()
    hits = service.ask(search(k=1000, filters={"cohort": "mixed"}), key=key_of(access)).json()["hits"]
    assert {hit["patient_id"] for hit in hits} == {OURS[0]}
    key = key_of(access, policy="all")
    hits = service.ask(search(k=1000, filters={"cohort": "mixed"}), key=key).json()["hits"]
    assert {hit["patient_id"] for hit in hits} == {OURS[0], THEIRS}


def test_a_filter_that_names_another_s_patient_is_as_if_it_were_not_there(guarded, access):
    service, key = guarded(), key_of(access)
    there = service.ask(search(filters={"patient_ids": [THEIRS]}), key=key)
    not_there = service.ask(search(filters={"patient_ids": ["nobody"]}), key=key)
    assert there.status_code == not_there.status_code == 200
    assert there.json()["hits"] == not_there.json()["hits"] == []


def test_a_hit_outside_the_policy_withholds_the_answer(guarded, access, records):
    service, key = guarded(), key_of(access)
    for shard in service.ingress.router()._search_shard:
        shard._call = giving_anothers(shard._call)
    answer = service.ask(search(), key=key)
    refused(answer, 500, "internal_error")
    assert THEIRS not in answer.text
    assert [record["patients"] for record in records()] == [[]]


def giving_anothers(search):
    async def call(batch):
        found = await search(batch)
        return [replace(each, contents=[{**row, "patient_id": THEIRS} for row in each.contents]) for each in found]

    return call


def test_a_caller_that_asks_too_often_is_told_when_to_come_back(guarded, access, records):
    service = guarded(limits={"requests_per_s": 0.1, "burst": 2})
    key, other = key_of(access), key_of(access)
    answers = service.ask(*[search()] * 4, key=key)
    assert sorted(answer.status_code for answer in answers) == [200, 200, 429, 429]
    limited = next(answer for answer in answers if answer.status_code == 429)
    refused(limited, 429, "too_many_requests")
    assert 1 <= int(limited.headers["retry-after"]) <= 10
    assert service.ask(search(), key=other).status_code == 200
    assert sorted(record["status"] for record in records()) == [200, 200, 200, 429, 429]


def test_what_there_is_no_room_for_is_refused_at_once_and_the_rest_is_answered(guarded, access, records):
    service, key = guarded(limits={"in_flight": 3}), key_of(access)
    answers = service.ask(*[search()] * 30, key=key)
    shed = [answer for answer in answers if answer.status_code == 503]
    assert sorted({answer.status_code for answer in answers}) == [200, 503]
    refused(shed[0], 503, "overloaded")
    assert shed[0].headers["retry-after"] == "1"
    assert service.ask(search(), key=key).status_code == 200
    of_shed = [(record["who"], record["patients"]) for record in records() if record["status"] == 503]
    assert of_shed == [(None, [])] * len(shed)


def test_one_caller_leaves_room_for_others(guarded, access, records):
    service, key = guarded(limits={"in_flight_per_caller": 2}), key_of(access)
    answers = service.ask(*[search()] * 10, key=key)
    assert sorted({answer.status_code for answer in answers}) == [200, 429]
    refused(next(answer for answer in answers if answer.status_code == 429), 429, "too_many_at_once")
    assert [answer.status_code for answer in service.ask(search(), search(), key=key)] == [200, 200]
    assert {record["who"] for record in records() if record["status"] == 429} == {f"key:{key.split('_')[1]}"}


def test_a_request_counts_with_each_of_its_queries(guarded, access):
    service, key = guarded(limits={"requests_per_s": 0.1, "burst": 5}), key_of(access)
    several = ("POST", "/v1/search", {"queries": ["a fall"] * 4})
    assert service.ask(several, key=key).status_code == 200
    assert service.ask(several, key=key).status_code == 200
    answer = service.ask(search(), key=key)
    refused(answer, 429, "too_many_requests")
    assert int(answer.headers["retry-after"]) == 40, "three were had in advance"


def test_what_a_caller_is_about_to_change_has_a_record_before(guarded, access, records):
    service, key = guarded(), key_of(access, scopes=["write"])
    note = {"note_id": "new", "patient_id": OURS[0], "text": "a text"}
    assert service.ask(("POST", "/v1/notes", {"notes": [note]}), key=key).status_code == 200
    before, after = records()
    assert (before["status"], after["status"]) == (None, 200)
    assert before["what"] == after["what"]
    assert before["patients"] == after["patients"] == [OURS[0]]


def test_the_records_of_a_note_that_moves_name_both_its_patients(guarded, access, records):
    service, key = guarded(), writer(access)
    for version, patient in enumerate(OURS[:2]):
        answer = service.ask(write(a_note(patient, note_id="moves", version=version)), key=key)
        assert answer.status_code == 200
    assert [record["patients"] for record in records()] == [OURS[:1]] * 2 + [OURS[:2]] * 2


def test_without_that_record_nothing_is_changed(guarded, access, monkeypatch):
    service, key = guarded(), key_of(access, scopes=["read", "write"])

    def full(records):
        raise OSError(28, "No space left on device")

    append = service.ingress.desk.recorder._writer.append
    monkeypatch.setattr(service.ingress.desk.recorder._writer, "append", full)
    note = {"note_id": "unwritten", "patient_id": OURS[0], "text": "a text"}
    refused(service.ask(("POST", "/v1/notes", {"notes": [note]}), key=key), 503, "audit_unavailable")
    monkeypatch.setattr(service.ingress.desk.recorder._writer, "append", append)
    refused(service.ask(("GET", "/v1/notes/unwritten", None), key=key), 404, "unknown_note")


def test_a_caller_that_does_not_wait_has_a_record(guarded, access, records):
    service, key = guarded(), key_of(access)
    service.leave(*search(), key=key)
    (record,) = records()
    assert (record["status"], record["what"]["queries"]) == (499, ["kidney injury"])


def test_a_caller_that_leaves_while_others_are_recorded_has_a_record(guarded, access, records):
    service, key = guarded(), key_of(access)
    service.leave_before_it_is_recorded(search(query="stays"), search(query="leaves"), key)
    assert [(record["status"], record["what"]["queries"]) for record in records()] == [
        (200, ["stays"]),
        (200, ["leaves"]),
    ]


def test_without_a_record_no_answer_leaves(guarded, access, monkeypatch):
    service, key = guarded(), key_of(access)

    def full(records):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(service.ingress.desk.recorder._writer, "append", full)
    service.ingress.desk.recorder._writer.close = lambda: None
    answer = service.ask(search(), key=key)
    refused(answer, 503, "audit_unavailable")
    assert "patient" not in answer.text


def test_probes_and_documentation_need_no_key_and_leave_no_record(guarded, records):
    service = guarded()
    paths = ["/healthz", "/readyz", "/docs", "/openapi.json"]
    answers = service.ask(*(("GET", path, None) for path in paths))
    assert [answer.status_code for answer in answers] == [200] * 4
    assert records() == []


def test_every_answer_is_described(guarded):
    for path, methods in guarded().ask(("GET", "/openapi.json", None)).json()["paths"].items():
        for method, operation in methods.items():
            if path.startswith("/v1"):
                assert {"400", "401", "403", "429", "503"} <= operation["responses"].keys(), (method, path)
                assert operation["security"] == [{"HTTPBearer": []}]
                assert "x-reason-for-use" in {each["name"] for each in operation["parameters"]}
            for status, response in operation["responses"].items():
                kinds = {"application/json"} if status == "200" else {"application/problem+json"}
                assert kinds <= response["content"].keys(), (method, path, status)


ANY = st.fixed_dictionaries(
    {},
    optional={
        "mode": st.sampled_from(["dense", "lexical", "hybrid"]),
        "group_by": st.sampled_from(["chunk", "note", "patient"]),
        "k": st.integers(1, 200),
        "offset": st.integers(0, 50),
        "filters": st.fixed_dictionaries(
            {},
            optional={
                "cohort": st.sampled_from(["ours", "mixed"]),
                "patient_ids": st.lists(st.sampled_from([*OURS, THEIRS, "nobody"]), min_size=1, max_size=4),
                "note_types": st.lists(st.sampled_from(["progress note", "radiology report"]), min_size=1),
            },
        ),
    },
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(fields=st.lists(ANY, min_size=1, max_size=8))
def test_no_search_shows_a_patient_outside_the_policy(release, access, tmp_path_factory, monkeypatch, fields):
    key = key_of(access)
    service = Service(release, unit_vectors, monkeypatch, access={"path": access})
    answers = service.ask(*(search(**each) for each in fields), ("GET", "/healthz", None), key=key)[:-1]
    service.close()
    for answer in answers:
        assert answer.status_code == 200, answer.json()
        body = answer.json()
        hits = [*body["hits"], *(hit for group in body["groups"] for hit in group["hits"])]
        assert {hit["patient_id"] for hit in hits} <= {*OURS}
