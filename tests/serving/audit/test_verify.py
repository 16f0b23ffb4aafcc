"""A chain as it was written, and each way of tampering with it."""

import json
import resource
import shutil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.audit.chain import REQUEST, START, bind, keyed_hash
from serving.audit.verify import HEADS, Finding, verify
from serving.audit.writer import LOCK, AuditSettings, AuditWriter

KEY = b"of the tests"


def audit_settings(folder, **changes):
    return AuditSettings(path=folder / "shared", local=folder / "local", key_file=folder / "key", **changes)


def write_chain(folder, requests=6, per_segment=3):
    """A chain of one writer that was stopped in order; its writer's id."""
    writer = AuditWriter(audit_settings(folder, segment_records=per_segment), KEY)
    for number in range(requests):
        writer.append([{"kind": REQUEST, "who": f"key:{number}"}])
        writer.tend()
    writer.close()
    return writer.id


@pytest.fixture
def written(tmp_path):
    return tmp_path / "shared", write_chain(tmp_path)


def segments(folder, writer):
    return sorted((folder / writer).glob("*.jsonl"))


def rewrite(segment, change):
    lines = segment.read_text().splitlines(keepends=True)
    segment.write_text("".join(change(lines)))


def found(folder):
    return [(finding.kind, finding.where) for finding in verify(folder, KEY).findings]


def test_an_untouched_chain_is_right_and_says_how_many_records_it_has(written):
    folder, writer = written
    report = verify(folder, KEY)
    assert (report.unended, report.findings) == ([], [])
    lines = [line for segment in segments(folder, writer) for line in segment.read_text().splitlines()]
    assert len(segments(folder, writer)) == 3
    assert report.records == len(lines) == 1 + 6 + 3
    assert [json.loads(line)["seq"] for line in lines] == list(range(10))


def test_a_changed_record_is_found(written):
    folder, writer = written
    rewrite(segments(folder, writer)[1], lambda lines: [line.replace("key:2", "key:9") for line in lines])
    assert found(folder) == [("changed", "record 4")]


def test_a_record_that_was_made_with_another_key_is_found(written):
    folder, _ = written
    assert {finding.kind for finding in verify(folder, b"another").findings} == {"changed"}


def test_a_line_that_is_no_record_is_found(written):
    folder, writer = written
    rewrite(segments(folder, writer)[1], lambda lines: ["{\n", *lines[1:]])
    name = segments(folder, writer)[1].name
    assert found(folder) == [("changed", f"line 1 of {name} is no record"), ("missing", "record 4")]


def test_a_missing_record_is_found(written):
    folder, writer = written
    rewrite(segments(folder, writer)[1], lambda lines: [lines[0], *lines[2:]])
    assert found(folder) == [("missing", "record 5")]


def test_a_missing_segment_is_found(written):
    folder, writer = written
    segments(folder, writer)[1].unlink()
    assert found(folder) == [("missing", "records 4 to 7")]


def test_records_out_of_order_are_found(written):
    folder, writer = written
    rewrite(segments(folder, writer)[1], lambda lines: [lines[1], lines[0], *lines[2:]])
    assert found(folder) == [("re-ordered", f"in {segments(folder, writer)[1].name}")]


def test_segments_that_changed_places_are_found(written):
    folder, writer = written
    first, second, _ = segments(folder, writer)
    first.rename(folder / "aside")
    second.rename(first)
    (folder / "aside").rename(second)
    kinds = [kind for kind, _ in found(folder)]
    assert kinds == ["missing"] + 4 * ["re-ordered"]


def test_a_cut_segment_is_found(written):
    folder, writer = written
    last = segments(folder, writer)[-1]
    rewrite(last, lambda lines: lines[:-1])
    assert found(folder) == [("cut off", f"after record 8, the end of {last.name}")]


def test_a_chain_that_lost_its_last_segments_is_found_after_an_earlier_check(written):
    folder, writer = written
    assert found(folder) == []
    segments(folder, writer)[-1].unlink()
    assert found(folder) == [("cut off", "records 8 to 9, there at the last check")]
    assert verify(folder, KEY).unended == [writer]


def test_a_chain_that_is_gone_is_found_after_an_earlier_check(written):
    folder, writer = written
    assert found(folder) == []
    shutil.rmtree(folder / writer)
    assert verify(folder, KEY).findings == [Finding(writer, "cut off", "records 0 to 9, there at the last check")]


def test_a_chain_under_another_writers_name_is_found(written):
    folder, writer = written
    (folder / writer).rename(folder / "other")
    assert found(folder) == [("changed", "record 0")]


def test_one_broken_chain_does_not_hide_the_end_of_another(tmp_path):
    one, other = write_chain(tmp_path), write_chain(tmp_path)
    folder = tmp_path / "shared"
    rewrite(segments(folder, one)[1], lambda lines: lines[1:])
    assert found(folder) == [("missing", "record 4")]
    segments(folder, other)[-1].unlink()
    assert ("cut off", "records 8 to 9, there at the last check") in found(folder)


def test_a_writer_that_died_before_its_first_record_leaves_nothing_to_find(tmp_path):
    settings = audit_settings(tmp_path)
    dead = settings.local / "dead"
    dead.mkdir(parents=True)
    (dead / LOCK).write_bytes(b"")
    (dead / "000000000000.jsonl").write_bytes(b"")
    AuditWriter(settings, KEY).close()
    assert found(settings.path) == []


def test_what_lies_on_a_node_does_not_replace_what_is_sealed(written, tmp_path):
    folder, writer = written
    last = segments(folder, writer)[-1]
    sealed = last.read_bytes()
    left = tmp_path / "local" / writer
    left.mkdir()
    (left / LOCK).write_bytes(b"")
    (left / last.name).write_bytes(sealed.splitlines(keepends=True)[0])
    AuditWriter(audit_settings(tmp_path), KEY).close()
    assert last.read_bytes() == sealed
    assert found(folder) == []


def test_the_hash_of_a_query_never_binds_a_record():
    link, record = bind(START, {"kind": REQUEST}, KEY)[1], {"kind": REQUEST, "seq": 1}
    line, _ = bind(link, {"kind": REQUEST}, KEY)
    asked = link.mac + json.dumps(record, sort_keys=True, separators=(",", ":"))
    assert keyed_hash(KEY, "record", asked) == json.loads(line)["mac"]
    assert keyed_hash(KEY, "query", asked) != json.loads(line)["mac"]


def test_heads_kept_elsewhere_tell_of_a_chain_that_is_taken_away_with_what_lay_beside_it(written, tmp_path):
    folder, _ = written
    verify(folder, KEY, tmp_path / "elsewhere.json")
    assert not (folder / HEADS).exists()
    for each in folder.iterdir():
        shutil.rmtree(each)
    (finding,) = verify(folder, KEY, tmp_path / "elsewhere.json").findings
    assert finding.kind == "cut off"


def test_changed_heads_are_refused(written):
    folder, _ = written
    verify(folder, KEY)
    heads = json.loads((folder / HEADS).read_text())
    heads["links"] = {}
    (folder / HEADS).write_text(json.dumps(heads))
    with pytest.raises(ValueError, match=f"{HEADS}: changed"):
        verify(folder, KEY)
    (folder / HEADS).write_text("{")
    with pytest.raises(ValueError, match=f"{HEADS}: not a file of heads"):
        verify(folder, KEY)


@settings(max_examples=60, deadline=None)
@given(place=st.integers(0, 10_000), byte=st.integers(0, 255))
def test_no_byte_of_a_chain_can_change_unseen(tmp_path_factory, place, byte):
    folder = tmp_path_factory.mktemp("chain")
    writer = write_chain(folder, requests=3, per_segment=100)
    (segment,) = segments(folder / "shared", writer)
    content = bytearray(segment.read_bytes())
    place %= len(content)
    unchanged, content[place] = content[place] == byte, byte
    segment.write_bytes(content)
    assert bool(found(folder / "shared")) != unchanged


def test_what_a_dead_writer_left_on_its_node_is_brought_in_without_the_torn_record(tmp_path):
    settings = audit_settings(tmp_path)
    writer = AuditWriter(settings, KEY)
    writer.append([{"kind": REQUEST, "who": "key:0"}])
    (segment,) = (settings.local / writer.id).glob("*.jsonl")
    with segment.open("ab") as stream:
        stream.write(b'{"kind":"request","wh')
    AuditWriter(settings, KEY).close()
    assert not (settings.path / writer.id).exists(), "it lives"
    writer._lock.close()
    AuditWriter(settings, KEY).close()
    report = verify(settings.path, KEY)
    assert (report.findings, report.unended) == ([], [])
    records = [json.loads(line) for line in segments(settings.path, writer.id)[0].read_text().splitlines()]
    assert [(each["kind"], each.get("why")) for each in records] == [
        ("begin", None),
        ("request", None),
        ("seal", "left"),
    ]
    assert not (settings.local / writer.id / LOCK).exists()


def test_a_writer_that_lives_is_unended_and_its_sealed_segments_are_right(tmp_path):
    settings = audit_settings(tmp_path, segment_records=1)
    writer = AuditWriter(settings, KEY)
    writer.tend()
    report = verify(settings.path, KEY)
    assert (report.records, report.unended, report.findings) == (2, [writer.id], [])
    writer.append([{"kind": REQUEST}])
    writer.close()
    assert verify(settings.path, KEY).unended == []


def test_records_stay_on_the_node_while_shared_storage_is_away(tmp_path):
    settings = audit_settings(tmp_path, segment_records=1)
    settings.path.write_text("no folder")
    writer = AuditWriter(settings, KEY)
    with pytest.raises(NotADirectoryError):
        writer.tend()
    writer.append([{"kind": REQUEST}])
    settings.path.unlink()
    writer.tend()
    writer.close()
    report = verify(settings.path, KEY)
    assert (report.records, report.findings) == (5, [])


def test_a_full_disk_takes_none_of_the_records_and_the_chain_goes_on(tmp_path):
    settings = audit_settings(tmp_path)
    writer = AuditWriter(settings, KEY)
    (segment,) = (settings.local / writer.id).glob("*.jsonl")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (segment.stat().st_size + 100, before[1]))
    try:
        with pytest.raises(OSError, match="No space left"):
            writer.append([{"kind": REQUEST, "who": "x" * 200}])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    writer.append([{"kind": REQUEST, "who": "key:0"}])
    writer.close()
    report = verify(settings.path, KEY)
    assert (report.records, report.findings) == (3, [])
