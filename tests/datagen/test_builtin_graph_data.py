"""The built-in graph's data file: every reference resolves, names are unique, the hierarchy has no cycle."""

from collections import Counter
from functools import cache
from importlib.resources import files
from typing import Any

import pytest
import yaml

PREFIX = {"disease": "DX", "finding": "FX", "procedure": "PX", "drug": "RX"}
# Matching is case-insensitive, so a short form that spells a common word would match everywhere.
ENGLISH_WORDS = (
    "add ago aids all am an and are arm as at bad be but can cap cup dad did die dig do ear eat end far fat few fit "
    "for get had has he her him his hit hot how if ill in is it its leg lid low mad man map me men mid my no not now "
    "off oh old on one or our out pad pan pat pop put ran red rid sad sat saw set she sit so tap the them to too top "
    "up us was we who why yes you"
)


@cache
def data() -> dict[str, Any]:
    return yaml.load((files("datagen") / "graph/builtin.yaml").read_text("utf-8"), Loader=yaml.CSafeLoader)


def concepts() -> list[dict[str, Any]]:
    return data()["concepts"]


def terms(concept: dict[str, Any]) -> list[str]:
    return [concept["name"], *concept.get("synonyms", []), *concept.get("abbreviations", [])]


def test_every_type_is_covered() -> None:
    counts = Counter(concept["type"] for concept in concepts())
    assert all(counts[kind] >= 100 for kind in PREFIX), counts


def test_sources_are_named() -> None:
    assert data()["sources"]


def test_ids_are_unique_and_carry_their_type() -> None:
    ids = [concept["id"] for concept in concepts()]
    assert len(set(ids)) == len(ids)
    assert all(c["id"].split(":")[0] == PREFIX[c["type"]] for c in concepts())


def test_a_term_names_one_concept_only() -> None:
    owners = Counter(term.lower() for concept in concepts() for term in terms(concept))
    assert [term for term, count in owners.items() if count > 1] == []


def test_no_abbreviation_is_an_english_word() -> None:
    short = {term.lower() for concept in concepts() for term in concept.get("abbreviations", [])}
    assert short & set(ENGLISH_WORDS.split()) == set()


def test_every_reference_resolves() -> None:
    ids = {concept["id"] for concept in concepts()}
    for concept in concepts():
        targets = [*concept.get("is_a", []), *(t for ts in concept.get("relations", {}).values() for t in ts)]
        assert set(targets) <= ids, concept["name"]


def test_hierarchy_has_no_cycle() -> None:
    parents = {concept["id"]: concept.get("is_a", []) for concept in concepts()}

    def ancestors(node: str, path: tuple[str, ...]) -> None:
        assert node not in path, path
        for parent in parents[node]:
            ancestors(parent, (*path, node))

    for node in parents:
        ancestors(node, ())


@pytest.mark.parametrize(
    ("child", "parent"),
    [
        ("apixaban", "anticoagulant"),
        ("type 2 diabetes mellitus", "diabetes mellitus"),
        ("non-ST elevation myocardial infarction", "coronary artery disease"),
        ("coronary artery bypass graft", "procedure"),
    ],
)
def test_a_concept_reaches_its_ancestor(child: str, parent: str) -> None:
    by_id = {concept["id"]: concept for concept in concepts()}
    frontier = [concept for concept in concepts() if concept["name"] == child]
    reached = set()
    while frontier:
        concept = frontier.pop()
        reached.add(concept["name"])
        frontier.extend(by_id[i] for i in concept.get("is_a", []))
    assert parent in reached


def test_the_usual_short_forms_are_there() -> None:
    owner = {term: concept["name"] for concept in concepts() for term in terms(concept)}
    assert owner["HTN"] == "hypertension"
    assert owner["DM2"] == "type 2 diabetes mellitus"
    assert owner["CKD"] == "chronic kidney disease"
    assert owner["NSTEMI"] == "non-ST elevation myocardial infarction"
    assert owner["CABG"] == "coronary artery bypass graft"


def test_a_treatment_goes_from_drug_or_procedure_to_condition() -> None:
    kind = {concept["id"]: concept["type"] for concept in concepts()}
    for concept in concepts():
        for target in concept.get("relations", {}).get("treats", []):
            assert concept["type"] in ("drug", "procedure"), concept["name"]
            assert kind[target] in ("disease", "finding"), concept["name"]
