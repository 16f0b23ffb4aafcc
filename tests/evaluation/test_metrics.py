from dataclasses import replace
from math import log2

import ir_measures
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from ir_measures import AP, RR, R, nDCG

from evaluation.benchmark import Benchmark, Judgement
from evaluation.figures import Figures, means
from evaluation.metrics import cliniq_ndcg
from evaluation.ranking import UNKNOWN, Hits, hits_by_score, hits_of_scores


def made(chunk_ids, judgements, query_types):
    return Benchmark(
        name="made",
        chunk_ids=tuple(chunk_ids),
        chunk_texts=tuple(chunk_ids),
        note_ids=tuple(chunk.split("_")[0] for chunk in chunk_ids),
        query_ids=tuple(f"q{i}" for i in range(len(query_types))),
        query_texts=tuple(f"q{i}" for i in range(len(query_types))),
        query_types=tuple(query_types),
        judgements=tuple(judgements),
    )


def ranked(documents):
    return Hits(np.array(documents, np.int64), -np.arange(len(documents), dtype=float))


def figures_of(benchmark, hits):
    figures = Figures(benchmark)
    figures.add(dict(enumerate(hits)))
    return figures


def metrics_of(benchmark, hits):
    return means(figures_of(benchmark, hits).per_query())


def part(block):
    return {name: block[name] for name in ("mrr", "ndcg@10", "n")}


CHUNKS = [*(f"a_{i}" for i in range(5)), *(f"b_{i}" for i in range(2)), *(f"c_{i}" for i in range(5))]
AT = {chunk: at for at, chunk in enumerate(CHUNKS)}


@pytest.fixture
def worked_case():
    """q0: two relevant chunks in a note of 5, one in a note of 2. q1: every chunk of note c. q2: not judged."""
    benchmark = made(
        CHUNKS,
        [
            Judgement(0, AT["a_1"], "string", "seen"),
            Judgement(0, AT["a_3"], "synonym", "unseen"),
            Judgement(0, AT["b_0"], "synonym", "seen"),
            *(Judgement(1, AT[f"c_{i}"], "string", "seen") for i in range(5)),
        ],
        ["disease", "drug", "drug"],
    )
    q0 = ["b_1", "a_1", "a_0", "a_3", "b_0", "a_2", "a_4", "c_0", "c_1", "c_2", "c_3", "c_4"]
    q1 = [*(f"c_{i}" for i in range(5)), *CHUNKS[:7]]
    return metrics_of(benchmark, [ranked([AT[chunk] for chunk in order]) for order in (q0, q1, q1)])


def test_multi_patient_by_hand(worked_case):
    block = worked_case["multi_patient"]
    ndcg = (1 / log2(3) + 1 / log2(5) + 1 / log2(6)) / (1 + 1 / log2(3) + 1 / log2(4))
    assert block["n"] == 2
    assert block["mrr"] == pytest.approx((1 / 2 + 1) / 2)
    assert block["map"] == pytest.approx(((1 / 2 + 2 / 4 + 3 / 5) / 3 + 1) / 2)
    assert block["ndcg@10"] == pytest.approx((ndcg + 1) / 2)
    assert block["recall@100"] == 1
    assert part(block["by_query_type"]["disease"]) == pytest.approx({"mrr": 1 / 2, "ndcg@10": ndcg, "n": 1})
    assert block["by_query_type"]["disease"]["map"] == pytest.approx((1 / 2 + 2 / 4 + 3 / 5) / 3)
    assert part(block["by_query_type"]["drug"]) == {"mrr": 1, "ndcg@10": 1, "n": 1}


def test_match_types_take_the_other_positives_out(worked_case):
    rows = worked_case["multi_patient"]["by_match_type"]
    assert set(rows) == {"string", "synonym", "non-string", "unseen"}
    # q0 string: b_1, a_1; q1 all at the top.
    assert part(rows["string"]) == pytest.approx({"mrr": (1 / 2 + 1) / 2, "ndcg@10": (1 / log2(3) + 1) / 2, "n": 2})
    # q0 synonym: b_1, a_0, a_3, b_0.
    synonym = {"mrr": 1 / 3, "ndcg@10": (1 / log2(4) + 1 / log2(5)) / (1 + 1 / log2(3)), "n": 1}
    assert part(rows["synonym"]) == pytest.approx(synonym)
    assert part(rows["non-string"]) == pytest.approx(synonym)
    # q0 unseen: b_1, a_0, a_3.
    assert part(rows["unseen"]) == pytest.approx({"mrr": 1 / 3, "ndcg@10": 1 / log2(4), "n": 1})


def test_single_patient_by_hand(worked_case):
    block = worked_case["single_patient"]
    # Note a: a_1, a_0, a_3, a_2, a_4. Note b: b_1, b_0. Note c: all relevant.
    assert block["n"] == 3
    assert block["mrr"] == pytest.approx((1 + 1 / 2 + 1) / 3)
    assert block["map"] == pytest.approx(((1 + 2 / 3) / 2 + 1 / 2 + 1) / 3)
    # Note a without a_1: a_0, a_3.
    assert block["by_match_type"]["synonym"]["mrr"] == pytest.approx((1 / 2 + 1 / 2) / 2)
    assert block["by_match_type"]["synonym"]["n"] == 2


def test_cliniq_skips_short_notes_and_wholly_relevant_ones(worked_case):
    block = worked_case["single_patient_cliniq"]
    expected = {"mrr": 1, "ndcg": (1 + 1 / log2(4)) / (1 + 1 / log2(3)), "map": (1 + 2 / 3) / 2, "n": 1}
    assert {name: block[name] for name in expected} == pytest.approx(expected)
    # Of note a: a_1, a_0, a_3, a_2, a_4, by type without the other type's chunk.
    assert block["by_match_type"]["string"] == {"mrr": 1, "ndcg": 1, "map": 1, "n": 1}
    assert block["by_match_type"]["synonym"] == pytest.approx({"mrr": 1 / 2, "ndcg": 1 / log2(3), "map": 1 / 2, "n": 1})


def test_a_list_of_one_type_always_keeps_a_chunk_that_is_not_relevant():
    # Wholly relevant: left out before types are looked at. With a sixth chunk each type's list ends with it.
    chunks = [f"a_{i}" for i in range(5)]
    judgements = [*(Judgement(0, i, "string") for i in range(4)), Judgement(0, 4, "synonym")]
    whole = metrics_of(made(chunks, judgements, ["drug"]), [ranked(range(5))])
    assert whole["single_patient_cliniq"]["n"] == 0
    assert "by_match_type" not in whole["single_patient_cliniq"]
    left = metrics_of(made([*chunks, "a_5"], judgements, ["drug"]), [ranked([5, 0, 1, 2, 3, 4])])
    synonym = left["single_patient_cliniq"]["by_match_type"]["synonym"]
    assert synonym == pytest.approx({"mrr": 1 / 2, "ndcg": 1 / log2(3), "map": 1 / 2, "n": 1})


def test_documents_that_were_not_retrieved_are_missed_and_unknown_ones_keep_their_places():
    benchmark = made(["a_0", "a_1", "a_2"], [Judgement(0, 0, "string"), Judgement(0, 2, "synonym")], ["drug"])
    block = metrics_of(benchmark, [ranked([UNKNOWN, 1, 0])])["multi_patient"]
    assert block["mrr"] == pytest.approx(1 / 3)
    assert block["recall@100"] == 1 / 2
    assert block["map"] == pytest.approx(1 / 3 / 2)
    assert part(block["by_match_type"]["synonym"]) == {"mrr": 0, "ndcg@10": 0, "n": 1}
    assert figures_of(benchmark, [ranked([UNKNOWN, 1, 0, UNKNOWN])]).unknown == {"documents": 2, "queries": 1}
    nothing = metrics_of(benchmark, [ranked([])])
    assert nothing["multi_patient"]["mrr"] == 0
    assert "single_patient" not in nothing, "the list does not hold the note's chunks"


def test_grades_are_gains_and_relevance_begins_where_the_benchmark_says():
    benchmark = replace(
        made(["a", "b", "c"], [Judgement(0, 0, grade=3), Judgement(0, 1, grade=1)], [""]),
        relevant_from=3,
        measures=("mrr", "accuracy@1", "ndcg@10"),
    )
    block = metrics_of(benchmark, [ranked([1, 0, 2])])["multi_patient"]
    ndcg = (1 + 3 / log2(3)) / (3 + 1 / log2(3))
    assert block == pytest.approx({"mrr": 1 / 2, "accuracy@1": 0, "ndcg@10": ndcg, "n": 1})


def test_notes_are_ranked_by_their_best_chunk():
    benchmark = replace(made(["a_0", "a_1", "b_0"], [Judgement(0, 1)], [""]), ranks="note")
    hits = hits_by_score(benchmark, np.array([0.1, 0.9, 0.5], np.float32))
    assert [benchmark.document_ids[document] for document in hits.documents] == ["a", "b"]
    assert metrics_of(benchmark, [hits])["multi_patient"]["mrr"] == 1 / 2


def test_a_mean_over_nothing_is_none():
    benchmark = made(["a_0", "a_1"], [Judgement(0, 0, "string", "seen")], ["drug"])
    metrics = metrics_of(benchmark, [ranked([0, 1])])
    assert metrics["single_patient_cliniq"] == {"mrr": None, "ndcg": None, "map": None, "n": 0}


def test_cliniq_ndcg_forgets_what_the_cutoff_missed():
    assert cliniq_ndcg(np.array([0, 40]), 10) == 1
    assert cliniq_ndcg(np.array([10]), 10) == 0
    # Two hits within the cut-off, at ranks 2 and 4; the one at 41 does not count against them.
    expected = (1 / log2(3) + 1 / log2(5)) / (1 + 1 / log2(3))
    assert cliniq_ndcg(np.array([1, 3, 40]), 10) == pytest.approx(expected)


@st.composite
def scored_benchmarks(draw):
    """One to three queries over up to 40 chunks of mixed notes, scores with many ties."""
    n_chunks, n_queries = draw(st.integers(2, 40)), draw(st.integers(1, 3))
    notes = draw(st.lists(st.sampled_from("abc"), min_size=n_chunks, max_size=n_chunks))
    chunk_ids = draw(st.permutations([f"{note}_{i}" for i, note in enumerate(notes)]))
    pairs = st.tuples(st.integers(0, n_queries - 1), st.integers(0, n_chunks - 1))
    relevant = draw(st.sets(pairs, min_size=1))
    scores = draw(st.lists(st.integers(0, 8), min_size=n_chunks * n_queries, max_size=n_chunks * n_queries))
    benchmark = made(chunk_ids, (Judgement(*pair, "string", "seen") for pair in relevant), ["drug"] * n_queries)
    return benchmark, np.array(scores, dtype=np.float32).reshape(n_queries, n_chunks)


@settings(deadline=None)
@given(scored_benchmarks())
def test_values_are_those_of_ir_measures(case):
    benchmark, scores = case
    qrels, pair_qrels, run, pair_run = {}, {}, {}, {}
    for judgement in benchmark.judgements:
        query, chunk = f"q{judgement.query}", benchmark.chunk_ids[judgement.document]
        qrels.setdefault(query, {})[chunk] = 1
        pair_qrels.setdefault(query + benchmark.note_ids[judgement.document], {})[chunk] = 1
    for (query, chunk), score in np.ndenumerate(scores):
        chunk_id = benchmark.chunk_ids[chunk]
        run.setdefault(f"q{query}", {})[chunk_id] = float(score)
        pair_run.setdefault(f"q{query}{benchmark.note_ids[chunk]}", {})[chunk_id] = float(score)
    names = {"mrr": RR, "ndcg@10": nDCG @ 10, "map": AP, "recall@100": R @ 100}
    metrics = metrics_of(benchmark, [hits_by_score(benchmark, of_query) for of_query in scores])
    tasks = [("multi_patient", qrels, run)]
    if len(set(benchmark.note_ids)) < len(benchmark.chunk_ids):
        tasks.append(("single_patient", pair_qrels, pair_run))
    for task, task_qrels, task_run in tasks:
        expected = ir_measures.calc_aggregate(names.values(), task_qrels, task_run)
        assert metrics[task]["n"] == len(task_qrels)
        for name, measure in names.items():
            assert metrics[task][name] == pytest.approx(expected[measure])


DOCUMENTS = st.sampled_from(["a", "b", "c", "d", "e", "unknown", "zz"])


@settings(deadline=None)
@given(
    st.lists(st.dictionaries(st.sampled_from("abcde"), st.integers(0, 3), min_size=1), min_size=1, max_size=3),
    st.lists(st.dictionaries(DOCUMENTS, st.sampled_from([0.0, 0.5, 0.5 + 1e-9, 1.0, 2.0])), min_size=3, max_size=3),
)
def test_values_of_runs_are_those_of_ir_measures(graded, runs):
    """Grades, documents that are unknown or missing, ties, scores that single precision takes for equal."""
    graded = [of for of in graded if any(of.values())]
    assume(graded)
    judgements = [
        Judgement(query, "abcde".index(each), grade=grade)
        for query, of in enumerate(graded)
        for each, grade in of.items()
        if grade
    ]
    benchmark = made("abcde", judgements, [""] * len(graded))
    hits = [hits_of_scores(benchmark, of) for of in runs[: len(graded)]]
    found = metrics_of(benchmark, hits)["multi_patient"]
    qrels = {f"q{query}": of for query, of in enumerate(graded)}
    run = {f"q{query}": of for query, of in enumerate(runs[: len(graded)])}
    names = {"mrr": RR, "ndcg@10": nDCG @ 10, "map": AP, "recall@100": R @ 100}
    expected = ir_measures.calc_aggregate(names.values(), qrels, run)
    assert {name: found[name] for name in names} == pytest.approx({name: expected[of] for name, of in names.items()})


@given(st.sets(st.integers(0, 60), min_size=1))
def test_over_a_whole_list_cliniq_ndcg_is_the_standard_one(ranks):
    ranking = np.array(sorted(ranks))
    qrels, run = {"q": {str(r): 1 for r in ranks}}, {"q": {str(r): -float(r) for r in range(61)}}
    standard = ir_measures.calc_aggregate([nDCG], qrels, run)[nDCG]
    assert cliniq_ndcg(ranking, 61) == pytest.approx(standard)


def test_ties_with_chunks_that_are_not_relevant_are_counted():
    benchmark = made(
        ["a_0", "a_1", "a_2"],
        [Judgement(query, chunk, "string", "seen") for query in range(3) for chunk in (0, 1)],
        ["drug"] * 3,
    )
    # q0: the relevant two tie with each other only; q1: the second one ties; q2: the first one ties.
    scores = np.array([[2, 2, 1], [2, 1, 1], [2, 1, 2]], dtype=np.float32)
    hits = [hits_by_score(benchmark, of_query) for of_query in scores]
    assert figures_of(benchmark, hits).ties == {"first": 1, "any": 2}
    assert [of.documents.tolist() for of in hits] == [[1, 0, 2], [0, 2, 1], [2, 0, 1]]
