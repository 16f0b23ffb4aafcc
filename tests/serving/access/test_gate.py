"""Headers in, a visit or a refusal out; and how soon a change in the access folder holds."""

import asyncio
import os
from datetime import UTC, datetime, timedelta
from time import monotonic

import pytest

from serving.access import folder as access_folder
from serving.access.gate import AccessSettings, Gate
from serving.access.keys import _write as write_keys
from serving.access.keys import create_key, read_keys, revoke_key
from serving.problems import ProblemError

LATER = datetime.now(UTC) + timedelta(days=1)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "cohorts").mkdir()
    (tmp_path / "cohorts" / "ours.txt").write_text("p1\np2\n")
    (tmp_path / "policies.yaml").write_text("ward: {cohort: ours}\nall: {patients: all}\n")
    return tmp_path


def gate_of(folder, **settings):
    gate = Gate(AccessSettings(path=folder, **settings))
    gate.folder.look()
    return gate


def enter(gate, key, scope="read", **headers):
    sent = {"authorization": f"Bearer {key}", **headers}
    return gate.admit(asyncio.run(gate.identify(sent)), scope, sent)


def refusal(*args, **kwargs):
    with pytest.raises(ProblemError) as error:
        enter(*args, **kwargs)
    return error.value.status, error.value.code


def test_a_visit_knows_which_patients_it_may_see(folder):
    key = create_key(folder, ["read"], "ward", LATER)
    visit = enter(gate_of(folder), key)
    assert [visit.may_see(patient) for patient in ("p1", "p2", "p3", "")] == [True, True, False, False]
    key = create_key(folder, ["read"], "all", LATER)
    everyone = enter(gate_of(folder), key)
    assert everyone.may_see("p3")


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer  ", "Basic YTpi", "bearer"])
def test_no_credentials(folder, header):
    with pytest.raises(ProblemError) as error:
        asyncio.run(gate_of(folder).identify({"authorization": header} if header else {}))
    assert (error.value.status, error.value.code) == (401, "no_credentials")


def test_an_endless_credential(folder):
    assert refusal(gate_of(folder), "x" * 10_000) == (401, "malformed_token")


def test_a_token_where_only_keys_are_known(folder):
    assert refusal(gate_of(folder), "a.b.c") == (401, "unknown_key")


def test_a_scope_that_the_key_does_not_have(folder):
    key = create_key(folder, ["read"], "all", LATER)
    assert refusal(gate_of(folder), key, "write") == (403, "missing_scope")


def test_a_policy_that_is_not_there(folder):
    key = create_key(folder, ["read"], "nowhere", LATER)
    assert refusal(gate_of(folder), key) == (403, "no_policy")


def test_a_reason_where_one_is_required(folder):
    key = create_key(folder, ["read"], "all", LATER)
    gate = gate_of(folder, reason_required=True)
    assert refusal(gate, key) == (400, "no_reason")
    assert refusal(gate, key, **{"x-reason-for-use": "  "}) == (400, "no_reason")
    assert refusal(gate, key, **{"x-reason-for-use": "x" * 501}) == (400, "long_reason")
    enter(gate, key, **{"x-reason-for-use": " quality review "})
    enter(gate_of(folder), key)


def test_a_revoked_key_and_a_changed_policy_hold_within_five_seconds(folder):
    revoked, narrowed = (create_key(folder, ["read"], "all", LATER) for _ in range(2))
    gate = Gate(AccessSettings(path=folder))

    async def until(holds):
        begun = monotonic()
        while not await holds():
            await asyncio.sleep(0.05)
        return monotonic() - begun

    async def is_refused():
        try:
            await gate.identify({"authorization": f"Bearer {revoked}"})
        except ProblemError as error:
            return error.code == "revoked_key"
        return False

    async def is_narrow():
        sent = {"authorization": f"Bearer {narrowed}"}
        return not gate.admit(await gate.identify(sent), "read", sent).may_see("p3")

    async def scenario():
        gate.folder.look()
        watching = asyncio.create_task(gate.folder.watch())
        assert not await is_refused()
        assert not await is_narrow()
        revoke_key(folder, revoked.split("_")[1])
        (folder / "policies.yaml").write_text("all: {cohort: ours}\n")
        taken = [await until(is_refused), await until(is_narrow)]
        watching.cancel()
        return taken

    assert max(asyncio.run(scenario())) < 5


def test_a_key_that_is_revoked_while_its_body_is_on_the_way_is_refused(folder):
    key = create_key(folder, ["read"], "all", LATER)
    gate = gate_of(folder)
    caller = asyncio.run(gate.identify({"authorization": f"Bearer {key}"}))
    revoke_key(folder, key.split("_")[1])
    gate.folder.look()
    with pytest.raises(ProblemError) as error:
        gate.admit(caller, "read", {})
    assert (error.value.status, error.value.code) == (401, "revoked_key")


def test_without_a_look_at_the_folder_nobody_is_let_in(folder, monkeypatch):
    key = create_key(folder, ["read"], "all", LATER)
    gate = gate_of(folder)
    enter(gate, key)
    monkeypatch.setattr(access_folder, "MAX_AGE_S", -1)
    assert refusal(gate, key) == (503, "access_unknown")
    assert refusal(Gate(AccessSettings(path=folder)), key) == (503, "access_unknown")


@pytest.mark.parametrize("mistake", ["all: {patients: some}", "all: {cohort: nobody}", "{", "all: \xff", "- a", "all"])
def test_a_mistake_in_the_folder_shuts_everybody_out_until_it_is_mended(folder, mistake):
    key = create_key(folder, ["read"], "all", LATER)
    gate = gate_of(folder)
    whole = (folder / "policies.yaml").read_text()
    (folder / "policies.yaml").write_text(mistake, encoding="latin-1")
    gate.folder.look()
    assert refusal(gate, key) == (503, "access_unknown")
    (folder / "policies.yaml").write_text(whole)
    gate.folder.look()
    enter(gate, key)


def test_a_change_that_keeps_size_and_time_is_seen(folder):
    key = create_key(folder, ["read"], "ward", LATER)
    gate = gate_of(folder)
    file = folder / "cohorts" / "ours.txt"
    stat = file.stat()
    aside = folder / "aside"
    aside.write_text("p1\np7\n")
    os.utime(aside, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    aside.rename(file)
    gate.folder.look()
    visit = enter(gate, key)
    assert [visit.may_see(patient) for patient in ("p2", "p7")] == [False, True]


def test_a_key_counts_as_it_is_when_the_body_has_come(folder):
    gate, key = gate_of(folder), create_key(folder, ["read", "write"], "all", LATER)
    gate.folder.look()
    sent = {"authorization": f"Bearer {key}"}
    caller = asyncio.run(gate.identify(sent))
    (of_key,) = read_keys(folder).values()

    def admitted(scope, **changes):
        write_keys(folder, [of_key.model_copy(update=changes)] if changes else [])
        gate.folder.look()
        return gate.admit(caller, scope, sent)

    def refused(scope, **changes):
        with pytest.raises(ProblemError) as error:
            admitted(scope, **changes)
        return error.value.status, error.value.code

    assert admitted("read", policy="ward").allowed == {"p1", "p2"}
    assert refused("write", scopes=frozenset({"read"})) == (403, "missing_scope")
    assert refused("read", expires=datetime(2020, 1, 1, tzinfo=UTC)) == (401, "expired_key")
    assert refused("read") == (401, "unknown_key"), "it is not in the file any longer"
