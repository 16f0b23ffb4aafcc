"""Commands as a user runs them: processes of their own, started in the repository's root."""

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
TOKEN = "0123456789abcdef0123456789abcdef"


class Command:
    """A running command in a process group of its own, its output in a file."""

    def __init__(self, log, *arguments, **environment):
        self.log = log
        self.process = subprocess.Popen(
            arguments,
            cwd=ROOT,
            stdout=log.open("w"),
            stderr=subprocess.STDOUT,
            env={**_own_environment(), "PYTHONUNBUFFERED": "1", **environment},
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


def _own_environment():
    """Without the ports and files of the Serve that tests have in their own process."""
    return {name: value for name, value in os.environ.items() if not name.startswith("RAY_SERVE_")}


@contextmanager
def started_commands(folder):
    """A function that starts commands; those still running at the end of the block are stopped."""
    started = []

    def start(*arguments, **environment):
        started.append(Command(folder / f"command{len(started)}.log", *arguments, **environment))
        return started[-1]

    try:
        yield start
    finally:
        for each in started:
            if each.process.poll() is None:
                os.killpg(each.process.pid, signal.SIGTERM)
                try:
                    each.process.wait(30)
                except subprocess.TimeoutExpired:
                    each.kill()


class Client:
    """Who works with a cluster from outside, token authentication on."""

    def __init__(self, command, address):
        self._command = command
        self.address = address
        """Of the job API."""

    def submit(self, name, recipe, *overrides, token=TOKEN):
        """Run `ray job submit` on a job with a recipe and overrides."""
        python = ["python", "-m", f"ray_jobs.{name}", "--config", f"recipes/{recipe}.yaml"]
        settings = [word for override in overrides for word in ("--set", override)]
        to = ["job", "submit", "--address", self.address, "--working-dir", "."]
        return self.ray(*to, "--", *python, *settings, token=token)

    def serve(self, *words):
        """Run Serve's own command."""
        return self._run("serve", *words)

    def applications(self):
        """What Serve says of each."""
        status = self.serve("status", "--address", self.address)
        assert status.wait(60) == 0, status.output()
        described = "".join(status.output().partition("proxies:")[1:])
        return (yaml.safe_load(described) or {}).get("applications", {})

    def ray(self, *words, token=TOKEN):
        """Run Ray's own command."""
        return self._run("ray", *words, token=token)

    def _run(self, program, *words, token=TOKEN):
        # What a job calls `python` is what the head node does: the environment is active there.
        path = f"{BIN}:{os.environ['PATH']}"
        return self._command(str(BIN / program), *words, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=token, PATH=path)
