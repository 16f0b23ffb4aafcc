import json

import pytest

from datagen.abbreviations import (
    Abbreviations,
    AbbreviationSettings,
    ResolvedAbbreviation,
    mined_pairs,
)
from datagen.graph.artefact import BuiltGraph
from datagen.graph.building import build_graph
from datagen.graph.tables import KnowledgeGraph

SENSES = [
    ("CKD", "chronic kidney disease", 10),
    ("CKD", "Chronic Kidney Diseases", 1),  # a spelling of the same
    ("HA", "heart attack", 5),
    ("HA", "myocardial infarction", 5),  # another name of the same concept
    ("mi", "myocardial infarction", 95),
    ("mi", "mitral insufficiency", 3),
    ("MI", "mitotic index", 2),  # no term of the graph
    ("PE", "pulmonary embolism", 50),
    ("PE", "physical examination", 50),
    ("PE", "pleural effusion", 0),
    ("AF", "atrial flutter", 1),
    ("AF", "atrial fibrillation", 1),
    ("XY", "no term at all", 7),
    ("MG", "myasthenia gravis", 5),
    ("n/v", "nausea", 0),
    ("Ht", "hypertension", 0),
    ("ht", "height", 0),
    ("OR", "oral rehydration", 5),
    ("NO", "nausea", 5),
    ("Mr", "mitral insufficiency", 5),
    ("CK", "kidney stone", 0),
    ("CK", "creatine kinase", 0),
    ("NA", "nausea", 3),
    ("NA", "not applicable", 67),
    ("NA", "sodium", 30),
    ("OED", "oedema", 4),
    ("OED", "edema", 4),
    ("LF", "liver failure", 95),
    ("LF", "liver failures in mice", 5),
    ("SY", "***", 9),
    ("GK", "gout of the knee", 6),
    ("GK", "gout", 94),
]


@pytest.fixture(scope="module")
def graph(tmp_path_factory):
    names = {
        **{
            "D0": "disease",
            "D1": "chronic kidney disease",
            "D2": "myocardial infarction",
            "D3": "mitral insufficiency",
        },
        **{"D4": "pulmonary embolism", "D5": "pleural effusion", "D6": "atrial flutter", "D7": "atrial fibrillation"},
        **{"D8": "hypertension", "D9": "nausea", "D10": "myasthenia gravis", "D11": "kidney stone"},
        **{"S1": "hemoptysis", "S2": "heart valve disease", "D12": "oral rehydration", "D13": "saddle embolus"},
        **{"D14": "edema", "D15": "liver failure", "D16": "gout"},
    }
    folder = tmp_path_factory.mktemp("graph") / "built"
    rows = KnowledgeGraph.from_rows(
        concepts=[(concept, name, []) for concept, name in names.items()],
        terms=[("D2", "heart attack", "en", "exact"), ("D11", "CK", "en", "abbreviation")],
        is_a=[("D3", "S2"), ("D13", "D4")],
        relations=[("D4", "has_symptom", "S1")],
        senses=SENSES,
    )
    build_graph(rows, folder)
    return BuiltGraph.open(folder)


def resolve(graph, text, matched=(), note=None, **settings):
    abbreviations = Abbreviations(graph, AbbreviationSettings(**settings))
    return abbreviations.resolve("n_0", text, set(matched), abbreviations.definitions(note or text))


def mined(tmp_path, *pairs):
    path = tmp_path / "mined.jsonl"
    path.write_text(json.dumps({"idx": "n_0", "abbreviations": pairs}) + "\n")
    return path


def terms(resolved):
    return [one.term for one in resolved]


def test_spans_and_source(graph):
    assert resolve(graph, "Long CKD, now HA.") == [
        ResolvedAbbreviation(5, 8, "CKD", "chronic kidney disease", "inventory"),
        ResolvedAbbreviation(14, 16, "HA", "heart attack", "inventory"),
    ]


def test_a_definition_anywhere_in_the_note_decides(graph):
    note = "Pulmonary embolism (PE) was found. Blood pressure normal."
    resolved = resolve(graph, "Treated for PE. No physical examination.", note=note)
    assert resolved == [ResolvedAbbreviation(12, 14, "PE", "pulmonary embolism", "definition")]
    assert resolve(graph, "Treated for PE.", note=note, definitions=False) == []


def test_the_plural_of_a_defined_short_form_is_defined_too(graph):
    assert terms(resolve(graph, "Two PEs.", note="pulmonary embolism (PE)")) == ["pulmonary embolism"]
    assert resolve(graph, "Two CKDs.", note="the clinical kit department (CKD)") == []


def test_a_definition_that_is_no_term_of_the_graph_leaves_the_short_form_as_it_is(graph):
    assert resolve(graph, "Stage 3 CKD.", note="The clinical kit department (CKD) called.") == []


def test_two_definitions_are_no_definition(graph):
    note = "Pulmonary embolism (PE) or pleural effusion (PE)?"
    assert resolve(graph, "Treated for PE with hemoptysis.", {"hemoptysis"}, note=note) == []


def test_one_definition_written_twice_is_one(graph):
    note = "Chronic kidney disease (CKD). CKD (chronic kidney diseases) is stable."
    assert terms(resolve(graph, "CKD", note=note)) == ["chronic kidney disease"]


def test_an_inventory_written_in_lower_case_speaks_of_capitals_too(graph):
    assert terms(resolve(graph, "Old MI.")) == ["myocardial infarction"]  # 95 of 100 uses
    assert resolve(graph, "Old Mi.") == []
    assert resolve(graph, "Ht 170 cm") == []  # height as well


def test_nearly_all_uses_do_not_outweigh_another_supported_meaning(graph):
    assert resolve(graph, "MI on echo, heart valve disease.", {"heart valve disease"}) == []
    text = "MI: myocardial infarction."
    assert terms(resolve(graph, text, {"myocardial infarction"})) == ["myocardial infarction"]


def test_a_rare_meaning_does_not_win_by_context(graph):
    assert resolve(graph, "NA; nausea", {"nausea"}) == []


def test_a_meaning_that_does_not_hold_nearly_all_uses_needs_support(graph):
    assert resolve(graph, "GK") == []
    assert terms(resolve(graph, "GK, gout")) == ["gout"]


def test_the_short_form_itself_supports_none_of_its_meanings(graph):
    assert resolve(graph, "CK", {"ck"}) == []
    assert terms(resolve(graph, "CK, kidney stone", {"ck", "kidney stone"})) == ["kidney stone"]


def test_spellings_of_one_long_form_are_one_meaning(graph):
    assert terms(resolve(graph, "OED")) == ["edema"]
    assert terms(resolve(graph, "LF")) == ["liver failure"]  # 95 % of the uses


@pytest.mark.parametrize(
    ("text", "matched", "term"),
    [
        ("PE today", (), None),
        ("PE today. The pulmonary arteries show an embolism.", (), "pulmonary embolism"),  # its words
        ("PE with hemoptysis", ("hemoptysis",), "pulmonary embolism"),  # a relation
        ("PE, a saddle embolus", ("saddle embolus",), "pulmonary embolism"),  # a child
        ("PE: the physical examination was normal", (), None),  # another meaning, no term
        ("PE with hemoptysis and pleural effusion", ("hemoptysis", "pleural effusion"), None),  # two meanings
        ("AF", (), None),
        ("AF, atrial fibrillation", ("atrial fibrillation",), "atrial fibrillation"),
    ],
)
def test_context_decides_between_meanings_or_nothing_does(graph, text, matched, term):
    assert terms(resolve(graph, text, matched)) == ([term] if term else [])


def test_what_the_inventory_does_not_know_or_the_graph_has_no_term_for_stays(graph):
    assert resolve(graph, "XY and ZZ") == []


@pytest.mark.parametrize("text", ["500 MG daily", "500MG", "ckd", "CKD-EPI", "XCKD", "IN THE OR", "Mr", "SY", "NO"])
def test_units_common_words_and_parts_of_words_are_no_short_forms(graph, text):
    assert resolve(graph, text) == []


@pytest.mark.parametrize("text", ["MG", "N/V", "n/v today", "CKDs", "CKD/MG", "(CKD)", "CKD's course"])
def test_what_is_a_short_form(graph, text):
    assert resolve(graph, text)


def test_the_inventory_can_be_switched_off(graph):
    assert resolve(graph, "CKD", inventory=False) == []


def test_mined_pairs_pass_the_four_filters(graph):
    pairs = [
        ("ckd", "Chronic kidney disease (stage 3)"),
        ("k", "chronic kidney disease"),  # one character
        ("hta", "hypertension"),  # no word of the text
        ("hypertension", "Hypertension"),  # the full name
        ("ht", "high tension"),  # no term
    ]
    kept = mined_pairs(pairs, "ckd, ht, k, htas, hypertension", graph)
    assert kept == [("ckd", "Chronic kidney disease")]


def test_mined_pairs_come_behind_definitions_and_before_the_inventory(graph, tmp_path):
    path = mined(tmp_path, ("PE", "pleural effusion"), ("MI", "mitral insufficiency"))
    resolved = resolve(graph, "PE and MI", mined=path, note="pulmonary embolism (PE)")
    assert [(one.term, one.source) for one in resolved] == [
        ("pulmonary embolism", "definition"),
        ("mitral insufficiency", "mined"),
    ]


def test_a_mined_pair_decides_whatever_its_case(graph, tmp_path):
    assert resolve(graph, "CKD", mined=mined(tmp_path, ("ckd", "hypertension"))) == [
        ResolvedAbbreviation(0, 3, "CKD", "hypertension", "mined")
    ]


def test_mined_pairs_that_contradict_each_other_count_for_nothing(graph, tmp_path):
    path = mined(tmp_path, ("PE", "pleural effusion"), ("PE", "pulmonary embolism"))
    assert resolve(graph, "PE", mined=path) == []


def test_mined_pairs_belong_to_their_chunk(graph, tmp_path):
    path = mined(tmp_path, ("ckd", "chronic kidney disease"))
    assert Abbreviations(graph, AbbreviationSettings(mined=path)).resolve("n_1", "ckd", (), ()) == []
    assert terms(resolve(graph, "ckd", mined=path)) == ["chronic kidney disease"]
