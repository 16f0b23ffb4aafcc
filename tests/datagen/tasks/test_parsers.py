import json

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from datagen.tasks import load_task, task_names
from datagen.tasks.base import Parsed, UnusableAnswer

TASKS = {name: load_task(name) for name in task_names()}
MENTION = {
    "phrase": "Cr",
    "semantic_type": "Laboratory Procedure",
    "assertion": "present",
    "body_location": "",
    "modifier": "",
    "value": "3.2",
    "unit": "mg/dL",
    "purpose": "",
}
MENTIONS = st.lists(
    st.builds(
        lambda phrase, assertion, purpose: MENTION | {"phrase": phrase, "assertion": assertion, "purpose": purpose},
        st.text(st.characters(codec="utf-8"), min_size=1, max_size=8),
        st.sampled_from(["present", "negated"]),
        st.sampled_from(["", "}, {", '"]}', "\\", "é"]),
    ),
    max_size=4,
)
ANSWERS = st.one_of(
    st.text(),
    st.text('{}[]",:`- \n0aNA\\u'),
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["mentions", "grade", "x"]), inner),
    ).map(json.dumps),
)


def outcome(name, answer, is_truncated=False):
    """What was parsed, or the reason why it was refused; another error than UnusableAnswer fails the test."""
    try:
        return TASKS[name].parse(answer, is_truncated)
    except UnusableAnswer as error:
        return error.reason


@pytest.mark.parametrize("name", TASKS)
@given(answer=ANSWERS, is_truncated=st.booleans())
@example(answer="[" * 5000, is_truncated=False)
@example(answer="9" * 5000, is_truncated=True)
@example(answer="- \ud800", is_truncated=False)
def test_any_answer_is_parsed_or_unusable(name, answer, is_truncated):
    parsed = outcome(name, answer, is_truncated)
    if isinstance(parsed, Parsed):
        json.dumps(parsed.items, ensure_ascii=False).encode()
    else:
        assert parsed in ("truncated", "not_json", "wrong_form")


def test_a_refusal_holds_its_code_only():
    with pytest.raises(UnusableAnswer, match=r"^not_json$") as caught:
        TASKS["judge"].parse("the patient", False)
    assert caught.value.args == ("not_json",)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("answer", "items"),
    [
        ("- asthma\n- gout", ["asthma", "gout"]),
        ("* asthma\n• gout\n  -gout flare\n– sepsis", ["asthma", "gout", "gout flare", "sepsis"]),
        ("1. asthma\n2) gout\n10. sepsis", ["asthma", "gout", "sepsis"]),
        ("Here are the diagnoses:\n\n- asthma\n\nI hope this helps.", ["asthma"]),
        ("**Diagnoses:**\n- **asthma**", ["asthma"]),
        ("- heart failure (HFrEF (EF 20%)) with edema.", ["heart failure with edema"]),
        ("- chronic kidney disease (stage 3", ["chronic kidney disease"]),
        ("- gout.\n- asthma\n- gout;", ["gout", "asthma"]),
        ("- 1,25-dihydroxyvitamin D", ["1,25-dihydroxyvitamin D"]),
        ("- asthma\n- NA\n- N/A.", ["asthma"]),
        ("NA", []),
        ("**NA**.", []),
        ("There are no procedures.\nNone (not stated)", []),
        ("- NA", []),
    ],
)
def test_bulleted_names_are_read(answer, items):
    assert TASKS["entities"].parse(answer, False) == Parsed(items, False)


@pytest.mark.parametrize(
    "answer", ["", "asthma, gout", "The patient has asthma.", "I cannot help with that.\n---", "**"]
)
def test_an_answer_without_bullets_is_of_the_wrong_form(answer):
    assert outcome("entities", answer) == "wrong_form"


def test_a_list_of_names_that_was_cut_off_is_unusable():
    assert outcome("entities", "- asthma\n- go", is_truncated=True) == "truncated"


@given(names=st.lists(st.text()))
def test_cleaning_clean_names_changes_nothing(names):
    answer = json.dumps({"diagnoses": names, "procedures": [], "prescriptions": []})
    parsed = outcome("entities_json", answer)
    assume(isinstance(parsed, Parsed))
    once = [item["name"] for item in parsed.items]
    again = json.dumps({"diagnoses": once, "procedures": [], "prescriptions": []})
    assert [item["name"] for item in TASKS["entities_json"].parse(again, False).items] == once
    assert len(set(once)) == len(once)


def test_names_of_three_types_come_with_their_type():
    answer = {"prescriptions": ["heparin.", "NA"], "diagnoses": ["gout (acute)", "gout"], "procedures": []}
    assert TASKS["entities_json"].parse(json.dumps(answer), False).items == [
        {"type": "diagnosis", "name": "gout"},
        {"type": "prescription", "name": "heparin"},
    ]


@pytest.mark.parametrize("answer", ['{"diagnoses": ["gout"], "procedures": ["cast', '{"diagnoses": ["gout"]'])
def test_three_lists_that_were_cut_off_are_unusable(answer):
    assert outcome("entities_json", answer) == outcome("entities_json", answer, True) == "truncated"


def test_abbreviations_are_pairs():
    rows = [
        ("CHF", "congestive heart failure (CHF)"),
        ("CHF ", "congestive heart failure"),
        ("Gout", "gout"),
        ("", "x"),
    ]
    rows = [{"short_form": short, "full_name": full} for short, full in rows]
    answer = json.dumps({"abbreviations": rows})
    assert TASKS["abbreviations"].parse(answer, False).items == [["CHF", "congestive heart failure"]]


def test_questions_come_with_their_entities():
    rows = [
        ("Is the\ngout treated?", ["gout.", "gout"]),
        ("Why?", ["NA"]),
        ("Is the gout treated?", ["gout", "colchicine"]),
    ]
    rows = [{"question": question, "entities": entities} for question, entities in rows]
    assert TASKS["questions"].parse(json.dumps({"questions": rows}), False).items == [
        {"question": "Is the gout treated?", "entities": ["gout", "colchicine"]}
    ]


def test_a_question_cut_off_among_its_entities_is_left_out():
    complete = '{"questions": [{"question": "a?", "entities": ["b"]}, {"question": "c?", "entities": ["d"'
    assert TASKS["questions"].parse(complete, True) == Parsed([{"question": "a?", "entities": ["b"]}], True)


@given(items=MENTIONS, indent=st.sampled_from([None, 1]), bare=st.booleans(), fenced=st.booleans(), data=st.data())
def test_a_beginning_of_mentions_gives_the_complete_ones_or_is_refused(items, indent, bare, fenced, data):
    answer = json.dumps(items if bare else {"mentions": items}, indent=indent, ensure_ascii=data.draw(st.booleans()))
    answer = f"```json\n{answer}\n```" if fenced else answer
    assert TASKS["mentions"].parse(answer, False) == Parsed(items, False)
    beginning = answer[: data.draw(st.integers(0, len(answer)))]
    complete = beginning.count('"purpose"') - 1
    parsed = outcome("mentions", beginning)
    if isinstance(parsed, Parsed):
        assert parsed.items == items[: len(parsed.items)]
        assert len(parsed.items) >= complete
        assert parsed.is_truncated or parsed.items == items
    else:
        assert complete <= 0
        assert parsed in ("truncated", "not_json")


@pytest.mark.parametrize("ending", ["", ",", ', {"phrase": "fe', "]", "]}"])
def test_mentions_are_marked_where_the_engine_or_the_text_says_that_they_were_cut_off(ending):
    answer = '{"mentions": [' + json.dumps(MENTION) + ending
    assert TASKS["mentions"].parse(answer, True) == Parsed([MENTION], True)
    assert TASKS["mentions"].parse(answer, False) == Parsed([MENTION], ending != "]}")


@pytest.mark.parametrize(
    "answer", ["", "{", '{"mentions": [', '{"mentions": [{"phrase": "fever"', '{"mentions": []}', "5"]
)
def test_mentions_cut_off_before_the_first_is_complete_are_unusable(answer):
    assert outcome("mentions", answer, is_truncated=True) == "truncated"


@pytest.mark.parametrize(
    "answer", ["fever", '{"mentions": [{"phrase" "x"}, {"phrase', "[1, 2] and more", '["a" "b', '["\\ud800"]']
)
def test_what_is_no_json_is_refused(answer):
    assert outcome("mentions", answer) == "not_json"


@pytest.mark.parametrize(
    "change", [{"assertion": "maybe"}, {"semantic_type": "thing"}, {"value": 3.2}, {"phrase": ""}, {"note": "x"}]
)
def test_a_mention_that_breaks_the_schema_makes_the_answer_unusable(change):
    assert outcome("mentions", json.dumps({"mentions": [MENTION, MENTION | change]})) == "wrong_form"


@pytest.mark.parametrize("field", MENTION)
def test_a_mention_without_a_field_makes_the_answer_unusable(field):
    incomplete = {key: value for key, value in MENTION.items() if key != field}
    assert outcome("mentions", json.dumps([incomplete])) == "wrong_form"


def judged(grade, match_type, evidence="on apixaban"):
    return json.dumps({"evidence": evidence, "match_type": match_type, "grade": grade})


@pytest.mark.parametrize("match_type", ["string", "synonym", "abbreviation", "hyponym", "implication"])
@pytest.mark.parametrize("grade", [1, 2])
def test_a_grade_comes_with_match_type_and_evidence(grade, match_type):
    item = {"grade": grade, "match_type": match_type, "evidence": "on apixaban"}
    assert TASKS["judge"].parse(judged(grade, match_type), False) == Parsed([item], False)


def test_grade_0_has_no_evidence():
    assert TASKS["judge"].parse(judged(0, None), False).items == [{"grade": 0, "match_type": None, "evidence": ""}]


@pytest.mark.parametrize(
    "answer",
    [
        judged(0, "string"),
        judged(1, None),
        judged(2, "string", evidence=" "),
        judged(3, "string"),
        judged(1.5, "string"),
        judged(True, "string"),
        judged("2", "string"),
        judged(2, "related"),
        judged(2, "string", evidence="x" * 201),
        '{"grade": 0}',
        "[]",
    ],
)
def test_a_contradictory_grade_is_refused(answer):
    assert outcome("judge", answer) == "wrong_form"


def test_a_grade_that_was_cut_off_is_refused():
    assert outcome("judge", judged(2, "string")[:-1]) == "truncated"
