"""The pipeline on a very small hospital, and what its output says."""

import os
import re

from ray_jobs.serve_environment import free_port
from tests.end_to_end.running import ROOT

STEPS = [
    "generate_hospital",
    "prepare_corpus",
    "build_graph",
    "match_entities",
    "generate_entities",
    "train_encoder",
    "build_index",
    "evaluate",
]


def finished(output):
    """Steps that ran to their end in this output, once each."""
    return list(dict.fromkeys(re.findall(r"^(\w+): .*written to", output, re.MULTILINE)))


def skipped(output):
    return list(dict.fromkeys(re.findall(r"^(\w+): already done", output, re.MULTILINE)))


def small_road(folder):
    """Settings of a run that ends within minutes."""
    return (
        "hospital.patients=12",
        "hospital.benchmark_patients=5",
        "stage1.max_steps=2",
        "stage1.batch_size=8",
        "stage2.max_steps=1",
        "stage2.batch_size=8",
        "workers.number=1",
        "examples.queries=[chest pain]",
        f"http.port={free_port()}",
        f"output.path={os.path.relpath(folder, ROOT)}",  # as a user writes it; workers run in other folders
    )
