import gzip

import pyarrow.compute as pc
import pytest

from datagen.graph.source_files import find_file, read_columns, read_text

TABLE = "id\tlabel\nA:1\tfirst\nA:2\tsecond\n"
ROWS = [{"id": "A:1", "label": "first"}, {"id": "A:2", "label": "second"}]


@pytest.mark.parametrize(
    "data",
    [
        TABLE.encode(),
        TABLE.encode("utf-8-sig"),
        TABLE.replace("\n", "\r\n").encode(),
        TABLE.replace("\t", ",").encode(),
        ("#comment\n# another\n" + TABLE).encode(),
        ("#" + TABLE.replace("label", "La_bel")).encode(),
        TABLE.replace("\t", "\textra\t").replace("\textra\tlabel", "\tmore\tlabel").encode(),
        gzip.compress(TABLE.encode()),
    ],
    ids=["plain", "BOM", "CRLF", "commas", "comments", "other header", "more columns", "gzip"],
)
def test_the_named_columns_are_read_from_every_writing_of_a_table(tmp_path, data):
    (tmp_path / "t.tsv").write_bytes(data)
    assert read_columns(tmp_path / "t.tsv", ("id", "label")).to_pylist() == ROWS


def test_quoted_fields_hold_delimiters_and_line_ends_and_quotes_are_text_where_nothing_is_quoted(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text('id,label\nA:1,"one, and\ntwo"\n')
    assert read_columns(path, ("label",)).to_pylist() == [{"label": "one, and\ntwo"}]
    path.write_text('id\tlabel\nA:1\t5" nail\n')
    assert read_columns(path, ("label",), quoted=False).to_pylist() == [{"label": '5" nail'}]


def test_an_optional_column_is_empty_where_it_is_missing_and_rows_are_chosen_while_reading(tmp_path):
    (tmp_path / "t.tsv").write_text(TABLE)
    chosen = read_columns(tmp_path / "t.tsv", ("id",), optional=("note",), where=pc.field("id") == "A:2")
    assert chosen.to_pylist() == [{"id": "A:2", "note": ""}]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (gzip.compress(TABLE.encode() * 50)[:-12], "the gzip data is cut or damaged"),
        (b"id\tname\nA:1\tfirst\n", "no column label in its header"),
        ((TABLE + "A:3").encode(), "row 4 has 1 columns, not 2"),
        (b"id\tlabel\n", "holds no rows"),
        (b"", "the file is empty"),
        (b"\xff\xfei\x00d\x00", "not UTF-8"),
        (TABLE.encode() * 1000 + b"A:1\t\xff\xfe\n", "cannot be read as a table .*UTF8"),
    ],
)
def test_a_damaged_table_is_named_with_what_to_do(tmp_path, data, message):
    path = tmp_path / "t.tsv"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=message) as error:
        read_columns(path, ("id", "label"))
    assert str(path) in str(error.value)


def test_a_choice_that_keeps_nothing_is_said(tmp_path):
    (tmp_path / "t.tsv").write_text(TABLE)
    with pytest.raises(ValueError, match="holds no rows that the settings keep"):
        read_columns(tmp_path / "t.tsv", ("id",), where=pc.field("id") == "B:1")


def test_a_missing_file_is_named(tmp_path):
    for read in (read_text, lambda path: read_columns(path, ("id",)), find_file):
        with pytest.raises(ValueError, match="none: cannot be read"):
            read(tmp_path / "none")
    with pytest.raises(ValueError, match="holds no file mrconso; give the folder"):
        find_file(tmp_path, "mrconso")
