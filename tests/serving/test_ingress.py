"""What the HTTP routes answer: grouping, paging, explanations, batches, and notes."""

import asyncio

import numpy as np
import pytest
from in_process import Service, build_tiny_release, unit_vectors
from tiny_store import CANARY_PATIENT, make_notes

from corpus.store import Store
from corpus.writing import Changes, StoreWriter
from serving import answers


@pytest.fixture(scope="module")
def release(tmp_path_factory, unused_encoder):
    return build_tiny_release(tmp_path_factory.mktemp("answered"), unused_encoder)


@pytest.fixture
def service(release, monkeypatch):
    service = Service(release, unit_vectors, monkeypatch)
    yield service
    service.close()


def test_several_queries_are_answered_apart_and_in_their_order(service):
    queries = ["kidney injury", "asthma exacerbation", "kidney injury"]
    body = service.ask(("POST", "/v1/search", {"queries": queries, "k": 2, "mode": "lexical"})).json()
    texts = [[hit["text"] for hit in answer["hits"]] for answer in body["answers"]]
    assert [len(each) for each in texts] == [2, 2, 2]
    assert texts[0] == texts[2]
    assert all("asthma" in text for text in texts[1])


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"query": "x", "queries": ["x"]}, "body"),
        ({}, "body"),
        ({"queries": []}, "queries"),
        ({"queries": ["x"] * 65}, "queries"),
        ({"queries": ["x", " "]}, "queries.1"),
        ({"query": "x", "offset": -1}, "offset"),
        ({"query": "x", "offset": 10_001}, "offset"),
        ({"query": "x", "group_by": "ward"}, "group_by"),
        ({"query": "x", "passages": 0}, "passages"),
        ({"query": "x", "deadline_ms": 0}, "deadline_ms"),
        ({"query": "x", "min_version": -1}, "min_version"),
        ({"query": "x", "explain": "zzz"}, "explain"),
    ],
)
def test_what_does_not_fit_is_refused(service, body, field):
    answer = service.ask(("POST", "/v1/search", body))
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)


@pytest.mark.parametrize("mode", ["dense", "lexical", "hybrid"])
@pytest.mark.parametrize("group_by", ["note", "patient"])
def test_groups_are_ranked_by_their_best_passage_and_show_it(service, mode, group_by):
    flat = service.search(mode=mode, k=1000).json()["hits"]
    body = service.search(mode=mode, k=7, group_by=group_by, passages=2).json()
    expected = list(dict.fromkeys(hit[f"{group_by}_id"] for hit in flat))
    assert body["hits"] == []
    assert [group["id"] for group in body["groups"]] == expected[:7]
    for group in body["groups"]:
        own = [hit for hit in flat if hit[f"{group_by}_id"] == group["id"]]
        assert 1 <= len(group["hits"]) <= 2
        assert group["hits"] == own[: len(group["hits"])]
        assert group["score"] == pytest.approx(own[0]["score"], rel=1e-6)


def test_patients_are_looked_for_deeper_until_there_are_k_or_none_is_left(service):
    body = service.search("vital signs", mode="dense", k=24, group_by="patient").json()
    assert len(body["groups"]) == 24
    assert body["next_offset"] is None
    body = service.search("vital signs", mode="dense", k=100, group_by="patient").json()
    assert len(body["groups"]) == 24


@pytest.mark.parametrize("group_by", ["chunk", "patient"])
def test_pages_follow_each_other_without_gap_or_repeat(service, group_by):
    def ids(body):
        return [group["id"] for group in body["groups"]] or [hit["chunk_id"] for hit in body["hits"]]

    whole = ids(service.search(mode="dense", k=50, group_by=group_by).json())
    pages, offset = [], 0
    while offset is not None and len(pages) < 50:
        body = service.search(mode="dense", k=7, offset=offset, group_by=group_by).json()
        pages += ids(body)
        offset = body["next_offset"]
    assert pages[: len(whole)] == whole
    assert len(pages) == len(set(pages))


def test_pages_of_a_hybrid_search_that_is_not_exhaustive_are_of_one_ranking(tmp_path, unused_encoder, monkeypatch):
    random = np.random.default_rng(0)
    words = [f"w{number}" for number in range(12)]
    texts = [" ".join(random.choice(words, random.integers(4, 30))) for _ in range(400)]
    note, *_ = make_notes(1)
    notes = [{**note, "note_id": f"n{n}", "patient_id": f"p{n}", "text": text} for n, text in enumerate(texts)]
    release = build_tiny_release(tmp_path, unused_encoder, notes)
    service = Service(release, unit_vectors, monkeypatch, router={"min_candidates": 8, "lexical_weight": 0.6})
    whole = [hit["chunk_id"] for hit in service.search("w1 w5", k=200).json()["hits"]]
    assert len(whole) == 200
    pages, offset = [], 0
    while offset < 200:
        answer = service.search("w1 w5", k=7, offset=offset).json()
        pages += [hit["chunk_id"] for hit in answer["hits"]]
        offset = answer["next_offset"]
    assert pages[:200] == whole
    service.close()


def test_an_explanation_has_the_ranks_of_each_retriever(service):
    hits = service.search(k=10, explain=True).json()["hits"]
    for mode, name in (("dense", "dense_rank"), ("lexical", "lexical_rank")):
        alone = [hit["chunk_id"] for hit in service.search(mode=mode, k=100).json()["hits"]]
        for hit in hits:
            rank = hit["explanation"][name]
            assert (
                (hit["chunk_id"] in alone[rank - 1 : rank]) if rank and mode == "dense" else rank or mode == "lexical"
            )
    assert service.search(k=1).json()["hits"][0]["explanation"] is None


def test_a_search_that_names_a_version_waits_for_it_and_says_what_it_holds(release, unused_encoder, monkeypatch):
    service = Service(release, unit_vectors, monkeypatch)
    store = Store(release.parent / "store")
    note = {**make_notes()[0], "note_id": "later", "patient_id": "newcomer", "text": "A zebra was seen."}
    version = StoreWriter(store, {unused_encoder[1]: unit_vectors}).write(Changes([note]))
    assert service.search("zebra", mode="lexical").json()["hits"] == []
    body = service.search("zebra", mode="lexical", min_version=version).json()
    assert [hit["note_id"] for hit in body["hits"]] == ["later"]
    assert body["store_version"] == version
    refused = service.search("zebra", mode="lexical", min_version=version + 1)
    assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
    assert service.ask(("GET", "/v1/notes/later", None)).json()["text"] == "A zebra was seen."


def test_a_version_is_waited_for_where_no_patient_is_found_too(service):
    filters = {"patient_ids": ["nobody"]}
    assert service.search(filters=filters).json()["hits"] == []
    refused = service.search(filters=filters, min_version=10**9)
    assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")


def test_the_last_page_that_an_offset_reaches_names_no_next(service, monkeypatch):
    monkeypatch.setattr(answers, "DEEPEST", 20)
    assert service.search(offset=10, k=10).json()["next_offset"] == 20
    assert service.search(offset=11, k=10).json()["next_offset"] is None


def test_a_deadline_is_kept(service):
    assert service.search(deadline_ms=60_000).status_code == 200
    service.ingress.router()._encode._call = never
    refused = service.search(deadline_ms=50)
    assert (refused.status_code, refused.json()["detail"]) == (503, "no answer from: encoder")


async def never(texts):
    await asyncio.sleep(60)


def test_a_patients_notes_are_listed_newest_first_without_their_texts(service):
    notes = service.ask(("GET", f"/v1/patients/{CANARY_PATIENT}/notes", None)).json()
    assert [note["note_id"] for note in notes["notes"]] == ["note-00-0", "note-00-1", "note-00-2"]
    assert "text" not in notes["notes"][0]
    dated = service.ask(("GET", "/v1/patients/patient-01/notes?limit=2", None)).json()
    assert [note["note_id"] for note in dated["notes"]] == ["note-01-2", "note-01-1"]
    rest = service.ask(("GET", f"/v1/patients/patient-01/notes?limit=2&offset={dated['next_offset']}", None)).json()
    assert ([note["note_id"] for note in rest["notes"]], rest["next_offset"]) == (["note-01-0"], None)
    unknown = service.ask(("GET", "/v1/patients/nobody/notes", None))
    assert (unknown.status_code, unknown.json()["code"]) == (404, "unknown_patient")
