import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from encoders.encoder import Encoder
from encoders.training.batches import make_batch
from encoders.training.data import TrainingData
from encoders.training.settings import TrainingSettings
from encoders.training.tables import _parse
from encoders.training.tokenising import lines_of_span, tokenise

SETTINGS = TrainingSettings(chunk_tokens=32)
pytestmark = pytest.mark.usefixtures("local_ray")


def write(folder, *lines):
    folder.mkdir()
    (folder / "records.jsonl").write_text("".join(line + "\n" for line in lines))
    return folder


def test_rows_are_sorted_and_hold_tokens_terms_and_concepts(training_data, tiny_encoder):
    encoder = Encoder.load(str(tiny_encoder))
    assert len(training_data) == 24
    assert [training_data.idx(i) for i in range(3)] == ["n00_0", "n01_0", "n02_0"]
    (first,) = encoder.tokenize(["heart failure"], "query", 16)
    terms = training_data.chunk_terms(0)
    assert training_data.term_tokens(terms[0]) == first
    concept = training_data.term_concepts(terms[0])
    assert len(concept) == 1
    assert concept[0] in training_data.chunk_concepts(0)


def test_dr_ehr_s_own_files_load(tmp_path, tiny_encoder):
    folder = write(tmp_path / "in", json.dumps({"idx": "a_0", "text": "some text", "entities": ["copd", "chf"]}))
    (tmp_path / "out").mkdir()
    assert tokenise(folder, str(tiny_encoder), SETTINGS, tmp_path / "out") == {"chunks": 1, "terms": 2}
    data = TrainingData(tmp_path / "out")
    assert list(data.chunk_concepts(0)) == []


NO_RECORDS = [
    "{broken",
    "[]",
    '{"idx": "a", "text": "b"}',
    '{"idx": "a", "text": "b", "entities": []}',
    '{"idx": "a", "text": "b", "entities": "copd"}',
    '{"idx": "a", "text": "b", "entities": 3}',
    '{"idx": "a", "text": "b", "entities": ["copd", " "]}',
    '{"idx": 1, "text": "b", "entities": ["copd"]}',
    '{"idx": "a", "text": "b", "entities": ["copd"], "concepts": ["C1", "C2"]}',
]


@pytest.mark.parametrize("line", NO_RECORDS)
def test_a_line_that_is_no_record_is_known(line):
    assert _parse(line) is None


def test_lines_that_are_no_records_are_counted_and_their_file_named(tmp_path, tiny_encoder):
    folder = write(tmp_path / "in", *NO_RECORDS)
    (tmp_path / "out").mkdir()
    with pytest.raises(ValueError, match=r"records.jsonl: 9 lines are no training records"):
        tokenise(folder, str(tiny_encoder), SETTINGS, tmp_path / "out")


def test_a_folder_without_records_is_refused(tmp_path, tiny_encoder):
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    with pytest.raises(ValueError, match="holds no training records"):
        tokenise(tmp_path / "in", str(tiny_encoder), SETTINGS, tmp_path / "out")


def test_phrases_of_a_text_become_terms_of_its_chunk_and_are_no_negatives_of_others_that_have_them(
    tmp_path, tiny_encoder
):
    texts = ["swollen left knee after fall", "swollen left knee again", "dry cough"]
    texts += [f"{word} number" for word in "abcdefghijklmnopqrstu"]
    lines = [{"idx": f"{i:02}_0", "text": f"{text} {i}", "entities": [f"entity {i}"]} for i, text in enumerate(texts)]
    folder = write(tmp_path / "in", *map(json.dumps, lines))
    (tmp_path / "out").mkdir()
    settings = TrainingSettings(batch_size=24, num_pos=1, phrases=20)
    tokenise(folder, str(tiny_encoder), settings, tmp_path / "out")
    data = TrainingData(tmp_path / "out")
    batch = make_batch(data, 0, settings)
    positives, negatives = batch.pairs.tile(slice(0, 24))
    by_idx, terms = {line["idx"]: line["text"] for line in lines}, [data.term(int(term)) for term in batch.terms]
    assert {"left knee after", "dry cough", "swollen left knee"} <= set(terms)
    for row, idx in enumerate(batch.idx):
        for column, term in enumerate(terms):
            is_phrase = data.is_phrase(int(batch.terms[column]))
            assert is_phrase == (not term.startswith("entity"))
            if is_phrase:
                stands_there = f" {term} " in f" {by_idx[idx]} "
                assert (positives[row, column] == 1) <= stands_there
                assert negatives[row, column] == (not stands_there)


def test_an_entity_is_never_a_mere_phrase(tmp_path, tiny_encoder):
    # Its record knows whether it is true: the text may deny it.
    texts = ["denies cough", "has cough", *(f"nothing {letter}" for letter in "abcdefghijklmnopqrst")]
    entities = [["rash"], ["cough"]] + [["rash"]] * 20
    records = [
        json.dumps({"idx": f"{i:02}", "text": text, "entities": held})
        for i, (text, held) in enumerate(zip(texts, entities, strict=True))
    ]
    folder = write(tmp_path / "in", *records)
    (tmp_path / "out").mkdir()
    tokenise(folder, str(tiny_encoder), TrainingSettings(phrases=20), tmp_path / "out")
    data = TrainingData(tmp_path / "out")
    assert {data.term(int(term)) for term in data.chunk_terms(0)} == {"rash", "denies", "denies cough"}


def test_terms_that_are_the_same_to_the_encoder_are_one_term_and_no_negatives_of_each_other_s_chunks(
    tmp_path, tiny_encoder
):
    long = "pain " * 20
    entities = [["Chest Pain"], ["chest  pain"], [f"{long}left"], [f"{long}right"], ["cough"]]
    records = [json.dumps({"idx": f"{i}", "text": f"text {i}", "entities": held}) for i, held in enumerate(entities)]
    folder = write(tmp_path / "in", *records)
    (tmp_path / "out").mkdir()
    settings = TrainingSettings(batch_size=5, num_pos=1)
    tokenise(folder, str(tiny_encoder), settings, tmp_path / "out")
    data = TrainingData(tmp_path / "out")
    assert data.terms() == ["Chest Pain", f"{long}left", "cough"]
    batch = make_batch(data, 0, settings)
    negatives = batch.pairs.tile(slice(0, 5))[1]
    kinds = {"0": 0, "1": 0, "2": 1, "3": 1, "4": 2}
    for row, idx in enumerate(batch.idx):
        assert negatives[row].tolist() == [term != kinds[idx] for term in range(3)]


def test_what_other_files_of_a_step_hold_is_no_record(tmp_path, tiny_encoder):
    record = json.dumps({"idx": "a_0", "text": "some text", "entities": ["copd"]})
    folder = write(tmp_path / "in", record)
    (folder / "errors.jsonl").write_text('{"chunk_id": "b_0", "reason": "timeout"}\n')
    (tmp_path / "out").mkdir()
    assert tokenise(folder, str(tiny_encoder), SETTINGS, tmp_path / "out")["chunks"] == 1


@pytest.mark.parametrize("character", ["\x85", "\u2028", "\u2029", "\x0b", "\x0c", "\x1c"])
def test_a_newline_alone_ends_a_record(tmp_path, tiny_encoder, character):
    lines = [
        json.dumps({"idx": f"{n}", "text": f"one{character}two", "entities": ["x"]}, ensure_ascii=False) for n in "ab"
    ]
    folder = write(tmp_path / "in", *lines)
    (tmp_path / "out").mkdir()
    assert tokenise(folder, str(tiny_encoder), SETTINGS, tmp_path / "out")["chunks"] == 2


@given(
    st.lists(st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), max_size=12)), st.integers(1, 9)
)
def test_spans_hold_every_line_once(tmp_path_factory, lines, size):
    file = tmp_path_factory.mktemp("spans") / "lines"
    file.write_bytes("".join(line + "\n" for line in lines).encode())
    spans = range(0, file.stat().st_size, size)
    found = [line for start in spans for line in lines_of_span(file, start, start + size)]
    assert [line.rstrip("\n") for line in found] == [line for line in lines if line.encode().strip()]
