"""Verify the audit log: records that were changed, are missing, out of order or cut off."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel

from ray_jobs.job import main, require
from serving.audit.recorder import read_key
from serving.audit.verify import verify


class AuditLogSettings(BaseModel):
    """Where the sealed records are, and the key they were written with."""

    path: Path
    key_file: Path
    heads: Path | None = None
    """The file that keeps how far the last check came, out of reach of whoever can write the records."""


class AuditJobSettings(BaseModel):
    audit: AuditLogSettings
    action: Literal["verify"] = "verify"


def run(settings: AuditJobSettings) -> None:
    audit = settings.audit
    require(audit__path=audit.path, audit__key_file=audit.key_file)
    report = verify(audit.path, read_key(audit.key_file), audit.heads)
    for finding in report.findings:
        print(f"{finding.kind}: {finding.where}, writer {finding.writer}")
    for writer in report.unended:
        print(f"not ended: writer {writer} goes on, or died with what it had not sealed")
    print(f"{report.records:,} records in {audit.path}", flush=True)
    if report.findings:
        raise ValueError(f"{audit.path}: {len(report.findings)} findings, named above")
    print("every record is there, in its order and as it was written")


if __name__ == "__main__":
    main(AuditJobSettings, run, on_ray=False)
