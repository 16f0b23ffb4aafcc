import gzip
from unittest.mock import patch

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datagen.graph.bad_rows import bad_rows
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
        ((TABLE + "A:3").encode(), r"1 of 3 rows cannot be used, the first is row 4 \(columns\)"),
        (b"id\tlabel\n", "holds no rows"),
        (b"", "the file is empty"),
        (b"\xff\xfei\x00d\x00", "no column id, label in its header; give a file of this form in UTF-8"),
        ((TABLE + "A:3\tninth of November\n").encode("utf-16"), "no column id, label in its header"),
        (b"id\tlabel\nA:1\t\xff\xfe\n", r"1 of 1 rows cannot be used, the first is row 2 \(label_not_utf8\)"),
        (b"id\tlabel\n" + b"A:1\tfirst\n" * 18 + b"A:2\n", r"1 of 19 rows cannot be used"),
    ],
)
def test_a_damaged_table_is_named_with_what_to_do(tmp_path, data, message):
    path = tmp_path / "t.tsv"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=message) as error:
        read_columns(path, ("id", "label"))
    assert str(path) in str(error.value)


def test_a_choice_may_keep_nothing(tmp_path):
    (tmp_path / "t.tsv").write_text(TABLE)
    chosen = read_columns(tmp_path / "t.tsv", ("id",), optional=("note",), where=pc.field("id") == "B:1")
    assert chosen.to_pylist() == []


KINDS = {
    "good": (b"A:%d\tlabel\n", None),
    "short": (b"A:%d\n", "columns"),
    "long": (b"A:%d\tlabel\tmore\n", "columns"),
    "Latin-1": (b"A:%d\t\xe9t\xe9\n", "label_not_utf8"),
    "other form": (b"B:%d\tlabel\n", "id"),
    "of neither value": (b"A:%d\tname\n", "label"),
}


@given(kinds=st.lists(st.sampled_from(sorted(KINDS)), max_size=60), block=st.integers(40, 200), zipped=st.booleans())
def test_bad_rows_are_set_aside_by_number_and_all_others_read(tmp_path_factory, kinds, block, zipped):
    kinds = ["good", *kinds]
    path = tmp_path_factory.mktemp("rows") / "t.tsv"
    data = b"#comment\nid\tlabel\n" + b"".join(KINDS[kind][0] % i for i, kind in enumerate(kinds))
    path.write_bytes(gzip.compress(data) if zipped else data)
    forms = {"id": r"A:\d+", "label": pa.array(["label"])}
    with (
        patch("datagen.graph.bad_rows.MAX_BAD_SHARE", 1),
        patch("datagen.graph.source_files._BLOCK", block),
        bad_rows() as bad,
    ):
        table = read_columns(path, ("id",), optional=("label",), forms=forms)
    assert table["id"].to_pylist() == [f"A:{i}" for i, kind in enumerate(kinds) if kind == "good"]
    reasons = [(i, KINDS[kind][1]) for i, kind in enumerate(kinds) if kind != "good"]
    assert bad.first == [{"file": str(path), "row": i + 3, "reason": reason} for i, reason in reasons]
    assert bad.count == len(reasons)


def test_a_row_that_is_bad_twice_counts_once_and_the_first_hundred_are_named(tmp_path):
    path = tmp_path / "t.tsv"
    path.write_bytes(b"id\tlabel\n" + b"\xff\t\xfe\n" * 150 + b"A:1\tfirst\n" * 2850)
    with bad_rows() as bad:
        assert len(read_columns(path, ("id", "label"))) == 2850
    assert (bad.count, len(bad.first), bad.first[-1]["row"]) == (150, 100, 101)


def test_a_missing_file_is_named(tmp_path):
    for read in (read_text, lambda path: read_columns(path, ("id",)), find_file):
        with pytest.raises(ValueError, match="none: cannot be read"):
            read(tmp_path / "none")
    with pytest.raises(ValueError, match="holds no file mrconso; give the folder"):
        find_file(tmp_path, "mrconso")
