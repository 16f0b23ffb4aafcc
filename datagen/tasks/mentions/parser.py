"""A list of mentions."""

from typing import Any


def parse(answer: dict[str, list[dict[str, str]]]) -> list[dict[str, Any]]:
    """The mentions as they are: each has every field, empty where the passage says nothing of it."""
    return answer["mentions"]
