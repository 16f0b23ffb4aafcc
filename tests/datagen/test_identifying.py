from datetime import date
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from datagen.graph.builtin import read_builtin
from datagen.identifying import looks_identifying

REAL_NAMES = Path(__file__).parents[2].parent / "shared/data/kg/doid.obo.gz"


@pytest.mark.parametrize(
    "text",
    [
        *("Mr. Smith", "Dr Jones", "MRS. DOE", "dr. kowalski", "Prof. Abe", "seen by Dr. Smith", "Patient name: Doe"),
        *("John Smith", "JOHN SMITH", "john smith", "Mary A. Kowalski", "John O'Brien", "Susan Smith-Jones"),
        *("Smith, John", "SMITH, JOHN", "Kowalski, Mary B.", "Referral to John Kowalski", "John Smith's diabetes"),
        *("Grace Miller", "june harris", "Rose Garcia"),
    ],
)
def test_names_of_people(text):
    assert looks_identifying(text)


@pytest.mark.parametrize(
    "text",
    [
        *("01/31/2019", "1/31/19", "31.01.2019", "1-31-2019", "01-31-19", "2019-01-31", "2019/01/31", "2019-01"),
        *("3/2019", "03-2019", "January 2019", "Jan. 2019", "MAR 2019", "March of 2019", "Jan '19", "Mar-2019"),
        *("March 5", "March 5th, 2019", "5 March", "5th of May 2019", "05-Mar-2019", "12Mar2019", "2019 March"),
        *("cholecystectomy in March 2015", "MRI 3/4/21", "admitted 1/2/2019-1/5/2019", "2019-01-31T10:30:00Z"),
    ],
)
def test_dates(text):
    assert looks_identifying(text)


@pytest.mark.parametrize(
    "text",
    [
        *("123-45-6789", "555-123-4567", "(555) 123-4567", "+1 555 123 4567", "555.123.4567x12", "555-1234"),
        *("MRN 12345", "MRN: A12345", "record number 4711", "Medical record no. 4711", "Account #: 12-345", "#12345"),
        *("a.b@clinic.org", "1234567", "patient 1234567", "accession 123456", "ID 471100", "seen with 4711001"),
    ],
)
def test_numbers_of_records_and_people(text):
    assert looks_identifying(text)


@pytest.mark.parametrize(
    "text",
    [
        *("24/7", "T4", "1-2", "120/80", "grade 2/6 murmur", "HPV 6/11/16/18", "cholecystectomy in 2015"),
        *("vitamin B12", "factor VIII", "25-hydroxyvitamin D", "type 2 diabetes", "HLA-B27", "CA 19-9", "p53"),
        *("2019-nCoV", "5-fluorouracil", "2019 novel coronavirus", "1,25-dihydroxyvitamin D", "SARS-CoV-2"),
        *(
            "PF-06463922",
            "GSK2696273",
            "GSK 2696273",
            "nystatin 100000 units",
            "heparin 1000000 units/mL",
            "CAS 657-24-9",
        ),
        *("SEPT9", "Oct-4", "march fracture", "May-Thurner syndrome", "Decadron 4 mg", "record of immunization"),
    ],
)
def test_numbers_that_are_clinical_stay(text):
    assert not looks_identifying(text)


@pytest.mark.parametrize(
    "text",
    [
        *("Parkinson disease", "Graves disease", "Foley catheter", "Whipple procedure", "Charcot-Marie-Tooth disease"),
        *(
            "Guillain Barre syndrome",
            "Guillain-Barré",
            "Marshall Smith syndrome",
            "MARSHALL SMITH SYNDROME",
            "Allen test",
        ),
        *("Pierre Robin sequence", "Thomas splint", "Marcus Gunn pupil", "Austin Flint murmur", "Wilson disease"),
        *("Crohn's disease", "MR imaging", "MS relapse", "Dr", "MS Contin", "Gene therapy", "frank hematuria"),
        *("Rose bengal", "Penny poisoning", "Mark", "Pneumonia, bacterial", "St. John's wort", "Ray amputation"),
        *("Tanner II", "Tanner I breasts", "Taylor Spatial Frame", "Blake drain", "Bruce protocol"),
    ],
)
def test_eponyms_and_names_of_things_stay(text):
    assert not looks_identifying(text)


def test_no_name_of_the_builtin_graph_looks_identifying():
    graph = read_builtin()
    names = graph.concepts["preferred_term"].to_pylist() + graph.terms["term"].to_pylist()
    assert [name for name in names if any(map(looks_identifying, (name, name.upper())))] == []


@pytest.mark.skipif(not REAL_NAMES.exists(), reason="the open knowledge graphs are not on this machine")
def test_hardly_a_name_of_a_disease_ontology_looks_identifying():
    from datagen.graph.settings import GraphSettings

    graph, _ = GraphSettings.model_validate({"sources": [{"format": "obo", "path": REAL_NAMES}]}).read()
    names = graph.concepts["preferred_term"].to_pylist() + graph.terms["term"].to_pylist()
    assert sum(map(looks_identifying, names)) < 0.0005 * len(names)


def test_every_word_list_is_lower_case_and_lists_no_given_name_twice():
    path = Path(__file__).parents[2] / "datagen/identifying.yaml"
    lists = yaml.safe_load(path.read_text())
    words = {key: value if isinstance(value, list) else value.split() for key, value in lists.items()}
    assert all(word == word.lower() for listed in words.values() for word in listed)
    assert not set(words["first_names"]) & set(words["words_that_are_first_names"])
    assert not set(words["surnames"]) & set(words["clinical_words"])


@given(st.text(max_size=60))
def test_any_text_is_judged(text):
    assert looks_identifying(text) in (True, False)


@given(st.sampled_from(["pneumonia", "chest pain", "CABG"]), st.dates(date(1900, 1, 1), date(2099, 12, 31)))
def test_a_date_behind_a_clinical_term_is_seen(term, day):
    forms = ("%Y-%m-%d", "%m/%d/%Y", "%d.%m.%Y", "%m/%d/%y", "%B %d, %Y", "%d %b %Y", "%b %Y", "%m/%Y")
    assert [form for form in forms if not looks_identifying(f"{term} {day.strftime(form)}")] == []
