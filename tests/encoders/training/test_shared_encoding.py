"""Training encodes a text as search does."""

import numpy as np

from encoders.base import BaseChanges, prepare_base
from encoders.encoder import Encoder
from encoders.training.data import TrainingData
from encoders.training.model import spread
from encoders.training.settings import TrainingSettings
from encoders.training.shared_encoding import SharedEncoding
from encoders.training.tables import stage_records, write_tables
from encoders.training.workers import Workers


def test_instructions_are_attended_to_and_not_pooled_in_training_either(tiny_encoder, records, tmp_path):
    # Of different lengths, so that it matters which of the two is left out.
    changes = BaseChanges(query_prefix="find what tells of: ", passage_prefix="note: ", pools_prefixes=False)
    prepare_base(str(tiny_encoder), changes, tmp_path / "encoder")
    base, settings = str(tmp_path / "encoder"), TrainingSettings(part_tokens=100)
    lines = (records / "records.jsonl").read_text().splitlines()
    write_tables(stage_records(lines, [""] * len(lines), base, 60), base, settings, tmp_path)
    data, encoder = TrainingData(tmp_path), Encoder.load(base)
    encoding = SharedEncoding(spread(Encoder.load(base), settings, Workers()), data, settings, Workers())
    rows = np.arange(len(data))
    assert encoder.spec.pooling == "mean"
    terms, chunks = encoding.vectors(encoding.terms(range(data.n_terms))), encoding.vectors(encoding.chunks(rows))
    np.testing.assert_allclose(terms, encoder.encode_queries(data.terms()), atol=1e-5)
    np.testing.assert_allclose(chunks, encoder.encode_passages(data.chunk_texts(rows)), atol=1e-5)
