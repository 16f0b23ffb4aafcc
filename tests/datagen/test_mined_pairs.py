import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datagen.mined_pairs import MinedPairs

ROWS = st.lists(st.tuples(st.text(max_size=3), st.lists(st.tuples(st.text(), st.text()), max_size=2)))


@given(rows=ROWS, other=st.text(max_size=3), escaped=st.booleans())
def test_each_chunk_has_the_pairs_of_its_last_row(tmp_path_factory, rows, other, escaped):
    path = tmp_path_factory.mktemp("mined") / "mined.jsonl"
    records = [json.dumps({"idx": idx, "abbreviations": pairs}, ensure_ascii=escaped) for idx, pairs in rows]
    path.write_text("\n".join(records), "utf-8")
    mined = MinedPairs(path)
    for idx in (other, *dict(rows)):
        assert mined.of(idx) == dict(rows).get(idx, [])


def test_chunks_whose_hashes_are_the_same_keep_their_own_pairs(tmp_path, monkeypatch):
    monkeypatch.setattr("datagen.mined_pairs.xxhash.xxh64_intdigest", lambda chunk_id: 2**64 - 1)
    path = tmp_path / "mined.jsonl"
    rows = [json.dumps({"idx": f"n_{i}", "abbreviations": [["CKD", f"name {i}"]]}) for i in range(3)]
    path.write_text("\n".join(rows))
    mined = MinedPairs(path)
    assert [mined.of(f"n_{i}") for i in range(4)] == [[("CKD", f"name {i}")] for i in range(3)] + [[]]


@pytest.mark.parametrize(
    "row",
    ["no json", "[]", '{"idx": "n_0"}', '{"idx": "n_0", "abbreviations": [["a"]]}', '{"idx": 1, "abbreviations": []}'],
)
def test_a_row_of_another_form_is_refused(tmp_path, row):
    path = tmp_path / "mined.jsonl"
    path.write_text('{"idx": "n_0", "abbreviations": []}\n' + row)
    with pytest.raises(ValueError, match=r"mined.jsonl row 2: not"):
        MinedPairs(path)
