"""The jobs around access and audit, as an administrator runs them."""

import pytest

from ray_jobs import access, audit
from ray_jobs.job import main
from serving.audit.writer import AuditSettings, AuditWriter


@pytest.fixture
def run(tmp_path, capsys):
    (tmp_path / "access").mkdir()
    (tmp_path / "access" / "policies.yaml").write_text("all: {patients: all}\n")

    def run(job, settings_type, recipe, *overrides):
        words = [word for override in overrides for word in ("--set", override)]
        try:
            main(settings_type, job.run, ["--config", f"recipes/{recipe}.yaml", *words], on_ray=False)
            code = 0
        except SystemExit as ended:
            code = ended.code
        captured = capsys.readouterr()
        return code, captured.out + captured.err

    return run


@pytest.fixture
def on_keys(run, tmp_path):
    return lambda *overrides: run(
        access, access.AccessJobSettings, "access", f"access.path={tmp_path / 'access'}", *overrides
    )


def test_a_key_is_created_listed_and_revoked(on_keys):
    code, output = on_keys("action=create", "key.policy=all", "key.scopes=[read, write]")
    assert code == 0
    identity = output.split("_")[1]
    assert f"{identity}  valid" in on_keys("action=list")[1]
    assert on_keys("action=revoke", f"key.id={identity}")[0] == 0
    assert f"{identity}  revoked" in on_keys("action=list")[1]
    assert output.split()[0] not in on_keys("action=list")[1]


def test_a_key_without_a_policy_is_refused(on_keys):
    code, output = on_keys("action=create", "key.policy=nowhere")
    assert code == 1
    assert "policies.yaml has no policy 'nowhere'" in output


def test_a_check_says_what_policies_mean_and_what_is_wrong(on_keys, tmp_path):
    on_keys("action=create", "key.policy=all")
    assert on_keys() == (
        0,
        f"policy all: every patient\n1 keys, 0 cohorts, no mistake found in {tmp_path / 'access'}\n",
    )
    (tmp_path / "access" / "policies.yaml").write_text("one: {patients: [p1]}\n")
    code, output = on_keys()
    assert code == 1
    assert "policy one: 1 patients" in output
    assert "keys name policies that are not there: all" in output


def test_an_audit_log_is_verified(run, tmp_path):
    key = b"of the tests, and thirty-two bytes"
    (tmp_path / "key").write_bytes(key)
    settings = AuditSettings(path=tmp_path / "audit", local=tmp_path / "local", key_file=tmp_path / "key")
    writer = AuditWriter(settings, key)
    writer.append([{"kind": "request", "who": "key:1"}])
    writer.close()
    where = f"audit.path={settings.path}", f"audit.key_file={settings.key_file}"
    code, output = run(audit, audit.AuditJobSettings, "audit", *where)
    assert code == 0
    assert "3 records" in output
    assert "every record is there" in output
    (segment,) = settings.path.rglob("*.jsonl")
    segment.write_text(segment.read_text().replace("key:1", "key:2"))
    code, output = run(audit, audit.AuditJobSettings, "audit", *where)
    assert code == 1
    assert f"changed: record 1, writer {writer.id}" in output
    (tmp_path / "key").write_bytes(b"short")
    code, output = run(audit, audit.AuditJobSettings, "audit", *where)
    assert code == 1
    assert "a key has at least 32 bytes" in output
