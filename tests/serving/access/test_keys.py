import threading
from datetime import UTC, datetime, timedelta

import pytest

from serving.access.keys import KEYS, caller_of_key, create_key, read_keys, revoke_key
from serving.problems import ProblemError

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(days=1)


def refusal(folder, sent, now=NOW):
    with pytest.raises(ProblemError) as error:
        caller_of_key(read_keys(folder), sent, now)
    assert error.value.headers == {"WWW-Authenticate": "Bearer"}
    return error.value.status, error.value.code


def test_a_key_says_who_may_do_what_and_its_secret_is_not_kept(tmp_path):
    sent = create_key(tmp_path, ["read", "write"], "ward", LATER)
    caller = caller_of_key(read_keys(tmp_path), sent, NOW)
    identity, secret = sent.split("_", 2)[1:]
    assert (caller.name, caller.scopes, caller.policy) == (f"key:{identity}", {"read", "write"}, "ward")
    assert secret not in (tmp_path / KEYS).read_text()
    caller.require("write")
    with pytest.raises(ProblemError) as error:
        caller.require("admin")
    assert (error.value.status, error.value.code) == (403, "missing_scope")


def test_admin_holds_the_other_scopes(tmp_path):
    sent = create_key(tmp_path, ["admin"], "all", LATER)
    caller = caller_of_key(read_keys(tmp_path), sent, NOW)
    for scope in ("read", "write", "admin"):
        caller.require(scope)


@pytest.mark.parametrize("sent", ["", "drehr", "drehr__", "drehr_00000000_", "drehr_00000000_secret", "é" * 9])
def test_an_unknown_key_is_refused(tmp_path, sent):
    create_key(tmp_path, ["read"], "all", LATER)
    assert refusal(tmp_path, sent) == (401, "unknown_key")


def test_a_known_id_with_another_secret_is_refused(tmp_path):
    sent = create_key(tmp_path, ["read"], "all", LATER)
    other = create_key(tmp_path, ["read"], "all", LATER)
    mixed = "_".join([*sent.split("_", 2)[:2], other.split("_", 2)[2]])
    assert refusal(tmp_path, mixed) == (401, "unknown_key")


def test_an_expired_key_is_refused(tmp_path):
    sent = create_key(tmp_path, ["read"], "all", LATER)
    assert refusal(tmp_path, sent, LATER) == (401, "expired_key")


def test_a_revoked_key_is_refused_and_others_are_not(tmp_path):
    sent, other = (create_key(tmp_path, ["read"], "all", LATER) for _ in range(2))
    revoke_key(tmp_path, sent.split("_")[1])
    assert refusal(tmp_path, sent) == (401, "revoked_key")
    caller_of_key(read_keys(tmp_path), other, NOW)


def test_that_a_key_was_revoked_is_told_to_its_holder_alone(tmp_path):
    sent = create_key(tmp_path, ["read"], "all", LATER)
    revoke_key(tmp_path, sent.split("_")[1])
    assert refusal(tmp_path, sent[:-1]) == (401, "unknown_key")


def test_keys_that_are_made_and_revoked_at_once_are_all_kept(tmp_path):
    first = create_key(tmp_path, ["read"], "all", LATER)
    making = [threading.Thread(target=create_key, args=(tmp_path, ["read"], "all", LATER)) for _ in range(8)]
    revoking = threading.Thread(target=revoke_key, args=(tmp_path, first.split("_")[1]))
    for thread in [*making, revoking]:
        thread.start()
    for thread in [*making, revoking]:
        thread.join()
    keys = read_keys(tmp_path)
    assert len(keys) == 9
    assert [key.id for key in keys.values() if key.revoked] == [first.split("_")[1]]


def test_an_unknown_id_cannot_be_revoked(tmp_path):
    with pytest.raises(ValueError, match=f"{KEYS}: no key has the id abc"):
        revoke_key(tmp_path, "abc")


def test_a_broken_file_of_keys_is_named(tmp_path):
    (tmp_path / KEYS).write_text('[{"id": "a"}]')
    with pytest.raises(ValueError, match=rf"{KEYS}: 0\.sha256"):
        read_keys(tmp_path)
