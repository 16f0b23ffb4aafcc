"""Machines of one machine: namespaces with addresses and names of their own on a bridge, a raylet in each.

Each has its own folder for what Ray and HAProxy keep, mounted at the same path; everything else they share.
"""

import os
import shutil
import signal
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from ray_jobs.cluster_watch import SOON_CUT_OFF
from ray_jobs.serve_environment import FAST, NOBODY, RECOVERY
from tests.end_to_end.running import BIN, TOKEN, Client

SUBNET = f"10.213.{os.getpid() % 256}"
OUTSIDE = f"{SUBNET}.254"
"""The address of the test itself."""
GCS_PORT, DASHBOARD_PORT = 6379, 8265
START_S = 180
HAPROXY_FILES = {
    "CONFIG_FILE_LOC": "haproxy.cfg",
    "SOCKET_PATH": "admin.sock",
    "METRICS_SOCKET_PATH": "metrics.sock",
    "SERVER_STATE_BASE": "",
    "SERVER_STATE_FILE": "server-state",
}


def require_namespaces():
    """Skips the test where this user may not make network namespaces."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("needs root and iproute2, for network namespaces")


class Network:
    """A bridge; machines are joined to it."""

    def __init__(self):
        self._bridge = f"dr{os.getpid()}"
        self._names = []
        _ip("link", "add", self._bridge, "type", "bridge")
        _ip("addr", "add", f"{OUTSIDE}/24", "dev", self._bridge)
        _ip("link", "set", self._bridge, "up")

    def join(self, number):
        """A new namespace with the address .number; its name."""
        name = f"{self._bridge}n{number}"
        self._names.append(name)
        _ip("netns", "add", name)
        _ip("link", "add", _outer(name), "type", "veth", "peer", "name", "eth0", "netns", name)
        _ip("link", "set", _outer(name), "master", self._bridge, "up")
        _ip("-n", name, "addr", "add", f"{SUBNET}.{number}/24", "dev", "eth0")
        _ip("-n", name, "link", "set", "eth0", "up")
        _ip("-n", name, "link", "set", "lo", "up")
        return name

    def close(self):
        for name in self._names:
            for pid in _processes(name):
                os.kill(pid, signal.SIGKILL)
            subprocess.run(["ip", "netns", "del", name], capture_output=True)
        subprocess.run(["ip", "link", "del", self._bridge], capture_output=True)


class Machine:
    """A namespace, with Ray in it once it is started."""

    def __init__(self, network, number, folder):
        self.number = number
        self.address = f"{SUBNET}.{number}"
        self._name = network.join(number)
        self._own = folder / f"machine{number}"
        self._hosts = folder / "hosts"
        self.mounted = folder / "own"
        """On every machine the path of what is its own."""
        for each in (self._own, self.mounted):
            each.mkdir(exist_ok=True)
        # By its name torch.distributed finds the address that it is reached by.
        with self._hosts.open("a") as hosts:
            hosts.write(f"{self.address} {self._name}\n")
        self._ray = None

    def run(self, command, *words, **environment):
        """Start a command on it; `command` starts commands here."""
        mounts = [(self._own, self.mounted), (self._hosts, "/etc/hosts")]
        inside = [f"hostname {self._name}", *(f"mount --bind {one} {other}" for one, other in mounts), 'exec "$@"']
        return command(
            *("ip", "netns", "exec", self._name, "unshare", "--mount", "--uts", "sh", "-c", " && ".join(inside), "sh"),
            *map(str, words),
            **{
                **FAST,
                **RECOVERY,
                **SOON_CUT_OFF,
                **{f"RAY_SERVE_HAPROXY_{name}": str(self.mounted / file) for name, file in HAPROXY_FILES.items()},
                "RAY_SERVE_HAPROXY_LOG_TARGET": NOBODY,
                "RAY_AUTH_MODE": "token",
                "RAY_AUTH_TOKEN": TOKEN,
                "RAY_TMPDIR": str(self.mounted),
                "PATH": f"{BIN}:{os.environ['PATH']}",
                **environment,
            },
        )

    def start(self, command, *words, head=None, **environment):
        """Start Ray on it: as a head, or as a worker of `head`."""
        own = ["--node-ip-address", self.address]
        if head:
            own += ["--address", f"{head.address}:{GCS_PORT}"]
        else:
            own += ["--head", "--port", GCS_PORT, "--temp-dir", self.mounted]
            own += ["--dashboard-host", self.address, "--dashboard-port", DASHBOARD_PORT]
        self._ray = self.run(command, BIN / "ray", "start", "--block", *own, *words, **environment)
        self._ray.wait_for("Ray runtime started", timeout=START_S)

    def processes(self, *parts):
        """Those on it whose command lines have all these parts."""
        found = []
        for pid in _processes(self._name):
            try:
                each = psutil.Process(pid)
                if all(part in " ".join(each.cmdline()) for part in parts):
                    found.append(each)
            except psutil.Error:
                continue
        return found

    def lose(self):
        """SIGKILL to everything on it, and its disk goes with it."""
        for pid in _processes(self._name):
            os.kill(pid, signal.SIGKILL)
        self._ray.process.wait()
        for each in self._own.iterdir():
            shutil.rmtree(each) if each.is_dir() and not each.is_symlink() else each.unlink()

    def cut(self):
        """Nothing reaches it any longer and it reaches nobody, and nobody is told."""
        _ip("link", "set", _outer(self._name), "down")

    def cut_from(self, other):
        """What it sends to the other goes nowhere."""
        _ip("-n", self._name, "route", "add", "blackhole", f"{other.address}/32")

    def mend_to(self, other):
        _ip("-n", self._name, "route", "del", "blackhole", f"{other.address}/32")


class Machines(Client):
    """A head that does no work and some workers."""

    def __init__(self, command, folder):
        super().__init__(command, f"http://{SUBNET}.1:{DASHBOARD_PORT}")
        self._folder = folder
        (folder / "hosts").write_text("127.0.0.1 localhost\n")
        self._network = Network()
        self.head = Machine(self._network, 1, folder)
        self.workers = []
        self._started = 1

    def start(self, workers, cpus=4, head=(), **environment):
        """Start the head, with further words, and so many workers."""
        self.start_head(*head, **environment)
        for _ in range(workers):
            self.add(cpus, **environment)
        return self

    def start_head(self, *words, **environment):
        """Start the head, or start it again after it was lost."""
        self.head.start(self._command, "--num-cpus", 0, *words, **environment)

    def add(self, cpus=4, **environment):
        """Start one more worker."""
        self._started += 1
        worker = Machine(self._network, self._started, self._folder)
        worker.start(self._command, "--num-cpus", cpus, head=self.head, **environment)
        self.workers.append(worker)
        return worker

    def close(self):
        self._network.close()


@contextmanager
def machines(command):
    """A network without machines; at the end nothing is left of it."""
    require_namespaces()
    # Unix socket paths are short: pytest's own temporary folder would be too long.
    folder = Path(tempfile.mkdtemp(prefix="drehr-ray-"))
    made = Machines(command, folder)
    try:
        yield made
    finally:
        made.close()
        shutil.rmtree(folder, ignore_errors=True)


def _ip(*words):
    subprocess.run(["ip", *words], check=True, capture_output=True)


def _outer(name):
    """The bridge's end of a machine's link."""
    return f"{name}o"


def _processes(name):
    listed = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True)
    return [int(line) for line in listed.stdout.split()]
