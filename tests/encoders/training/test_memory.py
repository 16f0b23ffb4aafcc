"""What a step of 65,536 pairs takes, in a process of its own."""

import multiprocessing
import resource
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from encoders.encoder import Encoder
from encoders.training.batches import make_batch
from encoders.training.data import TABLES, TrainingData
from encoders.training.model import prepare, spread
from encoders.training.settings import TrainingSettings
from encoders.training.shared_encoding import SharedEncoding
from encoders.training.step import GradientStep
from encoders.training.workers import Workers

N_CHUNKS, NUM_POS = 4096, 16
N_TERMS, N_CONCEPTS, PER_CHUNK = 70_000, 20_000, 20
SETTINGS = TrainingSettings(batch_size=N_CHUNKS, num_pos=NUM_POS, gradient_cache=True)


def write_random_tables(folder):
    random = np.random.default_rng(0)

    def ids(number, below):
        return random.choice(below, number, replace=False).tolist()

    chunks = {
        "idx": [str(i) for i in range(N_CHUNKS)],
        "text": ["text"] * N_CHUNKS,
        "tokens": [ids(12, 20_000) for _ in range(N_CHUNKS)],
        "terms": [ids(PER_CHUNK, N_TERMS) for _ in range(N_CHUNKS)],
        "provenance": [[1] * PER_CHUNK] * N_CHUNKS,
        "concepts": [ids(PER_CHUNK, N_CONCEPTS) for _ in range(N_CHUNKS)],
    }
    terms = {
        "term": [f"t{i}" for i in range(N_TERMS)],
        "tokens": [ids(4, 20_000) for _ in range(N_TERMS)],
        "concepts": [ids(1, N_CONCEPTS) for _ in range(N_TERMS)],
        "is_phrase": [False] * N_TERMS,
    }
    concepts = {"concept": [f"c{i}" for i in range(N_CONCEPTS)]}
    for (name, schema), rows in zip(TABLES.items(), (chunks, terms, concepts), strict=True):
        with pa.OSFile(str(folder / name), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
            writer.write(pa.table(rows, schema=schema))


def peak_bytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def take_step(encoder_folder, data_folder, answers):
    encoder, data = Encoder.load(str(encoder_folder)), TrainingData(Path(data_folder))
    prepare(encoder, SETTINGS)
    workers = Workers.here()
    batch, before = make_batch(data, 0, SETTINGS), peak_bytes()
    loss = GradientStep(SharedEncoding(spread(encoder, SETTINGS, workers), data, SETTINGS, workers), None)(batch, 0)
    answers.put((loss, len(batch.terms), batch.pairs.positives.sum(), peak_bytes() - before))


@pytest.mark.long
def test_a_step_of_65536_pairs_never_holds_the_scores_of_all_of_them(tiny_encoder, tmp_path):
    write_random_tables(tmp_path)
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    process = context.Process(target=take_step, args=(tiny_encoder, tmp_path, answers))
    process.start()
    process.join()
    assert process.exitcode == 0
    loss, terms, pairs, taken = answers.get()
    assert np.isfinite(loss)
    assert pairs == N_CHUNKS * NUM_POS == 65_536
    assert taken < 4 * N_CHUNKS * terms
