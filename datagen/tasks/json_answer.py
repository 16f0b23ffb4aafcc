"""The JSON of a model's answer, also where it stands in a code fence or breaks off."""

from contextlib import suppress
from typing import Any

from pydantic_core import from_json

_SPACES = dict.fromkeys(range(32), " ")


def read_json(answer: str) -> tuple[Any, bool]:
    """The value of an answer, and whether the answer breaks off.

    Of an answer that breaks off only what is complete remains: the list `[...]`, or the one in `{"key": [...]}`, of
    objects, lists or strings ends with its last complete item.

    Raises:
        ValueError: where the answer is no JSON, neither whole nor broken off.
    """
    # Constrained decoding lets bare control characters into strings, where JSON does not.
    text = _unfenced(answer.translate(_SPACES))
    try:
        return from_json(text), False
    except ValueError as error:
        if "EOF" not in str(error):
            raise ValueError("not JSON") from None
    for closing in ("}", "]}", "]"):
        with suppress(ValueError):
            return from_json(text.rstrip().removesuffix(",") + closing), True
    value = from_json(text, allow_partial="trailing-strings")
    if isinstance(value, dict):
        return {key: _without_last(part) for key, part in value.items()}, True
    return _without_last(value), True


def _without_last(value: Any) -> Any:
    return value[:-1] if isinstance(value, list) else value


def _unfenced(answer: str) -> str:
    """What stands in the first code fence, for an answer that does not begin with JSON."""
    text = answer.strip()
    if "```" in text and text[0] not in "[{":
        text = text.split("```")[1].removeprefix("json")
    # The closing fence may have broken off as well.
    return text.rstrip("`").strip()
