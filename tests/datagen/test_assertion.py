import pytest
from hypothesis import given
from hypothesis import strategies as st

from datagen.assertion import assertion_of

CASES = [
    # negation before the mention
    ("Patient denies chest pain.", "chest pain", "negated"),
    ("Denies fever, chills, nausea, or chest pain.", "chest pain", "negated"),
    ("There is no evidence of PE.", "PE", "negated"),
    ("He was ruled out for MI.", "MI", "negated"),
    ("She is without fever or cough.", "cough", "negated"),
    ("No known history of diabetes.", "diabetes", "negated"),
    ("Review of systems is negative for hip pain.", "hip pain", "negated"),
    ("Doubt stroke.", "stroke", "negated"),
    ("Please call us for chest pain.", "chest pain", "hypothetical"),
    ("Return precautions: fever, vomiting.", "vomiting", "hypothetical"),
    ("Question of pneumonia on film.", "pneumonia", "hypothetical"),
    ("Allergies: penicillin.", "penicillin", "negated"),
    ("His mother denies fever.", "fever", "negated"),
    # negation behind the mention
    ("Pneumonia was ruled out.", "Pneumonia", "negated"),
    ("Murphy sign is negative.", "Murphy sign", "negated"),
    ("PE is unlikely.", "PE", "negated"),
    # scope ends
    ("No chest pain. Fever since Monday.", "Fever", "present"),
    ("No chest pain but has dyspnea.", "dyspnea", "present"),
    ("Denies cough, however has fever.", "fever", "present"),
    ("Denies fever, has hypertension.", "hypertension", "present"),
    ("No edema ABDOMEN: ascites is noted.", "ascites", "present"),
    ("No fever, history of asthma.", "asthma", "historical"),
    ("Fever improved, troponin negative.", "Fever", "present"),
    ("No acute distress; wheezing throughout.", "wheezing", "present"),
    # pseudo-triggers
    ("There is no increase in edema.", "edema", "present"),
    ("He has not only diabetes, also asthma.", "diabetes", "present"),
    ("Malignancy cannot be excluded.", "Malignancy", "present"),
    ("Gram negative sepsis.", "sepsis", "present"),
    ("Mother reports fever for two days.", "fever", "present"),
    ("HISTORY OF PRESENT ILLNESS: Fever.", "Fever", "present"),
    ("Diabetes, not well controlled.", "Diabetes", "present"),
    # family
    ("Her mother had breast cancer.", "breast cancer", "family"),
    ("Father, who died because of stroke at 60.", "stroke", "family"),
    ("Breast cancer in her mother.", "Breast cancer", "family"),
    ("Family History: Diabetes. Hypertension.", "Hypertension", "family"),
    ("FH: CAD. PHYSICAL EXAM: edema.", "edema", "present"),
    ("FH: CAD. PHYSICAL EXAM: edema.", "CAD", "family"),
    ("No family history of breast cancer.", "breast cancer", "negated"),
    # history
    ("History of stroke.", "stroke", "historical"),
    ("She is s/p cholecystectomy.", "cholecystectomy", "historical"),
    ("PAST MEDICAL HISTORY: Asthma, gout.", "gout", "historical"),
    ("She is no longer taking metformin.", "metformin", "historical"),
    ("Lisinopril was stopped.", "Lisinopril", "historical"),
    ("Appendectomy 10 years ago.", "Appendectomy", "historical"),
    # supposed
    ("Return if fever occurs.", "fever", "hypothetical"),
    ("Heparin for DVT prophylaxis.", "DVT", "hypothetical"),
    ("CT to evaluate for appendicitis.", "appendicitis", "hypothetical"),
    ("Risks include bleeding and infection.", "infection", "hypothetical"),
    ("Rule out pneumonia.", "pneumonia", "hypothetical"),
    # nothing at all
    ("Admitted with pneumonia.", "pneumonia", "present"),
    ("Dr. Smith saw no fever.", "fever", "negated"),
]


@pytest.mark.parametrize(("text", "mention", "expected"), CASES)
def test_assertion_of_a_mention(text: str, mention: str, expected: str) -> None:
    start = text.index(mention)
    assert assertion_of(text, start, start + len(mention)) == expected


@given(st.text(alphabet=st.sampled_from("no history ,.:;FH if but mother ruled out\nDr"), max_size=80))
def test_any_text_has_an_assertion(text: str) -> None:
    for start in range(0, len(text), 7):
        assert assertion_of(text, start, min(start + 3, len(text))) in (
            "present",
            "negated",
            "family",
            "historical",
            "hypothetical",
        )
