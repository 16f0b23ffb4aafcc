import re
import time
from collections import Counter
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datagen.annotators.base import Finding
from datagen.annotators.rules import RuleAnnotator, ValueRule, rule_book


@cache
def annotator() -> RuleAnnotator:
    return RuleAnnotator()


def findings(text: str) -> dict[str, Finding]:
    (found,) = annotator().annotate([text])
    return {finding.term: finding for finding in found}


@pytest.mark.parametrize(
    ("text", "term", "kind"),
    [
        ("Hx: HTN and DM2.", "hypertension", "diagnosis"),
        ("Assessment: NIDDM, stable.", "type 2 diabetes mellitus", "diagnosis"),
        ("Patient with Parkinson's disease.", "Parkinson disease", "diagnosis"),
        ("Two kidney stones.", "nephrolithiasis", "diagnosis"),
        ("She had a total knee replacement.", "total knee arthroplasty", "procedure"),
        ("EGD was performed.", "upper endoscopy", "procedure"),
        ("Started on Lasix 40 mg.", "furosemide", "prescription"),
        ("METOPROLOL TARTRATE 25 MG", "metoprolol", "prescription"),
    ],
)
def test_a_stated_name_gets_its_standard_form(text: str, term: str, kind: str) -> None:
    found = findings(text)[term]
    assert (found.kind, found.implied) == (kind, False)


@pytest.mark.parametrize(
    ("text", "term"),
    [
        # drugs and procedures
        ("Continue metformin 500 mg.", "type 2 diabetes mellitus"),
        ("He takes apixaban.", "atrial fibrillation"),
        ("Uses CPAP at night.", "obstructive sleep apnea"),
        ("s/p PCI with DES.", "coronary artery disease"),
        # values
        ("HbA1c 9.1%", "diabetes mellitus"),
        ("Cr 1.1 -> 3.2", "acute kidney injury"),
        ("creatinine rose from 1.0 to 2.4", "acute kidney injury"),
        ("hemoglobin dropped to 7.4", "anemia"),
        ("Na 122, K 4.1", "hyponatremia"),
        ("Na 138, K 6.1", "hyperkalemia"),
        ("troponin peaked at 4.2", "myocardial infarction"),
        ("BNP of 1,840", "heart failure"),
        ("TSH was 14.2", "hypothyroidism"),
        ("TSH <0.01", "hyperthyroidism"),
        ("EF 25-30%", "heart failure with reduced ejection fraction"),
        ("AHI 34", "obstructive sleep apnea"),
        ("T-score -2.8", "osteoporosis"),
        ("FEV1/FVC 0.52", "chronic obstructive pulmonary disease"),
        # phrases
        ("Filling defect in the right main pulmonary artery.", "pulmonary embolism"),
        ("CXR: RLL consolidation.", "pneumonia"),
        ("HD MWF via fistula.", "end-stage renal disease"),
        ("INR goal 2-3.", "warfarin"),
        ("40 pack-year history.", "tobacco use disorder"),
    ],
)
def test_an_implied_name_is_found(text: str, term: str) -> None:
    found = findings(text)[term]
    assert found.implied
    assert found.assertion in ("present", "historical")


@pytest.mark.parametrize(
    ("text", "term"),
    [
        ("HbA1c 5.4%", "diabetes mellitus"),
        ("Cr 3.2 -> 1.1", "acute kidney injury"),
        ("Cr 1.0 -> 1.1", "acute kidney injury"),
        ("Hemoglobin 13.5", "anemia"),
        ("troponin <0.4", "myocardial infarction"),
        ("EF 60%", "heart failure with reduced ejection fraction"),
        ("potassium 40 mEq daily", "hyperkalemia"),
        ("Hgb on 3/4 pending", "anemia"),
        ("T-score 0.3", "osteoporosis"),
        ("He arrived as planned, all well.", "aortic stenosis"),
        ("Use caution with the pe class.", "pulmonary embolism"),
        ("PE: lungs clear.", "pulmonary embolism"),
        ("He is a non-smoker.", "tobacco use disorder"),
        ("Metformin was never taken; allergic to metformin.", "type 2 diabetes mellitus"),
        ("Her mother takes metformin.", "type 2 diabetes mellitus"),
        ("Heart. Failure of the pump alarm.", "heart failure"),
    ],
)
def test_what_is_not_said_is_not_found(text: str, term: str) -> None:
    assert term not in findings(text)


@pytest.mark.parametrize(
    ("text", "term", "assertion"),
    [
        ("No evidence of pneumonia.", "pneumonia", "negated"),
        ("No filling defect in the pulmonary artery.", "pulmonary embolism", "negated"),
        ("Mother had breast cancer.", "breast cancer", "family"),
        ("Return for fever.", "fever", "hypothetical"),
        ("s/p cholecystectomy", "cholecystectomy", "historical"),
        ("s/p cholecystectomy", "cholecystitis", "historical"),
        ("Allergies: penicillin.", "penicillin", "negated"),
        ("Negative for nitrite and creatinine was 7.1", "kidney disease", "present"),
    ],
)
def test_a_finding_carries_its_assertion(text: str, term: str, assertion: str) -> None:
    assert findings(text)[term].assertion == assertion


def test_a_stated_name_wins_over_the_same_name_implied() -> None:
    (found,) = annotator().annotate(["On metformin for type 2 diabetes."])
    assert [f.implied for f in found if f.term == "type 2 diabetes mellitus"] == [False]


def test_an_implication_yields_to_an_explicit_denial() -> None:
    found = findings("Takes metformin for PCOS. Denies type 2 diabetes.")
    assert found["type 2 diabetes mellitus"].assertion == "negated"
    assert not found["type 2 diabetes mellitus"].implied


def test_one_term_may_stand_under_two_assertions() -> None:
    (found,) = annotator().annotate(["Stroke today. Mother had a stroke."])
    assert [f.assertion for f in found if f.term == "stroke"] == ["present", "family"]


def test_the_longest_name_is_taken() -> None:
    assert "diabetes mellitus" not in findings("Gestational diabetes in this pregnancy.")


def test_each_text_has_its_own_list() -> None:
    assert [len(found) for found in annotator().annotate(["", "asthma", "the weather"])] == [0, 1, 0]


def test_every_rule_speaks_of_known_names() -> None:
    book = rule_book()
    known = set(book.kinds())
    named = {*book.implied_by, *book.phrases, *(rule.implies for rule in book.values)}
    named |= {name for names in book.implied_by.values() for name in names}
    assert named - known == set()


def test_names_and_forms_are_unique() -> None:
    book = rule_book()
    names = [name for kind in ("diagnosis", "procedure", "prescription") for name in getattr(book, kind)]
    assert [n for n, count in Counter(names).items() if count > 1] == []
    forms = Counter(form.lower() for form, _ in book.forms())
    assert [form for form, count in forms.items() if count > 1] == []


def test_every_phrase_compiles_and_takes_up_some_text() -> None:
    for patterns in rule_book().phrases.values():
        assert not any(re.compile(pattern).match("") for pattern in patterns)


def test_every_stated_form_is_found_as_its_name() -> None:
    for form, name in rule_book().forms():
        assert name in findings(f"Has {form} today."), form


@given(st.floats(0, 20), st.floats(0, 20))
def test_a_rise_needs_the_later_value_to_be_higher(first: float, last: float) -> None:
    rule = ValueRule(names=["x"], implies="y", rise=1.5, at_least=1.2, up_to=20)
    assert not (rule.holds("", [first, last]) and last <= first)
    assert not rule.holds("", [last])


@given(st.text(max_size=200))
def test_any_text_is_annotated(text: str) -> None:
    assert all(f.term in rule_book().kinds() for f in annotator().annotate([text])[0])


def test_passages_are_annotated_fast() -> None:
    passage = "Patient denies chest pain. HTN on lisinopril, DM2 on metformin, HbA1c 8.2, Cr 1.1 -> 2.3, Na 131. " * 5
    annotator().annotate([passage])
    start = time.process_time()
    annotator().annotate([passage] * 100)
    assert time.process_time() - start < 1.5
