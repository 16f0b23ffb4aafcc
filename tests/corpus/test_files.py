"""Finding and opening note files: folders, globs and an object store."""

import gzip
import json
import os
import pickle

import boto3
import pytest
from moto.server import ThreadedMotoServer

from corpus.files import find_files, fingerprint
from corpus.reading import read_notes
from corpus.settings import NotesSettings

JSON_LINES = ("*.jsonl", "*.jsonl.gz")


def names(files):
    return [file.relative().as_posix() for file in files]


@pytest.fixture
def folder(tmp_path):
    """A folder with note files at two depths and others among them."""
    for name in ("b.jsonl", "a.JSONL", "deep/c.jsonl", "deep/deeper/d.jsonl", "readme.txt", ".hidden/e.jsonl"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path


def test_of_a_folder_the_files_of_the_format_are_found_at_any_depth(folder):
    assert names(find_files(str(folder), JSON_LINES)) == ["a.JSONL", "b.jsonl", "deep/c.jsonl", "deep/deeper/d.jsonl"]


def test_a_file_is_read_whatever_its_name(folder):
    assert names(find_files(str(folder / "readme.txt"), JSON_LINES)) == ["readme.txt"]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*.jsonl", ["b.jsonl"]),
        ("*/*.jsonl", [".hidden/e.jsonl", "deep/c.jsonl"]),
        ("deep/?.jsonl", ["c.jsonl"]),
        ("[ab]*", ["a.JSONL", "b.jsonl"]),
    ],
)
def test_a_glob_stands_for_what_it_matches(folder, pattern, found):
    assert names(find_files(f"{folder}/{pattern}", JSON_LINES)) == found


def test_a_name_that_holds_brackets_is_still_a_file(tmp_path):
    (tmp_path / "notes[1].jsonl").write_text("")
    assert names(find_files(str(tmp_path / "notes[1].jsonl"), JSON_LINES)) == ["notes[1].jsonl"]


def test_relative_paths_become_absolute(folder, monkeypatch):
    monkeypatch.chdir(folder / "deep")
    (file,) = find_files("../b.jsonl", JSON_LINES)
    assert file.name == str(folder / "b.jsonl")


@pytest.mark.parametrize("path", ["nowhere.jsonl", "nowhere/*.jsonl", ".hidden/*.csv"])
def test_what_is_not_there_is_named(folder, path):
    with pytest.raises(FileNotFoundError, match=r"notes\.path: .*: no such file or folder"):
        NotesSettings(path=str(folder / path)).files()


def test_a_folder_without_files_of_the_format_says_which_it_looks_for(folder):
    with pytest.raises(FileNotFoundError, match=r"nothing in it that is named discharge\.csv"):
        NotesSettings(path=str(folder), format="mimic4").files()


@pytest.mark.parametrize("path", ["nope://user:secret@bucket/x", "s3://user:secret@bucket/[x]?region=us-east-1"])
def test_a_url_that_cannot_be_read_is_named_without_its_secrets(path):
    with pytest.raises(FileNotFoundError, match=r"bucket/.*: not a path or URL that pyarrow\.fs opens") as caught:
        NotesSettings(path=path).files()
    assert "secret" not in str(caught.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_refused_before_work_without_its_name(folder):
    (folder / "b.jsonl").chmod(0)
    with pytest.raises(FileNotFoundError, match=r"cannot be opened \(Permission denied\)") as caught:
        find_files(str(folder), JSON_LINES)
    assert "b.jsonl" not in str(caught.value)


def test_the_fingerprint_follows_name_size_and_time(folder):
    def now():
        return fingerprint(find_files(str(folder), JSON_LINES))

    seen = [now()]
    assert now() == seen[0]
    (folder / "b.jsonl").write_text("longer than before")
    seen.append(now())
    os.utime(folder / "b.jsonl", ns=(1, 1))
    seen.append(now())
    (folder / "b.jsonl").rename(folder / "c.jsonl")
    seen.append(now())
    assert len(set(seen)) == 4


def test_the_fingerprint_follows_files_that_hold_parts_of_the_notes(tmp_path):
    for name in ("DocumentReference.ndjson", "Binary.ndjson", "Patient.ndjson"):
        (tmp_path / name).write_text("")
    notes = NotesSettings(path=str(tmp_path), format="fhir")
    before = notes.fingerprint(notes.files())
    (tmp_path / "Patient.ndjson").write_text("changed")
    assert notes.fingerprint(notes.files()) == before
    (tmp_path / "Binary.ndjson").write_text("changed")
    assert notes.fingerprint(notes.files()) != before


@pytest.fixture(scope="module")
def bucket():
    """An object store with notes in it: `url(path)` reads from it."""
    server = ThreadedMotoServer(port=0)
    server.start()
    host, port = server.get_host_and_port()
    secrets = {"aws_access_key_id": "key", "aws_secret_access_key": "secret"}
    client = boto3.client("s3", endpoint_url=f"http://{host}:{port}", region_name="us-east-1", **secrets)
    client.create_bucket(Bucket="hospital")
    for name in ("a", "b"):
        note = json.dumps({"note_id": name, "patient_id": "p", "text": f"note {name}"}) + "\n"
        client.put_object(Bucket="hospital", Key=f"notes/{name}.jsonl.gz", Body=gzip.compress(note.encode()))
    client.put_object(Bucket="hospital", Key="notes/readme.txt", Body=b"x")
    query = f"endpoint_override={host}:{port}&scheme=http&region=us-east-1"
    yield lambda path: f"s3://key:secret@{path}?{query}"
    server.stop()


@pytest.mark.parametrize("path", ["hospital/notes", "hospital/notes/*.jsonl.gz", "hospital/*/*.gz"])
def test_an_object_store_is_read_like_a_folder(bucket, path):
    notes = NotesSettings(path=bucket(path))
    files = pickle.loads(pickle.dumps(notes.files()))  # as they reach a worker
    rows = [row for table in read_notes(enumerate(files), notes) for row in table.to_pylist()]
    assert [file.name for file in files] == ["s3://hospital/notes/a.jsonl.gz", "s3://hospital/notes/b.jsonl.gz"]
    assert [row["text"] for row in rows] == ["note a", "note b"]


@pytest.mark.parametrize("path", ["hospital/none", "hospital/notes/*.csv", "no-such-bucket/notes"])
def test_what_an_object_store_does_not_hold_is_named_without_secrets(bucket, path):
    with pytest.raises(FileNotFoundError, match=r"notes\.path: s3://") as caught:
        NotesSettings(path=bucket(path)).files()
    assert "secret" not in str(caught.value)


def test_the_fingerprint_of_an_object_store_stays(bucket):
    notes = NotesSettings(path=bucket("hospital/notes"))
    assert notes.fingerprint(notes.files()) == notes.fingerprint(notes.files())
