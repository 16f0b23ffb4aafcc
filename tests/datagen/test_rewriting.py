from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datagen.graph.artefact import BuiltGraph
from datagen.graph.building import build_graph
from datagen.graph.tables import KnowledgeGraph
from datagen.matching import MatchingSettings, make_matcher
from datagen.prose_names import ProseNames
from datagen.rewriting import Rewriter, RewritingSettings
from datagen.stage1 import Stage1, Stage1Settings

TYPES = {"D": ["disease"], "R": ["drug"], "X": []}
NAMES = {
    "D:1": ["heart failure", "cardiac failure"],
    "D:2": ["pneumonia", "lung infection"],
    "D:3": ["renal failure", "kidney failure", "renal failure, unspecified, without complication"],
    "D:4": ["gout"],
    "R:1": ["furosemide", "frusemide"],
    "R:2": ["amoxicillin", "amoxycillin"],
    "X:1": ["syncope", "fainting"],
}
EITHER = {"other_concept": 1, "other_name": 0}
NAME_ONLY = {"other_concept": 0, "other_name": 1}


@pytest.fixture(scope="module")
def graph(tmp_path_factory):
    folder = tmp_path_factory.mktemp("graph") / "built"
    rows = KnowledgeGraph.from_rows(
        concepts=[(concept, names[0], TYPES[concept[0]]) for concept, names in NAMES.items()],
        terms=[(concept, name, "en", "exact") for concept, names in NAMES.items() for name in names[1:]],
        senses=[("CHF", "heart failure", 95), ("CHF", "chick fever", 5), ("CF", "cardiac failure", 1), ("CF", "x", 99)],
    )
    build_graph(rows, folder)
    return BuiltGraph.open(folder)


def rewriter(graph, excluded=frozenset(), **settings):
    matcher, names = make_matcher(MatchingSettings(), graph), ProseNames(graph, excluded)
    return Rewriter(graph, matcher, names, RewritingSettings(copies=1, **settings))


def rewritten(graph, text, name="n~1", excluded=frozenset(), **settings):
    return rewriter(graph, excluded, **settings).rewrite(name, text, [(0, len(text))])


def many(graph, text, **settings):
    """What forty copies say."""
    return {rewritten(graph, text, f"n~{copy}", **settings).text for copy in range(40)}


def test_another_concept_of_the_type_under_a_name_that_may_stand_in_prose(graph):
    told = many(graph, "Has gout on furosemide.", **EITHER)
    assert {text.split(" on ")[0].removeprefix("Has ") for text in told} <= {
        *("heart failure", "cardiac failure", "pneumonia", "lung infection", "renal failure", "kidney failure", "CHF"),
    }
    assert {text.split(" on ")[1] for text in told} == {f"{name}." for name in (*NAMES["R:1"], *NAMES["R:2"])} - {
        "furosemide."
    }


def test_another_name_or_a_short_form_that_mostly_means_it(graph):
    assert many(graph, "Has heart failure.", **NAME_ONLY) == {"Has cardiac failure.", "Has CHF."}


def test_a_concept_without_a_semantic_type_stays(graph):
    assert many(graph, "Had syncope.", **EITHER) == {"Had fainting."}


def test_nothing_where_there_is_no_other_name(graph):
    assert many(graph, "Has gout.", **NAME_ONLY) == {"Has gout."}


def test_a_term_becomes_the_same_throughout_and_the_same_again(graph):
    text = "Pneumonia. PNEUMONIA, old pneumonia"
    told = rewritten(graph, text, **NAME_ONLY)
    assert told.text == "Lung infection. LUNG INFECTION, old lung infection"
    assert told == rewritten(graph, text, **NAME_ONLY)


def test_excluded_terms_are_not_put_in(graph):
    excluded = frozenset({"lung infection"})
    assert rewritten(graph, "Has pneumonia.", excluded=excluded, **NAME_ONLY).text == "Has pneumonia."


def test_nothing_changes_where_no_share_is_to_change(graph):
    told = rewritten(graph, "Has pneumonia.", other_concept=0, other_name=0)
    assert told == ("Has pneumonia.", [(0, 14)], [])


words = st.sampled_from(["heart failure", "gout", "pneumonia", "and", "furosemide", "has", "x.", "renal failure"])


@given(st.lists(words, max_size=12), st.lists(st.integers(0, 100), max_size=4), st.integers(0, 50))
def test_spans_still_cut_the_whole_text_and_hold_what_was_between_mentions(graph, told_of, cuts, copy):
    text = " ".join(told_of)
    ends = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    told = rewriter(graph).rewrite(f"n~{copy}", text, list(pairwise(ends)))
    assert "".join(told.text[start:end] for start, end in told.spans) == told.text
    kept = [word for word in told_of if word in ("and", "has", "x.")]
    assert [word for word in told.text.split(" ") if word in ("and", "has", "x.")] == kept
    for (start, end), (now_start, now_end) in zip(pairwise(ends), told.spans, strict=True):
        for marker in ("and", "has", "x."):
            whole = text[start:end].split(" ").count(marker)
            assert told.text[now_start:now_end].split(" ").count(marker) == whole


def test_records_of_a_note_told_again_hold_what_it_now_says(graph):
    settings = {"rewriting": {"copies": 2, **NAME_ONLY}, "expansion": {"synonyms": 2}}
    stage1 = Stage1(graph, Stage1Settings.model_validate(settings))
    text = "No gout. Has heart failure."
    records = list(stage1.rewritten_records("n", text, [(0, 8), (9, len(text))]))
    assert [record and record["idx"] for record in records] == [None, "n~1_1", None, "n~2_1"]
    for record in records[1::2]:
        assert record["text"] in ("Has cardiac failure.", "Has CHF.")
        assert {"heart failure", "cardiac failure"} <= set(record["entities"])
        assert record["true_concepts"] == ["D:1"]
