"""One self-contained HTML page of sections; every report of this project is made of these parts."""

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import jinja2


class Table(NamedTuple):
    """Rows of text; a cell that reads as a number stands to the right."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""
    kind: str = "table"


class Plot(NamedTuple):
    """An SVG drawing, inline."""

    svg: str
    title: str
    caption: str
    kind: str = "plot"


class Passage(NamedTuple):
    """Text to read: its pieces, each with whether it is marked, and facts about it."""

    heading: str
    pieces: Sequence[tuple[str, bool]]
    facts: Sequence[tuple[str, str]] = ()
    kind: str = "passage"


class Section(NamedTuple):
    """What stands under one heading."""

    title: str
    parts: Sequence[Table | Plot | Passage]
    text: str = ""


def write_page(path: Path, title: str, sections: Sequence[Section], lead: str = "") -> None:
    """Write the page; everything in it is escaped but the drawings."""
    template = (files(__package__) / "page.html.jinja").read_text("utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    environment.tests["a_number"] = _is_number
    page = environment.from_string(template).render(title=title, lead=lead, sections=[s for s in sections if s.parts])
    path.write_text(page, "utf-8")


def _is_number(text: str) -> bool:
    try:
        float(text.split()[0].rstrip("*%").replace(",", "")) if text else None
    except (ValueError, IndexError):
        return text == "-"
    return bool(text)
