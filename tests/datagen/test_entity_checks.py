from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datagen.annotators.base import Finding
from datagen.entity_checks import EntityChecks
from datagen.graph.artefact import BuiltGraph
from datagen.graph.building import build_graph
from datagen.graph.builtin import read_builtin
from datagen.graph.tables import KnowledgeGraph
from datagen.identifying import looks_identifying


@pytest.fixture(scope="module")
def checks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("graph") / "built"
    build_graph(read_builtin(), folder)
    return EntityChecks(BuiltGraph.open(folder))


class Checked:
    """What comes of the diagnoses named for one passage, a list of names a vote."""

    def __init__(self, checks, text, *votes, kind="diagnosis"):
        counts = Counter()
        (self.findings,) = checks.findings(text, [(0, len(text))], [{kind: votes}], counts)
        self.counts = +counts
        self.terms = {finding.term for finding in self.findings}


NOWHERE = "The weather was fine."


@pytest.mark.parametrize("name", ["Dr. Smith", "John Smith", "03/04/2021", "MRN 1234567"])
def test_what_looks_identifying_is_dropped_even_where_it_stands_and_twice_named(checks, name):
    checked = Checked(checks, f"Seen by {name} for gout.", [name], [name, "gout"])
    assert checked.terms == {"gout"}
    assert checked.counts == {"named": 2, "dropped_identifying": 1, "stated": 1}


@pytest.mark.parametrize("name", ["high blood pressure", "HTN", "High Blood-Pressure", "hypertensive diseases"])
def test_a_name_with_one_meaning_becomes_the_preferred_term(checks, name):
    checked = Checked(checks, "He has HTN.", [name])
    assert checked.findings == [Finding("hypertension", "diagnosis", "present", False)]


def test_an_unknown_name_stays_as_it_was_named(checks):
    assert Checked(checks, "Known Zorbitis majors.", ["Zorbitis major"]).terms == {"Zorbitis major"}


def test_an_ambiguous_short_form_stays_as_it_was_named(tmp_path):
    rows = KnowledgeGraph.from_rows(
        concepts=[("D:1", "pneumonia", []), ("D:2", "peripheral neuropathy", [])],
        terms=[("D:1", "PN", "en", "abbreviation"), ("D:2", "PN", "en", "abbreviation")],
    )
    build_graph(rows, tmp_path / "built")
    checks = EntityChecks(BuiltGraph.open(tmp_path / "built"))
    assert Checked(checks, "PN is worse.", ["PN"]).terms == {"PN"}
    assert Checked(checks, "PN is worse.", ["pneumonia"]).findings[0].implied is False


@pytest.mark.parametrize(
    "names",
    [
        ("hypertension", "HTN", "essential hypertension"),
        ("type 2 diabetes mellitus", "Diabetes mellitus, type 2", "T2DM"),
        ("zorbitis of the lung", "Lung zorbitis the of", "ZORBITIS OF THE LUNGS"),
        ("zorbitis-lung", "lung zorbitis", "zorbitis's lungs"),
    ],
)
def test_names_of_one_thing_are_merged(checks, names):
    checked = Checked(checks, NOWHERE, names[:2], names[1:])
    assert len(checked.findings) == 1
    assert checked.counts["merged"] == 2


@pytest.mark.parametrize(
    "names",
    [
        ("type 1 diabetes mellitus", "type 2 diabetes mellitus"),
        ("hyperkalemia", "hypokalemia"),
        ("hypertension", "pulmonary hypertension"),
        ("zorbitis type 1", "zorbitis type 2"),
        ("right to left zorb", "left to right zorb"),
        ("zorb with blork", "blork with zorb"),
        ("zorb 0.3 ml", "zorb 3.0 ml"),
        ("ZRB+ blork", "ZRB- blork"),
    ],
)
def test_names_of_two_things_stay_apart(checks, names):
    checked = Checked(checks, NOWHERE, names, names)
    assert len(checked.findings) == 2
    assert checked.counts["merged"] == 0


def test_one_name_under_two_kinds_is_two_entities(checks):
    answer = {"diagnosis": [["gout"]], "procedure": [["gout"]]}
    (found,) = checks.findings("Gout.", [(0, 5)], [answer], counts := Counter())
    assert [finding.kind for finding in found] == ["diagnosis", "procedure"]
    assert counts["named"] == 2


@pytest.mark.parametrize(
    ("text", "name", "assertion"),
    [
        ("Longstanding HTN.", "hypertension", "present"),
        ("Zorbitis of both hands.", "zorbitis of both hand", "present"),
        ("History of gout.", "gout", "historical"),
        ("No gout. He has gout.", "gout", "present"),
        ("No gout. History of gout.", "gout", "historical"),
        ("No zorbitis. Zorbitis's now here.", "zorbitis", "present"),
    ],
)
def test_a_stated_entity_has_the_assertion_of_its_best_mention(checks, text, name, assertion):
    checked = Checked(checks, text, [name])
    assert [(f.assertion, f.implied) for f in checked.findings] == [(assertion, False)]
    assert checked.counts == {"named": 1, "stated": 1}


@pytest.mark.parametrize(
    ("text", "name", "assertion"),
    [
        ("No gout.", "gout", "negated"),
        ("Denies zorbitis.", "zorbitis", "negated"),
        ("Mother had gout.", "gout", "family"),
        ("Return for gout.", "gout", "hypothetical"),
    ],
)
def test_what_is_stated_but_not_of_the_patient_says_so(checks, text, name, assertion):
    checked = Checked(checks, text, [name], [name])
    assert [(f.assertion, f.implied) for f in checked.findings] == [(assertion, False)]
    assert checked.counts == {"named": 1, "denied": 1}


def test_a_heading_governs_mentions_in_the_next_chunk(checks):
    note = "Family History: many words about relatives, then gout and zorbitis."
    cut = note.index("then")
    named = {"diagnosis": [["gout", "zorbitis"]]}
    first, second = checks.findings(note, [(0, cut), (cut, len(note))], [None, named], Counter())
    assert first == []
    assert [finding.assertion for finding in second] == ["family", "family"]


@pytest.mark.parametrize("name", ["hypothyroidism", "zorbitis", "gouty zorbitis"])
def test_an_implied_entity_without_support_is_dropped(checks, name):
    checked = Checked(checks, "He has gout and pneumonia.", [name])
    assert checked.findings == []
    assert checked.counts == {"named": 1, "dropped_unsupported": 1}


def test_a_word_that_only_holds_the_name_does_not_state_it(checks):
    assert Checked(checks, "Prezorbitis, zorbitislike", ["zorbitis"]).findings == []


@pytest.mark.parametrize(
    ("text", "name", "assertion"),
    [
        ("HbA1c 9.1%", "Diabetes Mellitus", "present"),
        ("s/p cholecystectomy", "cholecystitis", "historical"),
    ],
)
def test_a_rule_supports_an_implied_entity(checks, text, name, assertion):
    checked = Checked(checks, text, [name])
    assert [(f.assertion, f.implied) for f in checked.findings] == [(assertion, True)]
    assert checked.counts == {"named": 1, "implied": 1, "supported_by_rule": 1}


def test_a_rule_that_finds_a_denial_supports_nothing(checks):
    assert Checked(checks, "Mother's HbA1c 9.1%; her mother takes metformin.", ["gout"]).findings == []
    assert Checked(checks, "No filling defect in the pulmonary artery.", ["pulmonary embolism"]).findings == []


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("graph") / "built"
    rows = KnowledgeGraph.from_rows(
        concepts=[
            *((f"D:{name}", name, ["disease"]) for name in ("blork", "zorbitis", "zorbitis major", "florbia")),
            ("D:zorbomab", "zorbomab", ["drug"]),
            ("D:zorbogram", "zorbogram", ["Diagnostic Procedure"]),
        ],
        is_a=[("D:zorbitis", "D:blork"), ("D:zorbitis major", "D:zorbitis")],
        relations=[
            ("D:zorbomab", "treats", "D:zorbitis"),
            ("D:zorbitis", "shown_by", "D:zorbogram"),
            ("D:zorbitis", "causes", "D:florbia"),
        ],
    )
    build_graph(rows, folder)
    return EntityChecks(BuiltGraph.open(folder))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Zorbitis major.", "zorbitis"),
        ("Zorbitis major.", "blork"),
        ("On zorbomab.", "zorbitis"),
        ("Has zorbitis.", "zorbomab"),
        ("Zorbogram done.", "zorbitis"),
        ("History of zorbitis major.", "blork"),
    ],
)
def test_the_graph_supports_what_is_wider_or_related(small, text, name):
    checked = Checked(small, text, [name])
    assert [f.assertion for f in checked.findings] == ["historical" if "History" in text else "present"]
    assert checked.counts == {"named": 1, "implied": 1, "supported_by_graph": 1}


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Has blork.", "zorbitis"),
        ("Has zorbitis.", "florbia"),
        ("Has florbia.", "zorbitis"),
        ("Zorbogram done.", "zorbomab"),
        ("No zorbitis major.", "zorbitis"),
        ("Mother had zorbitis major.", "blork"),
    ],
)
def test_the_graph_supports_nothing_narrower_farther_alike_or_denied(small, text, name):
    assert Checked(small, text, [name]).findings == []


def test_a_second_vote_supports_and_one_vote_naming_twice_does_not(checks):
    assert Checked(checks, NOWHERE, ["gout", "Gout"], []).findings == []
    checked = Checked(checks, NOWHERE, ["gout"], ["gouts", "asthma"])
    assert checked.findings == [Finding("gout", "diagnosis", "present", True)]
    assert (checked.counts["supported_by_vote"], checked.counts["dropped_unsupported"]) == (1, 1)


def test_a_rule_counts_before_the_graph_and_the_graph_before_a_vote(checks, small):
    assert Checked(checks, "On metformin.", *[["type 2 diabetes"]] * 2).counts["supported_by_rule"] == 1
    assert Checked(small, "On zorbomab.", *[["zorbitis"]] * 2).counts["supported_by_graph"] == 1


def test_failed_calls_and_empty_names_give_nothing(checks):
    counts = Counter()
    spans = [(0, 5), (6, 11)]
    assert checks.findings("Gout. Gout.", spans, [None, {"diagnosis": [["", "--"]]}], counts) == [[], []]
    assert not +counts


NAMES = st.sampled_from(
    [
        *("gout", "Gouts", "HTN", "high blood pressure", "hypertension", "diabetes mellitus", "T2DM", "asthma", "MI"),
        *("type 2 diabetes mellitus", "zorbitis", "zorbitis acute", "Acute Zorbitis", "acute kidney injury", "AKI"),
        *("metformin", "heart failure", "John Smith", "3/4/2021", "pneumonia"),
    ]
)
VOTES = st.lists(st.lists(NAMES, max_size=6), max_size=3)
TEXTS = st.lists(
    st.sampled_from(["On metformin.", "No gout.", "HTN.", "Cr 1.1 -> 3.2", "Aspiration pneumonia.", "Acute zorbitis."])
).map(" ".join)


@settings(deadline=None)
@given(TEXTS, st.lists(st.lists(st.one_of(NAMES, st.text(max_size=20)), max_size=5), max_size=3))
def test_no_finding_looks_identifying_and_every_name_is_accounted_for(checks, text, votes):
    checked = Checked(checks, text, *votes)
    assert [term for term in checked.terms if looks_identifying(term)] == []
    count = checked.counts
    ends = ("dropped_identifying", "merged", "stated", "denied", "implied", "dropped_unsupported")
    assert count["named"] == sum(count[end] for end in ends)
    assert count["implied"] == sum(count[f"supported_by_{support}"] for support in ("rule", "graph", "vote"))
    assert len(checked.findings) == count["stated"] + count["denied"] + count["implied"]


@settings(deadline=None)
@given(TEXTS, VOTES, st.randoms())
def test_the_order_of_names_and_votes_does_not_matter(checks, text, votes, random):
    shuffled = [random.sample(vote, len(vote)) for vote in random.sample(votes, len(votes))]
    first, second = Checked(checks, text, *votes), Checked(checks, text, *shuffled)
    assert set(first.findings) == set(second.findings)
    assert first.counts == second.counts


@settings(deadline=None)
@given(TEXTS, VOTES, st.lists(NAMES, max_size=6))
def test_another_vote_takes_no_finding_away(checks, text, votes, vote):
    def things(checked):
        return {(" ".join(sorted(f.term.lower().split())), f.assertion) for f in checked.findings}

    assert things(Checked(checks, text, *votes)) <= things(Checked(checks, text, *votes, vote))
