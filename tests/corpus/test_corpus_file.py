"""CliniQ's corpus.jsonl from a small NOTEEVENTS.csv in MIMIC-III's layout."""

import csv
import json

import pytest

from corpus.chunking import ChunkingSettings
from corpus.corpus_file import CorpusFileSettings, write_corpus_file
from corpus.prepare import prepare_corpus
from corpus.settings import NotesSettings
from corpus.store import Store

HEADER = (
    *("ROW_ID", "SUBJECT_ID", "HADM_ID", "CHARTDATE", "CHARTTIME", "STORETIME"),
    *("CATEGORY", "DESCRIPTION", "CGID", "ISERROR", "TEXT"),
)


@pytest.fixture
def store(local_ray, tmp_path):
    with (tmp_path / "NOTEEVENTS.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(HEADER)
        texts = {"100001": "Seen\nfor [**2101-1-1**] pain. " + "word " * 150, "100002": "CABG ___ --- done."}
        for row, (admission, text) in enumerate(texts.items()):
            rows.writerow([row, 7 + row, admission, "2101-01-01", "", "", "Discharge summary", "Report", "", "", text])
    settings = NotesSettings(path=str(tmp_path), format="mimic3", selection="first_discharge_summary")
    (tmp_path / "store").mkdir()
    prepare_corpus(settings, ChunkingSettings(profile="cliniq"), tmp_path / "store", lambda *_: None)
    return Store(tmp_path / "store")


def wanted(tmp_path, ids):
    (tmp_path / "ids.txt").write_text(ids)
    return CorpusFileSettings(path=tmp_path / "benchmark" / "corpus.jsonl", note_ids=tmp_path / "ids.txt")


def test_the_chunks_of_the_wanted_admissions_are_written_as_cliniq_cuts_them(store, tmp_path):
    settings = wanted(tmp_path, "100002\n100001\n")
    assert write_corpus_file(store, settings) == 3
    rows = [json.loads(line) for line in settings.path.read_text().splitlines()]
    assert [row["_id"] for row in rows] == ["100001_0", "100001_1", "100002_0"]
    assert rows[0]["text"].startswith("Seen for pain. word")
    assert rows[2] == {"_id": "100002_0", "text": "CABG ___ --- done.", "note_id": "100002", "patient_id": "8"}
    assert write_corpus_file(store, wanted(tmp_path, "100002\n")) == 1


def test_a_file_without_ids_is_refused(store, tmp_path):
    with pytest.raises(ValueError, match=r"ids\.txt: no note ids"):
        write_corpus_file(store, wanted(tmp_path, "\n"))


def test_an_admission_that_is_not_there_is_named(store, tmp_path):
    settings = wanted(tmp_path, "100001\n100009\n")
    with pytest.raises(ValueError, match=r"ids\.txt: 1 of its 2 notes are not in .*store, such as 100009"):
        write_corpus_file(store, settings)
    assert not settings.path.exists()
