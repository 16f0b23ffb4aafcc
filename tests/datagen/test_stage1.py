import pytest

from datagen.graph.artefact import BuiltGraph
from datagen.graph.building import build_graph
from datagen.graph.tables import KnowledgeGraph
from datagen.matching import MatchingSettings
from datagen.stage1 import Stage1, Stage1Settings, stage1_settings


@pytest.fixture(scope="module")
def graph(tmp_path_factory):
    folder = tmp_path_factory.mktemp("graph") / "built"
    rows = KnowledgeGraph.from_rows(
        concepts=[
            ("D:1", "pneumonia", []),
            ("D:2", "lung disease", []),
            ("D:3", "disease", []),
            ("D:4", "gout", []),
            ("D:5", "peripheral neuropathy", []),
            ("D:6", "chest infection", []),
            ("R:1", "amoxicillin", []),
            ("R:2", "penicillin", []),
        ],
        terms=[
            (concept, term, "en", "abbreviation") for concept, term in (("D:1", "PNA"), ("D:5", "PN"), ("D:1", "PN"))
        ],
        is_a=[("D:1", "D:2"), ("D:2", "D:3"), ("R:1", "R:2")],
        senses=[
            ("PN", "pneumonia", 5),
            ("PN", "peripheral neuropathy", 4),
            ("CI", "chest infection", 9),
            ("G", "gout", 0),
        ],
        relations=[("D:1", "treated_by", "R:1"), ("D:6", "may_be", "D:1")],
    )
    build_graph(rows, folder)
    return BuiltGraph.open(folder)


PUBLISHED = {"matching": {"profile": "drehr"}, "abbreviations": {"definitions": False, "inventory": False}}


def record_of(graph, text, excluded=frozenset(), note=None, frequencies=None, **settings):
    stage1 = Stage1(graph, Stage1Settings.model_validate(settings or PUBLISHED), excluded)
    note = note or text
    begin = note.index(text)
    (record,) = stage1.records("n", note, [(begin, begin + len(text))], frequencies)
    return record


def test_holds_matched_and_added_terms_with_their_columns(graph):
    record = record_of(graph, "Has PNA, again pna.")
    assert record == {
        "idx": "n_0",
        "text": "Has PNA, again pna.",
        "entities": ["amoxicillin", "lung disease", "pn", "pna", "pneumonia"],
        "concepts": ["R:1", "D:2", "D:1", "D:1", "D:1"],
        "provenance": ["relation", "hypernym", "synonym", "match", "abbreviation"],
        "assertion": ["present"] * 5,
        "true_concepts": ["D:1", "D:2", "D:3", "R:1", "R:2"],
    }


def test_prefers_matched_over_added_and_leaves_ambiguous_short_forms_unresolved(graph):
    record = record_of(graph, "PN, pneumonia with lung disease")
    rows = list(zip(record["entities"], record["concepts"], record["provenance"], strict=True))
    assert ("lung disease", "D:2", "match") in rows
    assert ("pn", "", "match") in rows
    assert len(rows) == len(set(record["entities"]))
    assert "D:5" not in record["true_concepts"]


def entities(graph, text):
    record = record_of(graph, text)
    return record and dict(zip(record["entities"], record["assertion"], strict=True))


@pytest.mark.parametrize("denial", ["No pneumonia.", "Mother had pneumonia.", "Return if pneumonia occurs."])
def test_leaves_out_what_is_not_true_of_the_patient(graph, denial):
    record = record_of(graph, f"{denial} He has gout.")
    assert record["entities"] == ["gout"]
    assert record["true_concepts"] == ["D:4"]
    assert entities(graph, denial) is None


def test_adds_no_name_of_what_is_only_denied(graph):
    assert set(entities(graph, "He has pneumonia. No amoxicillin.")) == {"lung disease", "pn", "pna", "pneumonia"}
    assert set(entities(graph, "No PNA. He has chest infection.")) == {"chest infection"}
    both = entities(graph, "No PNA. He has chest infection. He has pneumonia.")
    assert {"chest infection", "pneumonia", "pn", "amoxicillin"} < set(both)


def test_takes_the_best_mention_and_hands_it_to_what_is_added(graph):
    assertions = entities(graph, "No pneumonia. History of pneumonia. No gout. He has gout. History of gout.")
    assert assertions["gout"] == "present"
    assert assertions["pneumonia"] == assertions["lung disease"] == "historical"


def test_excluded_terms_are_no_entities_but_stay_true_of_the_chunk(graph):
    excluded = frozenset({"pneumonia", "lung disease"})
    record = record_of(graph, "pneumonia, gout", excluded)
    assert record["entities"] == ["gout"]
    assert record["true_concepts"] == ["D:1", "D:2", "D:3", "D:4"]
    assert record_of(graph, "Pneumonia.", excluded) is None


def test_without_a_match_is_no_record(graph):
    assert record_of(graph, "all well") is None


def test_kept_denials_are_entities_and_marked(graph):
    record = record_of(graph, "No pneumonia. He has gout.", **PUBLISHED, assertion="keep")
    marked = dict(zip(record["entities"], record["assertion"], strict=True))
    assert (marked["pneumonia"], marked["lung disease"], marked["gout"]) == ("negated", "negated", "present")


def provenance(record):
    return dict(zip(record["entities"], record["provenance"], strict=True))


def test_a_definition_in_the_note_gives_a_short_form_its_full_name(graph):
    note = "She has peripheral neuropathy (PN), painful. Later: PN is worse."
    record = record_of(graph, "Later: PN is worse.", note=note, expansion={"profile": "nearest"})
    assert provenance(record)["peripheral neuropathy"] == "abbreviation"
    assert record["true_concepts"] == ["D:5"]


def test_an_ambiguous_short_form_stands_alone(graph):
    record = record_of(graph, "PN is worse.", matching={"profile": "clinical"})
    assert (record["entities"], record["concepts"], record["true_concepts"]) == (["pn"], [""], [])


def test_a_short_form_of_the_inventory_with_one_meaning_is_resolved(graph):
    record = record_of(graph, "Treated for CI.", matching={"profile": "clinical"})
    assert provenance(record)["chest infection"] == "abbreviation"
    assert "pneumonia" in record["entities"]


def test_a_denied_short_form_adds_nothing(graph):
    assert record_of(graph, "No CI.", matching={"profile": "clinical"}) is None


def test_frequencies_count_texts_that_use_a_term(graph):
    stage1 = Stage1(graph, Stage1Settings())
    assert stage1.frequencies(["gout, gout", "Gout. Pneumonia", "well"]) == {"gout": 2, "pneumonia": 1}


def test_the_settings_of_stage_1_come_out_of_a_jobs(graph):
    class Job(Stage1Settings):
        other: int = 1

    settings = stage1_settings(Job(assertion="keep", matching=MatchingSettings(profile="drehr")))
    assert type(settings) is Stage1Settings
    assert (settings.assertion, settings.matching.profile) == ("keep", "drehr")


def test_a_heading_governs_what_follows_it_into_the_next_chunk(graph):
    note = "Family History: many words about relatives, then pneumonia. HISTORY: gout."
    stage1 = Stage1(graph, Stage1Settings.model_validate(PUBLISHED))
    cut = note.index("then")
    first, second = stage1.records("n", note, [(0, cut), (cut, len(note))])
    assert first is None
    assert (second["idx"], second["entities"]) == ("n_1", ["gout"])


def test_without_the_inventory_a_short_form_is_expanded_as_the_graph_says(graph):
    assert "pneumonia" in record_of(graph, "PNA", **PUBLISHED)["entities"]
    assert "gout" in record_of(graph, "Gout", **PUBLISHED)["entities"]
