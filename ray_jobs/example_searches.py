"""A few searches over HTTP, printed with their hits and the words or passage that answer."""

from typing import Any

import httpx
from pydantic import BaseModel
from rich.console import Console
from rich.text import Text

HITS = 3
SHOWN = 240
"""Characters of a hit's text that are printed."""


class ExampleSettings(BaseModel):
    """What the pipeline asks the running service at its end."""

    queries: list[str] = []


def show_example_searches(url: str, settings: ExampleSettings) -> None:
    """Ask each query of the service and print the first hits."""
    console = Console(highlight=False)
    for query in settings.queries:
        response = httpx.post(f"{url}/v1/search", json={"query": query, "k": HITS}, timeout=60)
        response.raise_for_status()
        answer = response.json()
        console.print(f'\nPOST {url}/v1/search {{"query": "{query}", "k": {HITS}}}', style="bold")
        for rank, hit in enumerate(answer["hits"], 1):
            console.print(f"{rank}. {hit['note_id']}, {hit['note_type']}, score {hit['score']:.3f}")
            console.print(_snippet(hit))


def _snippet(hit: dict[str, Any]) -> Text:
    """The part of a hit's text around its first highlight, or its beginning, highlighted."""
    text = Text(hit["text"])
    for start, end in hit["highlights"]:
        text.stylize("bold reverse", start, end)
    first = hit["highlights"][0][0] if hit["highlights"] else 0
    start = max(0, min(first - SHOWN // 3, len(text) - SHOWN))
    return Text("   ") + text[start : start + SHOWN]
