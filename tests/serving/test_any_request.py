"""Whatever is sent, the answer is one that the OpenAPI description has, and none is a 5xx but the documented 503."""

from datetime import UTC, datetime, timedelta

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from in_process import Service, build_tiny_release, unit_vectors
from schemathesis.checks import content_type_conformance, response_schema_conformance, status_code_conformance

from serving.access.keys import create_key

CHECKS = [status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("any")


@pytest.fixture(scope="module")
def key(folder):
    (folder / "access").mkdir()
    (folder / "access/policies.yaml").write_text("all: {patients: all}\n")
    return create_key(folder / "access", ["admin"], "all", datetime.now(UTC) + timedelta(days=1))


@pytest.fixture(scope="module")
def app(folder, key, unused_encoder):
    release = build_tiny_release(folder, unused_encoder)
    with pytest.MonkeyPatch.context() as monkeypatch:
        service = Service(release, unit_vectors, monkeypatch, access={"path": folder / "access"})
        service.ingress.desk.gate.folder.look()
        yield service.app
        service.close()


def check_any_request(app, key, examples):
    checked, statuses = [], set()

    def check_operation(operation):
        @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), database=None)
        @given(case=operation.as_strategy())
        def check(case):
            answer = case.call_and_validate(headers={"Authorization": f"Bearer {key}"}, checks=CHECKS)
            statuses.add((operation.label, answer.status_code))

        check()
        checked.append(operation.label)

    for found in schemathesis.openapi.from_asgi("/openapi.json", app).get_all_operations():
        check_operation(found.ok())
    assert {"POST /v1/search", "POST /v1/notes", "DELETE /v1/patients/{patient_id}"} <= {*checked}
    assert {("POST /v1/search", 200), ("POST /v1/notes", 200), ("GET /v1/notes/{note_id}", 404)} <= statuses


def test_any_request_has_a_described_answer(app, key):
    check_any_request(app, key, 10)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_any_of_many_requests_has_a_described_answer(app, key):
    check_any_request(app, key, 300)
