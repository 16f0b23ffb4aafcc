"""A folder of text files."""

from corpus.reading import read_notes
from corpus.settings import NotesSettings


def note(note_id, patient_id, text):
    return {"note_id": note_id, "patient_id": patient_id, "text": text}


def read_folder(read, path):
    found = read(path, format="text")
    return list(found.notes.values()), list(found.bad.values())


def test_a_file_in_a_folder_is_a_note_of_the_patient_it_names(write, read, tmp_path):
    write("p1/a.txt", "one\r\ntwo")
    write("p2/b.note.txt.gz", "three")
    write("c.txt", b"\xef\xbb\xbffour")
    found = NotesSettings(path=str(tmp_path), format="text")
    rows = {file.relative().name: row for file in found.files() for _, row in found.source().rows(file)}
    assert rows == {
        "a.txt": note("p1_a", "p1", "one\r\ntwo"),
        "b.note.txt.gz": note("p2_b.note", "p2", "three"),
        "c.txt": note("c", "c", "four"),
    }


def test_files_of_one_name_in_two_folders_are_two_notes(write, tmp_path):
    write("p1/discharge.txt", "one")
    write("p2/discharge.txt", "two")
    notes = NotesSettings(path=str(tmp_path), format="text")
    rows = [row for table in read_notes(enumerate(notes.files()), notes) for row in table.to_pylist()]
    assert [(row["note_id"], row["patient_id"]) for row in rows] == [("p1_discharge", "p1"), ("p2_discharge", "p2")]


def test_a_glob_counts_patients_from_where_its_wildcards_begin(write, read, tmp_path):
    write("notes/p1/a.txt", "one")
    assert read_folder(read, f"{tmp_path}/notes/*/*.txt")[0] == [note("p1_a", "p1", "one")]
    assert read_folder(read, f"{tmp_path}/notes/p1/*.txt")[0] == [note("a", "a", "one")]


def test_what_is_no_text_file_or_hidden_is_not_read(write, read, tmp_path):
    write("p1/a.txt", "one")
    write("p1/a.pdf", b"%PDF-1.4")
    write(".trash/p1/b.txt", "two")
    write("p1/_draft.txt", "three")
    assert read_folder(read, tmp_path) == ([note("p1_a", "p1", "one")], [])


def test_undecodable_bytes_are_a_bad_row(write, read, tmp_path):
    write("p1/a.txt", b"caf\xe9")
    assert read_folder(read, tmp_path) == ([], [("not_utf8", "text")])


def test_a_truncated_gzip_is_a_bad_row(write, read, tmp_path):
    path = write("p1/a.txt.gz", "one")
    path.write_bytes(path.read_bytes()[:-6])
    assert read(tmp_path, format="text").bad == {0: ("truncated_or_corrupt_file", "")}
