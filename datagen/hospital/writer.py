"""Turns phrases into note text and keeps where every mention lies, what it means and whether it is asserted."""

import random
import re
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from datagen.hospital.chart import Chart
from datagen.hospital.facts import Concept
from datagen.hospital.lexicon import Mention, Wording

_ROUTE = re.compile(r"IV|SC|SL|IM|inhaled|patch|drop|puff|nebul|nasal|tablet")

_PIECE = re.compile(r"\{(?:[^{}]|\{[^{}]*\})*\}|[^{}]+")
_NEXT_OPTION = re.compile(r"\|(?![^{]*\})")

Filling = str | Concept | Sequence[Concept]


class Slot(str):
    """The name of a place to fill in a phrase."""


class Writer:
    """Writes one note, with the habits of its author."""

    def __init__(self, chart: Chart, brackets: bool, time: datetime) -> None:
        """`brackets`: the patient's hospital de-identifies as `[**...**]` rather than `___`."""
        self.chart, self.facts, self.rng, self.time = chart, chart.facts, chart.rng, time
        self.mentions: list[Mention] = []
        self.text = ""
        self._separator = ""
        self._items = 0
        self._brackets = brackets
        self.terse = self.rng.random() < 0.5
        self._abbreviating = self.rng.uniform(0.3, 0.8) if self.terse else self.rng.uniform(0.0, 0.3)
        self._misspelling = self.rng.choice([0.0, 0.01, 0.04])
        self._lower_case = self.terse and self.rng.random() < 0.4
        self._bullet = self.rng.choice(["- ", "* ", "", "#"])
        self._before_heading = "\n\n" if self.rng.random() < 0.5 else "\n"
        age = str(time.year - chart.birth_year)
        aged = f"{'an' if age.startswith('8') else 'a'} {age}{self.rng.choice([' year old', '-year-old'])}"
        self.words: dict[str, Filling] = {"age": age, "aged": aged, "Aged": aged.capitalize(), "side": chart.side}
        self.words |= self.facts.phrases["sexes"][chart.sex]

    def heading(self, key: str) -> None:
        """Start a section under one of the headings for `key`."""
        self._append(self.rng.choice(self.facts.phrases["headings"][key]) + ":", self._before_heading)
        self._separator = self.rng.choice(["\n", " "])
        self._items = 0

    def item(self) -> None:
        """Put what follows on a line of its own, as an item of a list."""
        self._items += 1
        self._append(f"{self._items}. " if self._bullet == "#" else self._bullet, "\n")
        self._separator = ""

    def phrase(self, key: str) -> str:
        """The phrase for `key`: one of them where there are several, in the author's style where there are styles."""
        phrases = self.facts.phrases[key]
        if isinstance(phrases, dict):
            phrases = phrases["terse" if self.terse else "full"]
        return phrases if isinstance(phrases, str) else self.rng.choice(phrases)

    def say(
        self,
        template: str,
        *,
        asserted: bool = True,
        implies: Concept | None = None,
        end: str = ".",
        sentence: bool = True,
        **slots: Filling,
    ) -> None:
        """Write a statement: fill the slots, find every wording in it, note what it implies.

        A `sentence` starts with a capital (nearly always), a part of a list does not.
        """
        text, mentions = self._fill(template, slots, broader=asserted)
        for found in self.facts.lexicon.scan(text):
            if all(found.end <= mention.start or found.start >= mention.end for mention in mentions):
                mentions.append(found)
        if sentence and (not self.terse or self.rng.random() < 0.3):
            text = text[0].upper() + text[1:]
        if implies:
            mentions.append(Mention(0, len(text), implies.concept_id, "implication", template))
        begin = self._append(text + end, self._separator)
        self._separator = " "
        for found in mentions:
            mention = found._replace(start=begin + found.start, end=begin + found.end, asserted=asserted)
            self.mentions.append(mention)
            betrayed = self.facts.concepts[mention.concept].indicates
            if asserted and betrayed in self.chart.true and not mention.pattern:
                pattern = f"{betrayed}/drug:{mention.concept}"
                self.mentions.append(mention._replace(concept=betrayed, kind="implication", pattern=pattern))

    def line(self) -> None:
        """Put what follows on a line of its own."""
        self._separator = "\n"

    def imply(self, concept: Concept, pattern: str) -> None:
        """State a pattern, with one of the patient's drugs for the concept where it asks for one."""
        if "{rx}" in pattern:
            drug = self.rng.choice(self.chart.treatments(concept))
            self.words |= {"rx": drug, "dose": self.dose(self.chart.drugs[drug.concept_id])}
        self.say(pattern, implies=concept)

    def lasting(self, key: str, count: int) -> list[str]:
        """Up to `count` of the phrases for `key`, slots filled, the same ones in every note of the patient."""
        if key not in self.chart.lasting:
            chosen = self.chart.some(self.facts.phrases[key], count)
            self.chart.lasting[key] = [self._fill(phrase, {}, broader=False)[0] for phrase in chosen]
        return self.chart.lasting[key]

    def dose(self, dose: str) -> str:
        """The dose as this author writes it."""
        if not self.terse:
            return " ".join(self.facts.phrases["times"].get(word, word) for word in dose.split())
        by_mouth = self.rng.random() < 0.5 and not _ROUTE.search(dose)
        return re.sub(r"(mg|mcg|g) ", r"\1 PO ", dose, count=1) if by_mouth else dose

    def date(self, days_ago: int = 0) -> str:
        """A de-identified date, shifted alike in all notes where it is shown at all."""
        day = self.time - timedelta(days=days_ago)
        return f"[**{day.year + 140}-{day.month}-{day.day}**]" if self._brackets else "___"

    def _append(self, text: str, separator: str) -> int:
        """Where the appended text starts."""
        self.text += separator if self.text else separator.lstrip()
        start = len(self.text)
        self.text += text
        return start

    def _fill(self, template: str, slots: dict[str, Filling], broader: bool) -> tuple[str, list[Mention]]:
        """The text with its slots filled, and the mentions in concept slots.

        `broader`: a condition or procedure may be called by a broader name (never where it is denied: the patient
        may have another kind of it).
        """
        out = ""
        mentions: list[Mention] = []
        for piece in pieces(template, self.rng):
            value: Filling = piece
            if isinstance(piece, Slot):
                value = slots[piece] if piece in slots else self._value(piece)
            if isinstance(value, str):
                out += value
                continue
            concepts = [value] if isinstance(value, Concept) else value
            joint = ", " if self.terse else " or " if piece == "ors" else " and "
            for number, concept in enumerate(concepts, start=1):
                text, concept_id, kind = self._wording(concept, broader and piece in ("c", "history"))
                mentions.append(Mention(len(out), len(out) + len(text), concept_id, kind))
                out += text + ("" if number == len(concepts) else joint if number == len(concepts) - 1 else ", ")
        return out, mentions

    def _wording(self, concept: Concept, broader: bool) -> Wording:
        """How this author calls the concept now."""
        rng = self.rng
        if broader and concept.is_a and rng.random() < 0.1:
            concept = self.facts.concepts[rng.choice(concept.is_a)]
        if concept.abbreviations and rng.random() < self._abbreviating:
            text = rng.choice(concept.abbreviations)
            return Wording(text.lower() if self._lower_case else text, concept.concept_id, "abbreviation")
        roll = rng.random()
        if concept.narrower and roll < 0.25:
            chosen = self.chart.narrower.setdefault(concept.concept_id, rng.choice(concept.narrower))
            return Wording(chosen, concept.concept_id, "hyponym")
        synonym = bool(concept.synonyms) and roll < 0.6
        text = rng.choice(concept.synonyms) if synonym else concept.name
        if len(text) > 7 and rng.random() < self._misspelling:
            return Wording(self._misspelled(text), concept.concept_id, "synonym")
        return Wording(text, concept.concept_id, "synonym" if synonym else "name")

    def _misspelled(self, text: str) -> str:
        """The text with two letters exchanged, one dropped or one doubled, inside its longest word."""
        word = max(text.split(), key=len)
        at = self.rng.randint(1, len(word) - 3)
        one, two = word[at], word[at + 1]
        wrong = self.rng.choice([two + one, two, one + one + two])
        return text.replace(word, word[:at] + wrong + word[at + 2 :], 1)

    def _value(self, slot: str) -> Filling:
        """A number, a kept number, or a word about the patient, the place or the time."""
        if "~" in slot:
            name, _, span = slot.rpartition("=")
            low, high = map(float, span.split("~"))
            decimals = len(span.partition("~")[0].partition(".")[2])
            number = self.chart.kept(name, low, high) if name else self.rng.uniform(low, high)
            return f"{number:.{decimals}f}"
        if slot == "date":
            return self.date(self.rng.choice([0, 0, 1, 2]))
        if slot == "earlier":
            return self.date(self.rng.randint(60, 500))
        marks = self.facts.phrases["deidentified"]["brackets" if self._brackets else "blanks"]
        if slot in marks:
            number = self.rng.randint(10, 9999)
            return marks[slot].format(number=number, small=number % 90, name=self.chart.name_mark, **self.words)
        return self.words[slot]


def pieces(template: str, rng: random.Random) -> Iterator[str]:
    """The text and the slots `{name}` of a template in order, with every choice `{one|other}` made.

    Unbalanced braces, and a choice in a choice in a choice, raise ValueError.
    """
    found = _PIECE.findall(template)
    if "".join(found) != template:
        raise ValueError(f"unbalanced braces, or more than two deep, in phrase {template!r}")
    for piece in found:
        inside = piece[1:-1]
        if piece[0] != "{":
            yield piece
        elif "|" in inside:
            yield from pieces(rng.choice(_NEXT_OPTION.split(inside)), rng)
        else:
            yield Slot(inside)
