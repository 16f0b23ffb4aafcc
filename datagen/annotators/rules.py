"""The offline annotator: names, drug and procedure indications, measured values and descriptive phrases by rule.

It stands in for the language model of DR.EHR's second stage, which lists the diagnoses, procedures and
prescriptions that a passage states or implies. All knowledge is in `rules.yaml`; this file only applies it.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.resources import files
from itertools import pairwise
from math import inf
from typing import NamedTuple, get_args

import yaml
from pydantic import BaseModel, ConfigDict

from datagen.annotators.base import Annotator, Finding, Kind
from datagen.assertion import Assertion, AssertionContext, lower_ascii
from datagen.training_notes import TrainingNote

_TOKEN = re.compile(r"[A-Za-z0-9]+")
_JOINTS = {"", "-", "/", "'", "’", "&"}
"""What may stand, beside white space, between two words of one form."""
_NUMBER = r"(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)(?!\d|/|\.\d)"
_SERIES = re.compile(
    r"(?:\s*(?:[:=(]|\b(?:levels?|values?|results?|score|of|was|were|is|at|on|admission|today|now|increased|rose|"
    r"rising|elevated|peaked|trended|trending|up|down|decreased|dropped|fell|low|high|went|estimated|calculated|"
    r"approximately|about|only|initially|found|to|be|from|measured|came|back|returned|positive|the|in)\b)){0,6}\s*"
    rf"(?P<sign>[<>]?)=?\s*(?P<series>-?{_NUMBER}(?:\s*%?\s*(?:-+>|=>|→|-|to|then)\s*{_NUMBER})*)",
    re.IGNORECASE,
)


class ValueRule(BaseModel):
    """A measured value that implies a name."""

    model_config = ConfigDict(extra="forbid")

    names: list[str]
    implies: str
    at_least: float | None = None
    at_most: float | None = None
    up_to: float = inf
    """Largest value believed; above it the number has another unit or meaning."""
    down_to: float = -inf
    rise: float | None = None
    """Smallest ratio of the last value of a series to its first."""

    def holds(self, sign: str, values: list[float]) -> bool:
        """Whether the series implies the name; "< 7" says nothing about a lower bound, "> 7" nothing about an upper."""
        if (sign == "<" and self.at_least is not None) or (sign == ">" and self.at_most is not None):
            return False
        if self.rise is not None:
            return len(values) > 1 and values[-1] >= self.rise * values[0] and self._within(values[-1])
        return any(self._within(value) for value in values)

    def _within(self, value: float) -> bool:
        lower = self.down_to if self.at_least is None else self.at_least
        upper = self.up_to if self.at_most is None else self.at_most
        return lower <= value <= upper


class RuleBook(BaseModel):
    """The content of `rules.yaml`; the comments in the file say what each section means."""

    model_config = ConfigDict(extra="forbid")

    ignore: list[str]
    diagnosis: dict[str, list[str]]
    procedure: dict[str, list[str]]
    prescription: dict[str, list[str]]
    implied_by: dict[str, list[str]]
    values: list[ValueRule]
    phrases: dict[str, list[str]]

    def kinds(self) -> dict[str, Kind]:
        """The kind of each standard name."""
        return {name: kind for kind in get_args(Kind) for name in getattr(self, kind)}

    def forms(self) -> Iterator[tuple[str, str]]:
        """(surface form, standard name) of everything that can be stated."""
        for kind in get_args(Kind):
            for name, others in getattr(self, kind).items():
                yield from ((form, name) for form in (name, *others))


@cache
def rule_book() -> RuleBook:
    """The packaged rules."""
    text = (files(__package__) / "rules.yaml").read_text("utf-8")
    return RuleBook.model_validate(yaml.load(text, Loader=yaml.CSafeLoader))


class _Form(NamedTuple):
    words: tuple[str, ...]
    """lower-cased"""
    exact: tuple[str, ...] | None
    """the words as they must be written, for a form whose case counts"""
    before_colon: bool
    meaning: str | tuple[ValueRule, ...] | None


class _Mention(NamedTuple):
    start: int
    end: int
    name: str
    implied: bool
    measured: bool = False
    """True for a value, which is the patient's own and is not undone by a "negative for" before it."""


class RuleAnnotator(Annotator):
    """Applies the packaged rules; deterministic, no model, some hundred passages a second on one core."""

    provenance = "rule"

    def __init__(self) -> None:
        book = rule_book()
        self._kinds = book.kinds()
        self._indications: dict[str, list[str]] = defaultdict(list)
        for implied, names in book.implied_by.items():
            for name in names:
                self._indications[name].append(implied)
        self._phrases = [(name, re.compile("|".join(patterns))) for name, patterns in book.phrases.items()]
        # One scan finds where any phrase begins; which ones do is asked there only.
        every = "|".join(pattern for patterns in book.phrases.values() for pattern in patterns)
        self._any_phrase = re.compile(rf"(?<!\w)(?:{every})")
        self._forms: dict[str, list[_Form]] = defaultdict(list)
        for form, name in book.forms():
            self._add(form, name)
        values: dict[str, list[ValueRule]] = defaultdict(list)
        for rule in book.values:
            for form in rule.names:
                values[form].append(rule)
        for form, rules in values.items():
            self._add(form, tuple(rules))
        for form in book.ignore:
            self._add(form, None)
        for candidates in self._forms.values():
            candidates.sort(key=lambda form: (len(form.words), form.before_colon), reverse=True)

    def _add(self, form: str, meaning: str | tuple[ValueRule, ...] | None) -> None:
        words = tuple(_TOKEN.findall(form))
        lower = tuple(word.lower() for word in words)
        exact = words if form.isupper() or len(form) <= 2 else None
        self._forms[lower[0]].append(_Form(lower, exact, form.endswith(":"), meaning))
        if exact is None and not lower[-1].endswith("s") and lower[-1].isalpha():
            plural = (*lower[:-1], lower[-1] + "s")
            self._forms[plural[0]].append(_Form(plural, None, form.endswith(":"), meaning))

    def findings(self, notes: Sequence[TrainingNote], counts: Counter[str]) -> list[list[Finding]]:
        """The findings of every chunk, each read by itself."""
        return self.annotate([text for note in notes for _, text in note.chunks()])

    def annotate(self, texts: Sequence[str]) -> list[list[Finding]]:
        """The findings of each text; one term may stand there under several assertions, each once."""
        return [self._annotate(text) for text in texts]

    def _annotate(self, text: str) -> list[Finding]:
        mentions = sorted([*self._stated(text), *self._described(text)])
        if not mentions:
            return []
        context = AssertionContext(text)
        found: dict[tuple[str, Assertion], Finding] = {}

        def add(term: str, assertion: Assertion, implied: bool) -> None:
            earlier = found.get((term, assertion))
            if earlier is None or (earlier.implied and not implied):
                found[term, assertion] = Finding(term, self._kinds[term], assertion, implied)

        for mention in mentions:
            assertion = context.of(mention.start, mention.end)
            if mention.measured and assertion in ("negated", "family"):
                assertion = "present"
            add(mention.name, assertion, mention.implied)
            if not mention.implied and assertion in ("present", "historical"):
                for indication in self._indications.get(mention.name, ()):
                    add(indication, assertion, True)
        denied = {f.term for f in found.values() if f.assertion == "negated" and not f.implied}
        return [f for f in found.values() if not (f.implied and f.term in denied)]

    def _stated(self, text: str) -> Iterator[_Mention]:
        tokens = [(match.start(), match.end(), match[0]) for match in _TOKEN.finditer(text)]
        words = [word.lower() for _, _, word in tokens]
        place = 0
        while place < len(tokens):
            form = self._longest(text, tokens, words, place)
            if form is None:
                place += 1
                continue
            start, end = tokens[place][0], tokens[place + len(form.words) - 1][1]
            place += len(form.words)
            if isinstance(form.meaning, str):
                yield _Mention(start, end, form.meaning, False)
            elif form.meaning and (series := _SERIES.match(text, end)):
                values = _numbers(series["series"])
                for rule in form.meaning:
                    if rule.holds(series["sign"], values):
                        yield _Mention(start, series.end(), rule.implies, True, True)

    def _longest(self, text: str, tokens: list[tuple[int, int, str]], words: list[str], place: int) -> _Form | None:
        for form in self._forms.get(words[place], ()):
            after = place + len(form.words)
            if tuple(words[place:after]) != form.words:
                continue
            found = tokens[place:after]
            if form.exact and tuple(word for _, _, word in found) != form.exact:
                continue
            gaps = (text[left[1] : right[0]].strip() for left, right in pairwise(found))
            if any(gap not in _JOINTS for gap in gaps):
                continue
            if form.before_colon and text[found[-1][1] : found[-1][1] + 1] != ":":
                continue
            return form
        return None

    def _described(self, text: str) -> Iterator[_Mention]:
        lower = lower_ascii(text)
        for place in self._any_phrase.finditer(lower):
            for name, pattern in self._phrases:
                if match := pattern.match(lower, place.start()):
                    yield _Mention(match.start(), match.end(), name, True)


def _numbers(series: str) -> list[float]:
    signed = series.startswith("-")
    numbers = [float(number.replace(",", "")) for number in re.findall(_NUMBER, series)]
    return [-numbers[0], *numbers[1:]] if signed else numbers
