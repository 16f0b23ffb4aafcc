"""What every LLM task does: turn a passage into messages, and the model's answer into items."""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from jsonschema import Draft202012Validator
from pydantic import BaseModel, ConfigDict, PositiveInt, model_validator

from datagen.tasks.json_answer import read_json

_PLACEHOLDER = re.compile(r"\{(\w+)\}")


class Parsed(NamedTuple):
    """The items of an answer."""

    items: list[Any]
    """JSON values"""
    is_truncated: bool
    """True where a cut-off answer was repaired to its last complete item"""


class UnusableAnswer(ValueError):  # noqa: N818 - it is the answer that is wrong
    """An answer that gives no items; holds a reason code and never any of the answer's text."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        """truncated, not_json or wrong_form"""


class Prompt(BaseModel):
    """The content of a task's `prompt.yaml`."""

    model_config = ConfigDict(extra="forbid")

    system: str
    """The instruction: the same for every text and query, so that engines cache it; may hold {variant}"""
    user: str
    """Holds {text} once, {query} where the task reads a query, and may hold {variant}"""
    variants: dict[str, str] = {"": ""}
    """The words put for {variant}, by the variant's name; left out by a task of one variant"""
    max_tokens: PositiveInt
    """Of the answer"""

    @model_validator(mode="after")
    def _placeholders_can_be_filled(self) -> "Prompt":
        in_system, in_user = set(_PLACEHOLDER.findall(self.system)), _PLACEHOLDER.findall(self.user)
        if unknown := in_system - {"variant"} | set(in_user) - {"variant", "text", "query"}:
            raise ValueError(
                f"nothing to put for {{{min(unknown)}}}; system takes {{variant}}, user also text and query"
            )
        if in_user.count("text") != 1:
            raise ValueError("user: put {text} there once")
        if ("variant" in in_system.union(in_user)) != ("variants" in self.model_fields_set):
            raise ValueError("variants: list them where {variant} is used, and only there")
        return self


class Task:
    """One task for a language model; `parse` raises UnusableAnswer and nothing else.

    An answer of a task without a schema is text, and useless where it was cut off. One of a task with a schema is
    JSON; where the schema has a single list, a cut-off answer is repaired to the last complete item of it.
    """

    def __init__(
        self, name: str, prompt: Prompt, schema: dict[str, Any] | None, parser: Callable[[Any], list[Any]]
    ) -> None:
        """`parser` makes items of an answer: of its text, or of its decoded JSON that the schema admits."""
        self.name = name
        self.variants = tuple(prompt.variants)
        self.max_tokens = prompt.max_tokens
        if schema is not None:
            Draft202012Validator.check_schema(schema)
        self.schema = schema
        """What decoding is constrained to; None where the answer is free text"""
        self.needs_query = "{query}" in prompt.user
        self._prompt = prompt
        self._parser = parser
        self._only_list = _only_list(schema or {})

    def messages(self, text: str, variant: str = "", query: str = "") -> list[dict[str, str]]:
        """The system and the user message in OpenAI's chat form, with text and query verbatim.

        Raises:
            ValueError: on an unknown variant, a missing query, or a query to a task that reads none.
        """
        if variant not in self.variants:
            raise ValueError(f"task {self.name} has no variant {variant!r}; known: {', '.join(self.variants)}")
        if bool(query) != self.needs_query:
            raise ValueError(f"task {self.name} {'needs a' if self.needs_query else 'reads no'} query")
        words = {"text": text, "variant": self._prompt.variants[variant], "query": query}
        return [
            {"role": role, "content": _PLACEHOLDER.sub(lambda match: words[match[1]], content)}
            for role, content in (("system", self._prompt.system), ("user", self._prompt.user))
        ]

    def parse(self, answer: str, is_truncated: bool) -> Parsed:
        """The items of an answer; `is_truncated` says that the engine stopped it at its greatest length.

        Raises:
            UnusableAnswer: with reason `truncated`, `not_json` or `wrong_form`.
        """
        # A lone surrogate, which JSON can carry, cannot be written to any file.
        answer = answer.encode(errors="replace").decode()
        if self.schema is None:
            if is_truncated:
                raise UnusableAnswer("truncated")
            return Parsed(self._parser(answer), False)
        try:
            value, is_cut = read_json(answer)
        except ValueError:
            raise UnusableAnswer("truncated" if is_truncated else "not_json") from None
        if self._only_list and isinstance(value, list):
            value = {self._only_list: value}
        complete_items = isinstance(value, dict) and value.get(self._only_list)
        if (is_cut or is_truncated) and not complete_items:
            raise UnusableAnswer("truncated")
        if not Draft202012Validator(self.schema).is_valid(value):
            raise UnusableAnswer("wrong_form")
        return Parsed(self._parser(value), is_truncated or is_cut)


def _only_list(schema: dict[str, Any]) -> str | None:
    """The name of the property, where an object of the schema holds one list and nothing else."""
    properties = schema.get("properties", {})
    lists = [name for name, part in properties.items() if part.get("type") == "array"]
    return lists[0] if lists and len(properties) == 1 else None
