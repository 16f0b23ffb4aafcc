"""One local Ray for all tests that need it, in a temporary folder of its own and stopped at the end; tiny LLMs."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from tiny_bert import write_tiny_bert
from tiny_llama import write_tiny_llama

from ray_jobs.serve_environment import free_port, serve_environment


@pytest.fixture(scope="session")
def local_ray():
    import ray

    os.environ["RAY_DATA_PARQUET_FOOTER_NUM_ACTORS"] = "1"  # as jobs have it
    # Unix socket paths are short: pytest's own temporary folder would be too long.
    temporary = tempfile.mkdtemp(prefix="drehr-ray-")
    serve_environment(Path(temporary))
    ray.init(num_cpus=8, include_dashboard=False, _temp_dir=temporary, log_to_driver=False)
    ray.data.DataContext.get_current().enable_progress_bars = False
    yield temporary
    ray.shutdown()
    shutil.rmtree(temporary, ignore_errors=True)


@pytest.fixture(scope="session")
def serve_port() -> int:
    """Where the local Ray's Serve listens: it keeps to the port that it was first started with."""
    return free_port()


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory):
    """The folder of a tiny random BERT."""
    return write_tiny_bert(tmp_path_factory.mktemp("tiny_encoder"))


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory):
    """The folder of a tiny random Llama that vLLM runs on a CPU."""
    return write_tiny_llama(tmp_path_factory.mktemp("tiny_llama"))


@pytest.fixture(scope="session")
def pneumonia_llama(tmp_path_factory):
    """The folder of a tiny Llama that answers everything with the same three names."""
    pieces = ["- pneumonia\n", "- sepsis\n", "- John Smith\n"]
    return write_tiny_llama(tmp_path_factory.mktemp("pneumonia_llama"), pieces)
