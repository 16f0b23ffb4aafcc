"""CSV and Parquet: what is common to MIMIC, OMOP and plain Parquet."""

import gzip

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

HEADER = "note_id,subject_id,hadm_id,note_type,note_seq,charttime,storetime,text\n"


def row(i, text="Seen today."):
    return f'1000-DS-{i},1000,{200 + i},DS,{i},2180-05-07 00:00:00,,"{text}"\n'


def test_quoted_newlines_quotes_and_commas_stay_in_the_text(write, read):
    text = 'Chief complaint:\n"Pain", chest\n\nPlan: ___'
    path = write("discharge.csv", HEADER + row(1, text.replace('"', '""')) + row(2))
    found = read(path, format="mimic4")
    assert [note["text"] for note in found.notes.values()] == [text, "Seen today."]
    assert list(found.notes) == [1, 2]


def test_crlf_ends_rows_and_stays_within_texts(write, read):
    path = write("discharge.csv", (HEADER + row(1)).replace("\n", "\r\n") + row(2, "one\r\ntwo"))
    assert [note["text"] for note in read(path, format="mimic4").notes.values()] == ["Seen today.", "one\r\ntwo"]


def test_a_byte_order_mark_is_no_part_of_the_first_column(write, read):
    path = write("discharge.csv", b"\xef\xbb\xbf" + (HEADER + row(1)).encode())
    assert read(path, format="mimic4").notes[1]["note_id"] == "1000-DS-1"


def test_column_names_count_in_either_case(write, read):
    assert read(write("discharge.csv", HEADER.upper() + row(1)), format="mimic4").notes[1]["patient_id"] == "1000"


def test_a_missing_column_makes_the_file_bad(write, read):
    found = read(write("discharge.csv", HEADER.replace("subject_id", "patient") + row(1) + row(2)), format="mimic4")
    assert found.bad == {0: ("missing_column", "subject_id")}
    assert not found.notes


def test_a_missing_column_that_a_note_can_do_without_is_none(write, read):
    path = write("discharge.csv", "note_id,subject_id,text\nn,p,t\n")
    assert read(path, format="mimic4").notes[1]["encounter_id"] is None


def test_undecodable_bytes_make_their_own_row_bad(write, read):
    latin = row(2, "caf\xe9").encode("latin-1")
    found = read(write("discharge.csv", (HEADER + row(1)).encode() + latin + row(3, "naïve").encode()), format="mimic4")
    assert found.bad == {2: ("not_utf8", "text")}
    assert [note["text"] for note in found.notes.values()] == ["Seen today.", "naïve"]


def test_undecodable_bytes_in_a_column_that_is_not_read_do_no_harm(write, read):
    latin = row(1).replace(",,", ",\xe9,").encode("latin-1")
    assert list(read(write("discharge.csv", HEADER.encode() + latin), format="mimic4").notes) == [1]


def test_another_encoding_is_named_as_such(write, read):
    found = read(write("discharge.csv", (HEADER + row(1)).encode("utf-16")), format="mimic4")
    assert found.bad == {0: ("not_utf8", "")}


def test_a_wrong_number_of_fields_is_a_bad_row(write, read):
    found = read(write("discharge.csv", HEADER + "1,2,3\n" + row(2) + row(3).strip() + ",more\n"), format="mimic4")
    assert found.bad == {1: ("wrong_number_of_fields", ""), 3: ("wrong_number_of_fields", "")}
    assert list(found.notes) == [2]


def test_a_broken_quote_is_a_bad_row(write, read):
    found = read(write("discharge.csv", HEADER + 'a,"b"c,d,e,f,g,h,i\n' + row(2)), format="mimic4")
    assert found.bad == {1: ("not_csv", "")}
    assert list(found.notes) == [2]


def test_a_quote_that_is_never_closed_does_not_take_the_file_for_one_field(write, read, monkeypatch):
    monkeypatch.setattr("corpus.sources.table.MAX_FIELD", 200)
    open_quote = row(1, "text").replace('text"', "text ")
    found = read(write("discharge.csv", HEADER + open_quote + "".join(map(row, range(2, 30)))), format="mimic4")
    assert found.bad[1] == ("not_csv", "")


def test_a_long_text_is_read_whole(write, read):
    text = "word " * 100_000
    assert read(write("discharge.csv", HEADER + row(1, text)), format="mimic4").notes[1]["text"] == text


def test_a_csv_that_ends_within_a_text_does_not_pass_for_a_note(write, read):
    whole = HEADER + row(1) + row(2, "a text that is cut")
    found = read(write("discharge.csv", whole[:-8]), format="mimic4")
    assert list(found.notes) == [1]
    assert found.bad == {2: ("truncated_or_corrupt_file", "")}


def test_a_truncated_gzip_keeps_the_rows_before_it(write, read):
    whole = gzip.compress((HEADER + "".join(row(i, f"{i} {hash(str(i))} " * 50) for i in range(300))).encode())
    path = write("discharge.csv", whole[: len(whole) * 2 // 3])
    path = path.rename(path.with_name("discharge.csv.gz"))
    found = read(path, format="mimic4")
    assert 100 < len(found.notes) < 300
    assert found.bad == {len(found.notes) + 1: ("truncated_or_corrupt_file", "")}


@pytest.mark.parametrize(
    ("content", "reason"),
    [('"note_id"x,' + HEADER, "not_csv"), ('"' + HEADER, "truncated_or_corrupt_file")],
)
def test_a_header_that_is_no_csv_makes_the_file_bad(write, read, content, reason):
    assert read(write("discharge.csv", content), format="mimic4").bad == {0: (reason, "")}


def test_a_gzip_that_breaks_off_within_the_first_row_makes_the_file_bad(write, read):
    path = write("discharge.csv.gz", HEADER + row(1, "".join(f"{hash(str(i))} " for i in range(9999))))
    path.write_bytes(path.read_bytes()[:5000])
    assert read(path, format="mimic4").bad == {0: ("truncated_or_corrupt_file", "")}


def test_an_empty_file_lacks_its_first_required_column(write, read):
    assert read(write("discharge.csv", ""), format="mimic4").bad == {0: ("missing_column", "note_id")}


def test_parquet_lacks_a_column_as_csv_does(tmp_path, read):
    pq.write_table(pa.table({"note_id": ["a"], "TEXT": ["t"]}), tmp_path / "notes.parquet")
    assert read(tmp_path / "notes.parquet", format="parquet").bad == {0: ("missing_column", "patient_id")}


def test_a_file_cut_to_nothing_but_its_magic_is_broken_off(tmp_path, read):
    (tmp_path / "notes.parquet").write_bytes(b"PAR1")
    assert read(tmp_path / "notes.parquet", format="parquet").bad == {0: ("truncated_or_corrupt_file", "")}


def test_a_parquet_text_that_is_no_utf8_makes_its_own_row_bad(tmp_path, read):
    texts = pa.Array.from_buffers(pa.string(), 3, pa.array([b"a", b"caf\xe9", b"c"]).buffers())
    three = ["x", "y", "z"]
    pq.write_table(pa.table({"note_id": three, "patient_id": three, "text": texts}), tmp_path / "notes.parquet")
    found = read(tmp_path / "notes.parquet", format="parquet")
    assert found.bad == {2: ("not_utf8", "text")}
    assert [note["text"] for note in found.notes.values()] == ["a", "c"]


@pytest.mark.parametrize("unit", ["ms", "us"])
def test_a_parquet_time_beyond_the_calendar_makes_its_own_row_bad(tmp_path, read, unit):
    seconds = 300_000_000_000  # in the year 11476
    times = pa.array([0, seconds * {"ms": 10**3, "us": 10**6}[unit]], pa.timestamp(unit))
    two = ["a", "b"]
    table = pa.table({"note_id": two, "patient_id": two, "text": two, "Note_Time": times})
    pq.write_table(table, tmp_path / "notes.parquet")
    found = read(tmp_path / "notes.parquet", format="parquet")
    assert (list(found.notes), found.bad) == ([1], {2: ("out_of_range", "note_time")})


@pytest.mark.parametrize("suffix", ["csv", "csv.gz"])
def test_packed_and_plain_give_the_same(write, read, suffix):
    assert read(write(f"discharge.{suffix}", HEADER + row(1)), format="mimic4").notes[1]["text"] == "Seen today."
