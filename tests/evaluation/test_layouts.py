"""Published layouts, on small files written in them."""

import csv
import json

import numpy as np
import pytest

from evaluation.benchmark import Judgement
from evaluation.benchmarks import read_benchmark
from evaluation.figures import Figures, means
from evaluation.ranking import Hits


@pytest.fixture
def write(tmp_path):
    def write(files):
        for name, content in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            is_text = isinstance(content, str)
            path.write_text(content if is_text else "".join(json.dumps(row) + "\n" for row in content))
        return tmp_path

    return write


def without(files, name):
    return {key: content for key, content in files.items() if key != name}


def record(_id, text, **more):
    return {"_id": _id, "text": text, **more}


CLINIQ = {
    "corpus.jsonl": [record("100001_0", "MI in 2010."), record("100001_1", "On ASA."), record("100002_0", "CABG.")],
    "test_hadm_ids.txt": "100001\n100002\n",
    "queries_disease.jsonl": [record("0", "Acute myocardial infarction")],
    "queries_procedure.jsonl": [record("329", "Coronary bypass")],
    "queries_drug.jsonl": [record("694", "Aspirin")],
    "qrels_disease.tsv": "0\t100001_0\tabbreviation\n",
    "qrels_procedure.tsv": "329\t100002_0\tabbreviation\n",
    "qrels_drug.tsv": "694\t100001_1\tsynonym\n",
}


def test_cliniq(write):
    benchmark = read_benchmark(write(CLINIQ), "cliniq")
    assert benchmark.query_types == ("disease", "procedure", "drug")
    assert benchmark.note_ids == ("100001", "100001", "100002")
    assert benchmark.judgements == (
        Judgement(0, 0, "abbreviation"),
        Judgement(1, 2, "abbreviation"),
        Judgement(2, 1, "synonym"),
    )


def test_cliniq_takes_the_admissions_of_its_test_set_alone(write):
    more = [*CLINIQ["corpus.jsonl"], record("999999_0", "Of another admission.")]
    assert len(read_benchmark(write({**CLINIQ, "corpus.jsonl": more}), "cliniq").chunk_ids) == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"test_hadm_ids.txt": "100001\n100002\n100003\n"}, r"no chunk of 1 of the 3 notes of .*, as 100003"),
        ({f"qrels_{kind}.tsv": "" for kind in ("disease", "procedure", "drug")}, "no relevant pair in any qrels"),
        ({"qrels_drug.tsv": "694\t100001_1\n"}, r"qrels_drug\.tsv row 1: 2 fields, 3 are expected"),
        (
            {"qrels_drug.tsv": "694\t100001_1\tsynonm\n"},
            r"qrels_drug\.tsv row 1: the match type is none of string",
        ),
        (
            {"queries_drug.jsonl": [record("329", "Aspirin")]},
            r"drug\.jsonl: _id 329 stands in queries_procedure",
        ),
        ({"qrels_drug.tsv": "700\t100001_1\tstring\n"}, r"qrels_drug\.tsv row 1: unknown query 700"),
        ({"qrels_drug.tsv": "694\t100001_9\tstring\n"}, r"qrels_drug\.tsv row 1: unknown chunk 100001_9"),
    ],
)
def test_bad_cliniq_files_are_named(write, change, message):
    with pytest.raises(ValueError, match=message):
        read_benchmark(write({**CLINIQ, **change}), "cliniq")


def test_a_missing_cliniq_file_is_named(write):
    with pytest.raises(ValueError, match=r"queries_drug\.jsonl: no such file"):
        read_benchmark(write(without(CLINIQ, "queries_drug.jsonl")), "cliniq")


BEIR = {
    "corpus.jsonl": [record("d1", "Text one.", title="Title"), record("d2", "Text two.", title="")],
    "queries.jsonl": [record("q0", "of another split"), record("q1", "asked")],
    "qrels/test.tsv": "query-id\tcorpus-id\tscore\nq1\td1\t2\nq1\td2\t0\n",
}


def test_beir_joins_titles_and_leaves_out_queries_of_other_splits(write):
    benchmark = read_benchmark(write(BEIR), "beir")
    assert benchmark.chunk_texts == ("Title Text one.", "Text two.")
    assert benchmark.query_ids == ("q1",)
    assert benchmark.judgements == (Judgement(0, 0, grade=2),)
    assert not benchmark.is_within_notes


def test_beir_documents_may_have_a_title_alone_and_negative_grades_are_none(write):
    corpus = [record("d1", "", title="Title"), record("d2", "Text two.")]
    qrels = "query-id\tcorpus-id\tscore\nq1\td1\t-1\nq1\td2\t1\n"
    benchmark = read_benchmark(write({**BEIR, "corpus.jsonl": corpus, "qrels/test.tsv": qrels}), "beir")
    assert benchmark.chunk_texts == ("Title", "Text two.")
    assert benchmark.judgements == (Judgement(0, 1),)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"corpus.jsonl": [record("d1", "", body="Text."), record("d2", "")]}, r"corpus\.jsonl: no row has a text"),
        ({"corpus.jsonl": [record("d1", 7)]}, r"corpus\.jsonl row 1: text is not a string"),
        ({"corpus.jsonl": [record("d1", "half \ud83d")]}, r"corpus\.jsonl row 1: text is not a string of whole char"),
        ({"queries.jsonl": [record("q1", " ")]}, r"queries\.jsonl row 1: text is missing, empty"),
        (
            {"queries.jsonl": [record("q 1", "asked")], "qrels/test.tsv": "query-id\tcorpus-id\tscore\nq 1\td1\t1\n"},
            "the id of query 1 has white space",
        ),
        (
            {"corpus.jsonl": [record("d1", "one"), record("d2", "two"), record("d3 ", "three")]},
            "id of document 3 has white",
        ),
    ],
)
def test_bad_beir_files_are_named(write, change, message):
    with pytest.raises(ValueError, match=message):
        read_benchmark(write({**BEIR, **change}), "beir")


def test_a_byte_order_mark_is_no_part_of_the_first_row(write):
    folder = write(BEIR)
    for name in ("corpus.jsonl", "qrels/test.tsv"):
        (folder / name).write_bytes(b"\xef\xbb\xbf" + (folder / name).read_bytes())
    assert read_benchmark(folder, "beir") == read_benchmark(write(BEIR), "beir")


def test_a_missing_split_is_named(write):
    with pytest.raises(ValueError, match=r"test\.tsv: no such file"):
        read_benchmark(write(without(BEIR, "qrels/test.tsv")), "beir")


def test_pmc_patients(write):
    folder = write(
        {
            "PPR/corpus.jsonl": [record("1-1", "A man of 60.", title=""), record("2-1", "A woman of 50.", title="")],
            "PPR/qrels_test.tsv": "query-id\tcorpus-id\tscore\n9-1\t1-1\t1\n9-1\t2-1\t2\n",
            "queries/test_queries.jsonl": [record("9-1", "A man of 61. " * 300)],
        }
    )
    benchmark = read_benchmark(folder, "pmc_patients")
    assert {judgement.grade for judgement in benchmark.judgements} == {1, 2}
    assert {"precision@10", "recall@1000"} < set(benchmark.measures)


def test_trec_with_texts_and_alone(write):
    qrels = "q1 0 d1 1\nq1 0 d2 -2\nq1 0 d3 0\n"
    texts = {
        f"{name}.jsonl": [record(_id, _id) for _id in ids]
        for name, ids in (("corpus", ["d1", "d2", "d3"]), ("queries", ["q1"]))
    }
    folder = write({"qrels.txt": qrels, **texts})
    for path in (folder, folder / "qrels.txt"):
        assert read_benchmark(path, "trec").judgements == (Judgement(0, 0),)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("q1 0 d1", r"row 1: 3 fields, TREC qrels have 4"),
        ("q1 0 d1 high", r"row 1: the grade is not a whole number"),
        ("q1 0 d1 0", r"no relevant pair"),
        ("q1 0 d1 1\nq1 0 d1 1", r"row 2: query q1 and chunk d1 stand in an earlier row"),
    ],
)
def test_bad_trec_qrels_are_named(write, line, message):
    with pytest.raises(ValueError, match=message):
        read_benchmark(write({"qrels.txt": f"{line}\n"}) / "qrels.txt", "trec")


def first_block(benchmark, order):
    figures = Figures(benchmark)
    figures.add({0: Hits(np.array(order), -np.arange(len(order), dtype=float))})
    return means(figures.per_query())["multi_patient"]


def test_terms_are_judged_by_their_concepts(write):
    folder = write(
        {
            "concepts.tsv": "concept_id\tterm\nC1\theart attack\nC1\tMI\nC2\tmitral insufficiency\n",
            "mentions.tsv": "text\tconcept_id\nM.I.\tC1|C2\nheart attack\tC1\n",
        }
    )
    benchmark = read_benchmark(folder, "terms")
    assert benchmark.document_ids == ("C1", "C2")
    assert set(benchmark.judgements) == {Judgement(0, 0), Judgement(0, 1), Judgement(1, 0)}
    assert first_block(benchmark, [1, 0])["accuracy@1"] == 1


def test_codes_give_credit_for_near_ones(write):
    codes = {"E11": "Type 2 diabetes", "E119": "without complications", "E1121": "with nephropathy", "I10": "High, BP"}
    path = write({"mentions.tsv": "text\tcode\nT2DM\te11.9\n"})
    with (path / "codes.csv").open("w", newline="") as file:
        csv.writer(file).writerows(codes.items())
    benchmark = read_benchmark(path, "codes")
    assert benchmark.chunk_texts[3] == "High, BP"
    grades = {benchmark.chunk_ids[judgement.document]: judgement.grade for judgement in benchmark.judgements}
    assert grades == {"E119": 3, "E11": 2, "E1121": 1}
    block = first_block(benchmark, [0, 1, 2, 3])
    assert (block["mrr"], block["accuracy@1"], block["accuracy@5"]) == (1 / 2, 0, 1)
    assert first_block(benchmark, [1, 0, 2, 3])["ndcg@10"] == 1


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"codes.csv": "E11\n", "mentions.tsv": "text\tcode\n"}, r"codes\.csv row 1: a code and its title"),
        ({"codes.csv": "E11,a\nE1.1,b\n", "mentions.tsv": "text\tcode\n"}, r"row 2: the code E11 stands in an earlier"),
        (
            {"codes.csv": "E11,a\n", "mentions.tsv": "text\tcode\nx\tE12\n"},
            r"mentions\.tsv row 2: its code is not",
        ),
        ({"codes.csv": "E11,a\n", "mentions.tsv": "text\tcode\n"}, r"mentions\.tsv: no rows"),
    ],
)
def test_bad_code_files_are_named(write, files, message):
    with pytest.raises(ValueError, match=message):
        read_benchmark(write(files), "codes")


CONTEXT = "Seen for chest pain. " * 30 + "Started on apixaban. " + "Doing well today. " * 30


def squad(start, text="apixaban"):
    answers = [{"text": text, "answer_start": start}] if text else []
    asked = {"id": "7", "question": "Is she anticoagulated?", "answers": answers}
    return json.dumps({"data": [{"title": "t", "paragraphs": [{"context": CONTEXT, "qas": [asked]}]}]})


def test_questions_are_answered_by_the_chunks_that_hold_the_answer(write):
    benchmark = read_benchmark(write({"qa.json": squad(CONTEXT.index("apixaban"))}) / "qa.json", "questions")
    assert benchmark.query_texts == ("Is she anticoagulated?",)
    held = {judgement.document for judgement in benchmark.judgements}
    assert held == {at for at, text in enumerate(benchmark.chunk_texts) if "apixaban" in text}
    assert held
    assert len(benchmark.chunk_ids) > len(held)


def test_a_note_that_stands_twice_is_one_note(write):
    data = json.loads(squad(CONTEXT.index("apixaban")))
    again = json.loads(json.dumps(data["data"][0]))
    again["paragraphs"][0]["qas"][0]["id"] = "8"
    benchmark = read_benchmark(
        write({"qa.json": json.dumps({"data": [*data["data"], again]})}) / "qa.json", "questions"
    )
    assert len(set(benchmark.note_ids)) == 1
    assert len(benchmark.query_ids) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", r"not JSON in SQuAD's layout"),
        ('{"data": [{"paragraphs": [{"context": "x"}]}]}', r"data\[0\]\.paragraphs\[0\]: not in SQuAD's layout"),
        (squad(0, ""), r"no question with an answer"),
        (squad(0, "apixaban"), r"data\[0\]\.paragraphs\[0\]: an answer to 7 is not at its answer_start"),
    ],
)
def test_bad_question_files_are_named(write, text, message):
    with pytest.raises(ValueError, match=message):
        read_benchmark(write({"qa.json": text}) / "qa.json", "questions")
