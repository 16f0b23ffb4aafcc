"""A search that looks for synonyms too: which words have them, what is found, what is refused."""

import asyncio
import json
import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st
from in_process import Handle, Service, build_tiny_release, unit_vectors

from serving import router as router_module
from serving.expansion import Expansion, Synonyms, write_synonyms
from serving.manifest import MANIFEST
from serving.protocol import Filters
from serving.shard import ShardQuery, _as_found

KNOWN = [
    ("renal failure", False, ["kidney injury", "aki"]),
    ("acute renal failure", False, ["acute kidney injury"]),
    ("failure", False, ["breakdown"]),
    ("ms", True, ["multiple sclerosis"]),
    ("type-2 Diabètes", False, ["t2dm"]),
    ("a b c d e f g h i", False, ["too long"]),
    ("nothing", False, []),
]


@pytest.fixture
def synonyms(tmp_path):
    return Synonyms(tmp_path, write_synonyms(KNOWN, tmp_path))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("renal failure", [("renal failure", ["kidney injury", "aki"])]),
        ("Acute  RENAL failure?", [("Acute  RENAL failure", ["acute kidney injury"])]),
        ("renal (failure) failure", [("renal (failure", ["kidney injury", "aki"]), ("failure", ["breakdown"])]),
        ("MS or type 2 diabetes", [("MS", ["multiple sclerosis"]), ("type 2 diabetes", ["t2dm"])]),
        ("ms Smith", []),
        ("a b c d e f g h i nothing", []),
        ("", []),
    ],
)
def test_the_longest_terms_of_a_query_are_found(synonyms, query, expected):
    found = synonyms.expand(query)
    assert [(each.words, each.synonyms) for each in found] == expected
    assert [query[slice(*each.span)] for each in found] == [each.words for each in found]


def test_an_expanded_word_within_another_stays():
    query = ShardQuery(
        "MS with MSSA", None, "hybrid", 1, Filters(), expansions=[Expansion("MS", ["multiple sclerosis"], (0, 2))]
    )
    assert _as_found(query, ["multiple sclerosis, MSSA in the blood"]) == "multiple sclerosis with MSSA"


@given(st.text(max_size=60))
def test_any_query_is_expanded(tmp_path_factory, query):
    folder = tmp_path_factory.getbasetemp() / "any"
    folder.mkdir(exist_ok=True)
    for expansion in Synonyms(folder, write_synonyms(KNOWN, folder)).expand(query):
        assert expansion.words in query
        assert expansion.synonyms


def test_a_changed_file_is_refused(tmp_path):
    checksum = write_synonyms(KNOWN, tmp_path)
    (tmp_path / "synonyms.marisa").write_bytes(b"")
    with pytest.raises(ValueError, match="SHA-256 is not the manifest's"):
        Synonyms(tmp_path, checksum)


@pytest.fixture(scope="module")
def release(tmp_path_factory, unused_encoder):
    return build_tiny_release(tmp_path_factory.mktemp("expanded"), unused_encoder)


@pytest.fixture
def start(release, tmp_path, monkeypatch):
    services = []

    def start(known):
        copy = shutil.copytree(release, tmp_path / "release")
        manifest = json.loads((copy / MANIFEST).read_text())
        manifest["synonyms"] = write_synonyms(known, copy) if known else ""
        (copy / MANIFEST).write_text(json.dumps(manifest))
        services.append(Service(copy, unit_vectors, monkeypatch))
        return services[-1]

    yield start
    for service in services:
        service.close()


@pytest.mark.parametrize("mode", ["lexical", "hybrid"])
def test_synonyms_are_found_and_shown(start, mode):
    service = start([("bronchospasm", False, ["asthma exacerbation", "wheezing"])])
    without = service.search("bronchospasm", mode=mode, k=1).json()
    assert without["expansions"] == []
    assert not any("asthma" in hit["text"] for hit in without["hits"] if mode == "lexical")
    answer = service.search("bronchospasm", mode=mode, k=1, expand=True).json()
    assert answer["expansions"] == [{"words": "bronchospasm", "synonyms": ["asthma exacerbation", "wheezing"]}]
    (hit,) = answer["hits"]
    lit = {hit["text"][start:stop].lower() for start, stop in hit["highlights"]}
    assert "asthma" in lit or "wheezing" in lit
    assert hit["scores"]["lexical"] > 0


def test_a_chunk_with_the_query_s_own_words_stays_above_one_with_synonyms(start):
    service = start([("pneumonia", False, ["asthma", "wheezing", "exacerbation"])])
    hits = service.search("pneumonia", mode="lexical", k=1000, expand=True).json()["hits"]
    own = ["pneumonia" in hit["text"] for hit in hits]
    assert own == sorted(own, reverse=True)
    assert {True, False} == {*own}


def test_the_encoder_needs_no_synonyms(start):
    service = start([("bronchospasm", False, ["asthma"])])
    assert service.search("bronchospasm", mode="dense", expand=True).json()["expansions"] == []


def test_the_synonyms_must_come_within_the_deadline(start, monkeypatch):
    async def slow(query):
        await asyncio.sleep(60)

    service = start([("bronchospasm", False, ["asthma"])])
    monkeypatch.setattr(router_module.serve, "get_app_handle", lambda application: Handle(expand=slow))
    answer = service.search("bronchospasm", expand=True, deadline_ms=100)
    assert (answer.status_code, answer.json()["detail"]) == (503, "no answer from: root")


def test_a_release_without_a_graph_cannot_expand(start):
    answer = start([]).search("bronchospasm", expand=True)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert answer.json()["errors"] == [{"field": "expand", "reason": "the release was built without a knowledge graph"}]
