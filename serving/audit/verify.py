"""Whether the sealed audit records are all there, in their order and as they were written."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError

from serving.audit.chain import BEGIN, FULL, SEAL, START, Link, is_bound, keyed_hash, link_after, read
from serving.files import write_whole

HEADS = "heads.json"


class Heads(BaseModel):
    """How far each chain went at the last check. Alone it shows that a whole chain or the end of one was taken away."""

    links: dict[str, Link]
    mac: str

    def is_genuine(self, key: bytes) -> bool:
        """Whether it was written with the key."""
        return self.mac == _mac_of(self.links, key)


class Finding(NamedTuple):
    """One thing that is wrong: `changed`, `missing`, `re-ordered` or `cut off`."""

    writer: str
    kind: str
    where: str


class Report(NamedTuple):
    """What a check found."""

    records: int
    unended: list[str]
    """Writers without a last record: they go on, or died with what they had not sealed."""
    findings: list[Finding]


def verify(folder: Path, key: bytes, kept: Path | None = None) -> Report:
    """Check every chain against the key and the heads of the check before; keep the heads of chains that are right.

    They are `kept` in a file: beside the records where none is named, which whoever can remove records can remove too.

    Raises ValueError where the file of heads is not what was written.
    """
    kept = kept or folder / HEADS
    before = _read_heads(kept, key)
    now = dict(before)
    records, unended, findings = 0, [], []
    for writer in sorted({each.name for each in folder.iterdir() if each.is_dir()} | before.keys()):
        link, ended, wrong = _check(folder / writer, key, before.get(writer, START))
        if not wrong:
            now[writer] = link
        records += link.seq
        unended += [] if ended else [writer]
        findings += [Finding(writer, *each) for each in wrong]
    heads = Heads(links=now, mac=_mac_of(now, key))
    write_whole(kept, heads.model_dump_json(indent=1).encode())
    return Report(records, unended, findings)


def _check(chain: Path, key: bytes, head: Link) -> tuple[Link, bool, list[tuple[str, str]]]:
    """Where the chain ends, whether its writer ended it, and what is wrong: kind and place."""
    link, last = START, dict[str, Any]()
    wrong: list[tuple[str, str]] = []
    for segment in sorted(chain.glob("*.jsonl")):
        records = list(_records(segment, wrong))
        in_order = sorted(records, key=lambda record: record["seq"])
        if records != in_order:
            wrong.append(("re-ordered", f"in {segment.name}"))
        for record in in_order:
            if record["seq"] < link.seq:
                wrong.append(("re-ordered", f"record {record['seq']} again or late, in {segment.name}"))
                continue
            if record["seq"] > link.seq:
                wrong.append(("missing", _span(link.seq, record["seq"])))
            elif not is_bound(link, record, key) or (link == START and not _begins(record, chain.name)):
                wrong.append(("changed", f"record {record['seq']}"))
            last, link = record, link_after(record)
            if link.seq == head.seq and link.mac != head.mac:
                wrong.append(("changed", f"record {record['seq']} is not what it was at the last check"))
        if segment.stat().st_size and last.get("kind") != SEAL:
            wrong.append(("cut off", f"after record {link.seq - 1}, the end of {segment.name}"))
    if link.seq < head.seq:
        wrong.append(("cut off", f"{_span(link.seq, head.seq)}, there at the last check"))
    return link, last.get("why", FULL) != FULL, wrong


def _records(segment: Path, wrong: list[tuple[str, str]]) -> Iterator[dict[str, Any]]:
    *lines, rest = segment.read_bytes().decode(errors="replace").split("\n")
    for number, line in enumerate([*lines, rest] if rest else lines, 1):
        try:
            yield read(line)
        except ValueError:
            wrong.append(("changed", f"line {number} of {segment.name} is no record"))


def _begins(record: Mapping[str, Any], writer: str) -> bool:
    return (record.get("kind"), record.get("writer")) == (BEGIN, writer)


def _span(start: int, end: int) -> str:
    return f"record {start}" if end == start + 1 else f"records {start} to {end - 1}"


def _read_heads(path: Path, key: bytes) -> dict[str, Link]:
    if not path.exists():
        return {}
    try:
        heads = Heads.model_validate_json(path.read_bytes())
    except ValidationError:
        raise ValueError(f"{path}: not a file of heads") from None
    if not heads.is_genuine(key):
        raise ValueError(f"{path}: changed, or written with another key")
    return heads.links


def _mac_of(links: Mapping[str, Link], key: bytes) -> str:
    return keyed_hash(key, "heads", json.dumps(sorted(links.items())))
