"""What a local Ray leaves: its log files, and its metrics."""

from pathlib import Path

import httpx
import ray


def leaks(folder, secrets):
    """Names of log files below Ray's folder that hold one of these, and which."""
    logs = [path for path in Path(folder).rglob("*") if path.is_file() and "logs" in path.parts]
    assert any("ingress" in path.name for path in logs)
    return [(path.name, each) for path in logs for each in secrets if each.encode() in path.read_bytes()]


def metrics():
    """Of Ray's only node, as Prometheus gets them."""
    (node,) = ray.nodes()
    return httpx.get(f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics").text
