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
    """The part of a hit's text that holds most of its highlights, each in bold between marks."""
    spans = hit["highlights"]
    starts = [max(0, start - SHOWN // 4) for start, _ in spans] or [0]
    first = max(starts, key=lambda start: sum(start <= begin and end <= start + SHOWN for begin, end in spans))
    snippet, position = Text("   "), first
    for begin, end in spans:
        if first <= begin and end <= first + SHOWN:
            snippet.append(hit["text"][position:begin]).append(f"»{hit['text'][begin:end]}«", style="bold")
            position = end
    return snippet.append(hit["text"][position : first + SHOWN])
