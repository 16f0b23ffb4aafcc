import gzip

import pytest
from tiny_benchmark import TINY

from evaluation.benchmark import Judgement
from evaluation.benchmarks import read_benchmark


def test_reads_the_published_layout(write_benchmark):
    benchmark = read_benchmark(write_benchmark())
    assert benchmark.name == "tiny"
    assert benchmark.chunk_ids == ("n1_0", "n1_1", "n2_0", "n2_1")
    assert benchmark.note_ids == ("n1", "n1", "n2", "n2")
    assert benchmark.query_types == ("disease", "drug")
    assert benchmark.judgements == (
        Judgement(0, 0, "string", "seen"),
        Judgement(0, 1, "abbreviation", "unseen"),
        Judgement(1, 3, "string", "seen"),
    )
    assert {note: list(chunks) for note, chunks in benchmark.chunks_of_note.items()} == {"n1": [0, 1], "n2": [2, 3]}


def test_reads_a_gzipped_corpus(write_benchmark):
    folder = write_benchmark()
    plain = read_benchmark(folder)
    (folder / "corpus.jsonl.gz").write_bytes(gzip.compress((folder / "corpus.jsonl").read_bytes()))
    (folder / "corpus.jsonl").unlink()
    assert read_benchmark(folder) == plain


def test_a_truncated_gzip_is_named(write_benchmark):
    folder = write_benchmark()
    packed = gzip.compress((folder / "corpus.jsonl").read_bytes())
    (folder / "corpus.jsonl.gz").write_bytes(packed[: len(packed) // 2])
    (folder / "corpus.jsonl").unlink()
    with pytest.raises(ValueError, match=r"corpus\.jsonl\.gz row \d: the gzip stream is damaged or cut off"):
        read_benchmark(folder)


@pytest.mark.parametrize("name", ["corpus.jsonl", "queries.jsonl", "qrels.tsv", "match_types.tsv"])
def test_a_missing_file_is_named(write_benchmark, name):
    folder = write_benchmark()
    (folder / name).unlink()
    with pytest.raises(ValueError, match=rf"{name}: no such file"):
        read_benchmark(folder)


@pytest.mark.parametrize("name", ["corpus.jsonl", "queries.jsonl"])
def test_an_empty_file_is_named(write_benchmark, name):
    with pytest.raises(ValueError, match=rf"{name}: no rows"):
        read_benchmark(write_benchmark({name: "\n"}))


QRELS, TYPES = TINY["qrels.tsv"], TINY["match_types.tsv"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("corpus.jsonl", '{"_id": "a", "text": "x"}\n', r"corpus\.jsonl row 1: note_id is missing"),
        ("queries.jsonl", '{"_id": "q1", "text": 7, "type": "drug"}\n', r"row 1: text is missing, empty or not"),
        ("queries.jsonl", "[1]\n", r"queries\.jsonl row 1: not a JSON object"),
        ("queries.jsonl", '{"_id": \n', r"queries\.jsonl row 1: not a JSON object"),
        ("queries.jsonl", TINY["queries.jsonl"] * 2, r"queries\.jsonl row 3: duplicate _id q1"),
        ("corpus.jsonl", TINY["corpus.jsonl"] * 2, r"corpus\.jsonl row 5: duplicate _id n1_0"),
        ("qrels.tsv", QRELS + "q9\tn1_0\t1\n", r"qrels\.tsv row 6: unknown query q9"),
        ("qrels.tsv", QRELS + "q1\tn9_0\t1\n", r"qrels\.tsv row 6: unknown chunk n9_0"),
        ("qrels.tsv", QRELS + "q1\tn1_0\t1\n", r"qrels\.tsv row 6: query q1 and chunk n1_0 stand in an earlier"),
        ("qrels.tsv", QRELS + "q1\tn2_1\thigh\n", r"qrels\.tsv row 6: the grade is not a whole number"),
        ("qrels.tsv", QRELS + "q1\tn2_1\n", r"qrels\.tsv row 6: 2 fields, 3 are expected"),
        (
            "qrels.tsv",
            QRELS + "q1\tn2_1\t1\n",
            r"match_types\.tsv: no row for query q1 and chunk n2_1, which are relevant",
        ),
        ("qrels.tsv", QRELS.replace("\t1\n", "\t0\n"), r"qrels\.tsv: no relevant pair"),
        ("qrels.tsv", "", r"qrels\.tsv row 1: no column query-id"),
        ("match_types.tsv", TYPES.replace("evidence", "proof"), r"match_types\.tsv row 1: no column evidence"),
        ("match_types.tsv", TYPES + "q1\tn2_0\tstring\tseen\n", r"row 5: this pair is not relevant in qrels"),
    ],
)
def test_bad_input_names_file_and_row(write_benchmark, name, text, message):
    with pytest.raises(ValueError, match=message):
        read_benchmark(write_benchmark({name: text}))
