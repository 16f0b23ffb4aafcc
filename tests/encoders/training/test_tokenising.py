import json

import pytest

from encoders.encoder import Encoder
from encoders.training.data import TrainingData
from encoders.training.tables import _parse
from encoders.training.tokenising import tokenise

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
    assert tokenise(folder, str(tiny_encoder), 32, 16, tmp_path / "out") == {"chunks": 1, "terms": 2}
    data = TrainingData(tmp_path / "out")
    assert list(data.chunk_concepts(0)) == []


NO_RECORDS = [
    "{broken",
    "[]",
    '{"idx": "a", "text": "b"}',
    '{"idx": "a", "text": "b", "entities": []}',
    '{"idx": "a", "text": "b", "entities": "copd"}',
    '{"idx": "a", "text": "b", "entities": 3}',
    '{"idx": 1, "text": "b", "entities": ["copd"]}',
    '{"idx": "a", "text": "b", "entities": ["copd"], "concepts": ["C1", "C2"]}',
]


@pytest.mark.parametrize("line", NO_RECORDS)
def test_a_line_that_is_no_record_is_known(line):
    assert _parse(line) is None


def test_lines_that_are_no_records_are_counted_and_their_file_named(tmp_path, tiny_encoder):
    folder = write(tmp_path / "in", *NO_RECORDS)
    (tmp_path / "out").mkdir()
    with pytest.raises(ValueError, match=r"records.jsonl: 8 lines are no training records"):
        tokenise(folder, str(tiny_encoder), 32, 16, tmp_path / "out")


def test_a_folder_without_records_is_refused(tmp_path, tiny_encoder):
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    with pytest.raises(ValueError, match="holds no training records"):
        tokenise(tmp_path / "in", str(tiny_encoder), 32, 16, tmp_path / "out")
