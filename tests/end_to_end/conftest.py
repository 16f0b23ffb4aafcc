"""Jobs as a user runs them: processes of their own, started in the repository's root."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from ray_jobs import prepare_corpus
from ray_jobs.job import load_settings
from ray_jobs.prepare_corpus import PrepareCorpusSettings

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
TOKEN = "0123456789abcdef0123456789abcdef"


def free_port():
    """A port outside the range that Ray gives its own workers (10002 to 19999)."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        if port > 20_000:
            return port


class Command:
    """A running command in a process group of its own, its output in a file."""

    def __init__(self, log, *arguments, **environment):
        self.log = log
        self.process = subprocess.Popen(
            arguments,
            cwd=ROOT,
            stdout=log.open("w"),
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
            start_new_session=True,
        )

    def output(self):
        return self.log.read_text()

    def wait(self, timeout=500):
        return self.process.wait(timeout)

    def wait_for(self, text, timeout=300):
        """Until `text` is printed. Fails when the command ends first or the time is up."""
        deadline = time.monotonic() + timeout
        while text not in self.output():
            assert self.process.poll() is None, self.output()
            assert time.monotonic() < deadline, self.output()
            time.sleep(0.1)

    def kill(self):
        """SIGKILL to the whole process group, as a lost machine would."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@pytest.fixture
def command(tmp_path):
    """Starts commands; those still running at the end are stopped."""
    started = []

    def start(*arguments, **environment):
        started.append(Command(tmp_path / f"command{len(started)}.log", *arguments, **environment))
        return started[-1]

    yield start
    for each in started:
        if each.process.poll() is None:
            os.killpg(each.process.pid, signal.SIGTERM)
            try:
                each.process.wait(30)
            except subprocess.TimeoutExpired:
                each.kill()


@pytest.fixture
def job(command):
    """Starts `python -m ray_jobs.<name>` with a recipe and overrides."""

    def start(name, recipe, *overrides):
        settings = [word for override in overrides for word in ("--set", override)]
        return command(sys.executable, "-m", f"ray_jobs.{name}", "--config", f"recipes/{recipe}.yaml", *settings)

    return start


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


class Cluster:
    """A head node with its own ports and temporary folder, token authentication on."""

    def __init__(self, command, folder):
        self._command = command
        port = free_port()
        self.address = f"http://127.0.0.1:{port}"
        """Of the job API."""
        ports = {"port": 0, "dashboard-port": port, "dashboard-agent-listen-port": 0}
        ports["ray-client-server-port"] = free_port()
        self.head = self._ray(
            *("start", "--head", "--block", "--num-cpus", "8", "--temp-dir", folder),
            *(word for name, number in ports.items() for word in (f"--{name}", str(number))),
        )
        self.head.wait_for("Ray runtime started", timeout=120)

    def submit(self, name, recipe, *overrides, token=TOKEN):
        """Run `ray job submit` on a job with a recipe and overrides."""
        python = ["python", "-m", f"ray_jobs.{name}", "--config", f"recipes/{recipe}.yaml"]
        settings = [word for override in overrides for word in ("--set", override)]
        to = ["job", "submit", "--address", self.address, "--working-dir", "."]
        return self._ray(*to, "--", *python, *settings, token=token)

    def serve(self, *words):
        """Run Serve's own command."""
        return self._run("serve", *words)

    def _ray(self, *words, token=TOKEN):
        return self._run("ray", *words, token=token)

    def _run(self, program, *words, token=TOKEN):
        # What a job calls `python` is what the head node does: the environment is active there.
        path = f"{BIN}:{os.environ['PATH']}"
        return self._command(str(BIN / program), *words, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=token, PATH=path)


@pytest.fixture
def cluster(command):
    # Unix socket paths are short: pytest's own temporary folder would be too long.
    folder = tempfile.mkdtemp(prefix="drehr-ray-")
    cluster = Cluster(command, folder)
    yield cluster
    cluster.head.kill()
    shutil.rmtree(folder, ignore_errors=True)
