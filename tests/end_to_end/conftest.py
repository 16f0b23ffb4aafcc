"""Jobs as a user runs them, on this machine or submitted to a cluster."""

import json
import shutil
import sys
import tempfile
from functools import partial

import pytest

from ray_jobs import prepare_corpus
from ray_jobs.job import load_settings
from ray_jobs.prepare_corpus import PrepareCorpusSettings
from ray_jobs.serve_environment import free_port
from tests.end_to_end.running import ROOT, Client, started_commands
from tests.end_to_end.small_road import small_road


@pytest.fixture
def command(tmp_path):
    """Starts commands; those still running at the end are stopped."""
    with started_commands(tmp_path) as start:
        yield start


@pytest.fixture
def job(command):
    """Starts `python -m ray_jobs.<name>` with a recipe and overrides."""
    return partial(start_job, command)


def start_job(command, name, recipe, *overrides):
    settings = [word for override in overrides for word in ("--set", override)]
    return command(sys.executable, "-m", f"ray_jobs.{name}", "--config", f"recipes/{recipe}.yaml", *settings)


@pytest.fixture(scope="session")
def road(tmp_path_factory):
    """The whole road, run once on one machine: where it wrote to, and its output."""
    folder = tmp_path_factory.mktemp("road")
    with started_commands(folder) as command:
        run = start_job(command, "pipeline", "demo", *small_road(folder / "run"))
        assert run.wait() == 0, run.output()
    return folder / "run", run.output()


@pytest.fixture
def prepare(local_ray, tmp_path):
    """Writes notes with these texts (n0 of patient p0, ...) into `store`, in this process."""

    def prepare(texts):
        file = tmp_path / "notes.jsonl"
        rows = [{"note_id": f"n{i}", "patient_id": f"p{i}", "text": text} for i, text in enumerate(texts)]
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        overrides = [f"notes.path={file}", f"store.path={tmp_path / 'store'}"]
        prepare_corpus.run(load_settings(PrepareCorpusSettings, ROOT / "recipes/prepare_corpus.yaml", overrides))

    return prepare


class Cluster(Client):
    """A head node with its own ports and temporary folder, token authentication on."""

    def __init__(self, command, folder):
        port = free_port()
        super().__init__(command, f"http://127.0.0.1:{port}")
        ports = {"port": 0, "dashboard-port": port, "dashboard-agent-listen-port": 0}
        ports["ray-client-server-port"] = free_port()
        self.head = self.ray(
            *("start", "--head", "--block", "--num-cpus", "8", "--temp-dir", folder),
            *(word for name, number in ports.items() for word in (f"--{name}", str(number))),
        )
        self.head.wait_for("Ray runtime started", timeout=120)


@pytest.fixture
def cluster(command):
    # Unix socket paths are short: pytest's own temporary folder would be too long.
    folder = tempfile.mkdtemp(prefix="drehr-ray-")
    cluster = Cluster(command, folder)
    yield cluster
    cluster.head.kill()
    shutil.rmtree(folder, ignore_errors=True)
