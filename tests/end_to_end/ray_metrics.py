"""What Ray's Prometheus endpoints say of a job."""

import json
import time
import urllib.request
from pathlib import Path
from typing import Any


def metrics_once_said(words: str, run: Any, ray_folder: Path) -> str:
    """The pages as they are when the job's output has the words; returns when the job has ended."""
    seen = ""
    while run.process.poll() is None:
        if words in run.output() and not seen:
            seen = _pages(ray_folder)
        time.sleep(0.2)
    assert "ray_" in seen, f"no metrics were read: {run.output()}"
    return seen


def _pages(ray_folder: Path) -> str:
    pages = []
    for listing in ray_folder.rglob("prom_metrics_service_discovery.json"):
        for target in json.loads(listing.read_text()):
            for address in target["targets"]:
                with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as page:
                    pages.append(page.read().decode())
    return "\n".join(pages)
