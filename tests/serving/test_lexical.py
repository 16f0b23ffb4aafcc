import lance
import numpy as np
import pyarrow as pa
import pytest

from serving.lexical import highlights, index_text, match_words

TEXTS = ["Severe AS with syncope", "Sent to the OR", "CHF, EF 20%", "no syncope, naïve to opioids", "the and of"]


@pytest.fixture(scope="module")
def chunks(tmp_path_factory):
    path = str(tmp_path_factory.mktemp("store") / "chunks.lance")
    lance.write_dataset(pa.table({"text": TEXTS}), path, enable_stable_row_ids=True)
    index_text(lance.dataset(path))
    return lance.dataset(path)


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        ("AS", {0}),
        ("or", {1}),
        ("SYNCOPE", {0, 3}),
        ("naive", {3}),
        ("ef", {2}),
        ("the", set()),
        ("", set()),
        ("syncopes", set()),
        ('"AS" AND (', {0}),
        ("text:EF^9 -CHF", {2}),
        ("x\x00' OR 1=1 --", {1}),
    ],
)
def test_words_match_and_nothing_is_syntax(chunks, query, rows):
    assert set(match_words(chunks, query, 10)[0].tolist()) == rows


def test_a_restriction_leaves_the_statistics_of_the_whole_store(chunks):
    everywhere = dict(zip(*match_words(chunks, "severe syncope", 10), strict=True))
    rows, scores = match_words(chunks, "severe syncope", 10, within=np.array([3, 4]))
    assert rows.tolist() == [3]
    assert scores[0] == everywhere[3]


def test_chunks_that_came_after_the_index_are_searched_too(tmp_path):
    path = str(tmp_path / "chunks.lance")
    lance.write_dataset(pa.table({"text": TEXTS}), path)
    index_text(lance.dataset(path))
    lance.write_dataset(pa.table({"text": ["new murmur"]}), path, mode="append")
    chunks = lance.dataset(path)
    index_text(chunks)
    assert len(match_words(lance.dataset(path, version=chunks.version), "murmur", 10)[0]) == 1
    assert chunks.stats.index_stats("text_idx")["num_unindexed_rows"] == 0


def test_highlights_are_the_words_the_index_matches():
    text = "Severe AS; naïve to the drug, SYNCOPE."
    spans = highlights("the as of naive syncope", text)
    assert [text[start:end] for start, end in spans] == ["AS", "naïve", "SYNCOPE"]
