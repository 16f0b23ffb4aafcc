"""What Ray's Prometheus endpoints say of a job."""

import json
import time
import urllib.request
from pathlib import Path
from typing import Any

SECONDS_APART = 2.0


def metrics_while(run: Any, ray_folder: Path) -> str:
    """The pages as they were again and again while the job ran, one after another; returns when the job has ended."""
    seen = []
    while run.process.poll() is None:
        seen += _pages(ray_folder)
        time.sleep(SECONDS_APART)
    assert any("ray_data_" in page for page in seen), f"no metrics of Ray Data were read: {run.output()}"
    return "\n".join(seen)


def _pages(ray_folder: Path) -> list[str]:
    pages = []
    for listing in ray_folder.rglob("prom_metrics_service_discovery.json"):
        for target in json.loads(listing.read_text()):
            for address in target["targets"]:
                try:
                    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as page:
                        pages.append(page.read().decode())
                except OSError:
                    continue  # not up yet, or no longer
    return pages
