"""Turns phrases into note text and keeps where every mention lies, what it means and whether it is asserted."""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from datagen.hospital.chart import Chart
from datagen.hospital.facts import Concept, Pattern
from datagen.hospital.lexicon import Kind, Wording
from datagen.hospital.templates import pieces

_TIMES = {
    "BID": "twice daily",
    "TID": "three times daily",
    "QID": "four times daily",
    "QHS": "at bedtime",
    "PRN": "as needed",
}

Filling = str | Concept | Sequence[Concept]


class Mention(NamedTuple):
    """`text[start:end]` of a note speaks of a concept; asserted unless negated, of a relative, or hypothetical."""

    start: int
    end: int
    concept: str
    kind: Kind
    pattern: str
    """The implication pattern's id; empty for a mention by name."""
    asserted: bool


@dataclass(frozen=True)
class Author:
    """A note writer's habits."""

    style: str
    """`full` sentences or `terse` telegrams."""
    brackets: bool
    """De-identified as `[**...**]` rather than `___`."""
    abbreviating: float
    misspelling: float
    lower_case: bool
    bullet: str
    spaced: bool


def pick_author(rng: random.Random, brackets: bool) -> Author:
    """An author; the form of de-identification belongs to the patient's hospital."""
    terse = rng.random() < 0.5
    return Author(
        style="terse" if terse else "full",
        brackets=brackets,
        abbreviating=rng.uniform(0.3, 0.8) if terse else rng.uniform(0.0, 0.3),
        misspelling=rng.choice([0.0, 0.01, 0.04]),
        lower_case=terse and rng.random() < 0.4,
        bullet=rng.choice(["- ", "* ", "", "#"]),
        spaced=rng.random() < 0.5,
    )


class Writer:
    """Writes one note."""

    def __init__(self, chart: Chart, author: Author, rng: random.Random, time: datetime) -> None:
        self.chart, self.author, self.rng = chart, author, rng
        self.facts = chart.facts
        self.time = time
        self.mentions: list[Mention] = []
        self._parts: list[str] = []
        self._length = 0
        self._separator = ""
        self._items = 0
        self._common = self._person(time.year - chart.birth_year)

    @property
    def text(self) -> str:
        """The note so far."""
        return "".join(self._parts)

    def heading(self, key: str) -> None:
        """Start a section under one of the headings for `key`."""
        self._append(self.rng.choice(self.facts.phrases["headings"][key]) + ":", "\n\n" if self.author.spaced else "\n")
        self._separator = self.rng.choice(["\n", " "])
        self._items = 0

    def item(self) -> None:
        """Put what follows on a line of its own, as an item of a list."""
        self._items += 1
        bullet = f"{self._items}. " if self.author.bullet == "#" else self.author.bullet
        self._append(bullet, "\n")
        self._separator = ""

    def line(self) -> None:
        """Put what follows on a line of its own."""
        self._separator = "\n"

    def phrase(self, key: str) -> str:
        """One of the phrases for `key`, in the author's style where there are styles."""
        phrases = self.facts.phrases[key]
        return self.rng.choice(phrases[self.author.style] if isinstance(phrases, dict) else phrases)

    def say(
        self,
        template: str,
        *,
        asserted: bool = True,
        implies: tuple[Concept, Pattern] | None = None,
        end: str = ".",
        sentence: bool = True,
        **slots: Filling,
    ) -> None:
        """Write a statement: fill the slots, find every wording in it, note what it implies.

        A `sentence` starts with a capital (nearly always), a part of a list does not.
        """
        text, mentions = self._fill(template, slots, broader=asserted)
        taken = [(mention.start, mention.end) for mention in mentions]
        for start, stop, wording in self.facts.lexicon.scan(text):
            if all(stop <= begin or start >= finish for begin, finish in taken):
                mentions.append(Mention(start, stop, wording.concept, wording.kind, "", True))
        if sentence and (self.author.style == "full" or self.rng.random() < 0.3):
            text = text[0].upper() + text[1:]
        start = self._append(text + end, self._separator)
        self._separator = " "
        if implies:
            concept, pattern = implies
            mentions.append(Mention(0, len(text), concept.concept_id, "implication", pattern.pattern_id, True))
        for mention in mentions:
            self._note(mention._replace(start=start + mention.start, end=start + mention.end), asserted)

    def lasting(self, key: str, count: int) -> list[str]:
        """Up to `count` of the phrases for `key`, slots filled, the same ones in every note of the patient."""
        if key not in self.chart.lasting:
            phrases = self.facts.phrases[key]
            chosen = self.rng.sample(phrases, min(count, len(phrases)))
            self.chart.lasting[key] = [self._fill(phrase, {}, broader=False)[0] for phrase in chosen]
        return self.chart.lasting[key]

    def imply(self, concept: Concept, pattern: Pattern) -> None:
        """State a pattern from which `concept` follows."""
        if "{rx}" not in pattern.text:
            self.say(pattern.text, implies=(concept, pattern))
            return
        drug = self.rng.choice(self.chart.treatments(concept))
        dose = self.dose(self.chart.drugs[drug.concept_id])
        self.say(pattern.text.replace("{rx}", "{rx} {dose}"), implies=(concept, pattern), rx=drug, dose=dose)

    def dose(self, dose: str) -> str:
        """The dose as this author writes it."""
        if self.author.style == "full":
            return " ".join(_TIMES.get(word, word) for word in dose.split())
        route = self.rng.random() < 0.5 and not re.search(
            r"IV|SC|SL|IM|inhaled|patch|drop|puff|nebul|nasal|tablet", dose
        )
        return re.sub(r"(mg|mcg|g) ", r"\1 PO ", dose, count=1) if route else dose

    def date(self, days_ago: int = 0) -> str:
        """A de-identified date, shifted alike in all notes where it is shown at all."""
        if not self.author.brackets:
            return "___"
        day = self.time - timedelta(days=days_ago)
        return f"[**{day.year + 140}-{day.month}-{day.day}**]"

    def _note(self, mention: Mention, asserted: bool) -> None:
        mention = mention._replace(asserted=asserted)
        self.mentions.append(mention)
        betrayed = self.facts.concepts[mention.concept].indicates
        if asserted and betrayed and not mention.pattern and self.chart.has(betrayed):
            pattern = f"{betrayed}/drug:{mention.concept}"
            self.mentions.append(mention._replace(concept=betrayed, kind="implication", pattern=pattern))

    def _append(self, text: str, separator: str) -> int:
        separator = separator if self._length else separator.lstrip()
        start = self._length + len(separator)
        self._parts += [separator, text]
        self._length = start + len(text)
        return start

    def _fill(self, template: str, slots: dict[str, Filling], broader: bool) -> tuple[str, list[Mention]]:
        """The text with its slots filled, and the mentions in concept slots.

        `broader`: a condition or procedure may be called by a broader name (never where it is denied: the patient
        may have another kind of it).
        """
        out = ""
        mentions: list[Mention] = []
        for piece in pieces(template, self.rng):
            if isinstance(piece, str):
                out += piece
                continue
            part = piece.name
            value = slots[part] if part in slots else self._value(part)
            if isinstance(value, str):
                out += value
                continue
            concepts = [value] if isinstance(value, Concept) else value
            joint = "or" if part == "ors" else "and"
            for place, concept in enumerate(concepts):
                if place:
                    last = place == len(concepts) - 1 and self.author.style == "full"
                    out += f" {joint} " if last else ", "
                spelled = self._wording(concept, broader and part in ("c", "cs"))
                mentions.append(
                    Mention(len(out), len(out) + len(spelled.text), spelled.concept, spelled.kind, "", True)
                )
                out += spelled.text
        return out, mentions

    def _wording(self, concept: Concept, broader: bool) -> Wording:
        """How this author calls the concept now."""
        rng = self.rng
        if broader and concept.is_a and rng.random() < 0.1:
            concept = self.facts.concepts[rng.choice(concept.is_a)]
        if concept.abbreviations and rng.random() < self.author.abbreviating:
            wording = Wording(rng.choice(concept.abbreviations), concept.concept_id, "abbreviation")
            return wording._replace(text=wording.text.lower()) if self.author.lower_case else wording
        roll = rng.random()
        if concept.narrower and roll < 0.25:
            chosen = self.chart.narrower.setdefault(concept.concept_id, rng.choice(concept.narrower))
            return Wording(chosen, concept.concept_id, "hyponym")
        synonym = bool(concept.synonyms) and roll < 0.6
        text = rng.choice(concept.synonyms) if synonym else concept.name
        if len(text) > 7 and rng.random() < self.author.misspelling:
            return Wording(self._misspelled(text), concept.concept_id, "synonym")
        return Wording(text, concept.concept_id, "synonym" if synonym else "name")

    def _misspelled(self, text: str) -> str:
        """The text with two letters exchanged, one dropped or one doubled, inside its longest word."""
        word = max(text.split(), key=len)
        at = self.rng.randint(1, len(word) - 3)
        wrong = self.rng.choice(
            [
                word[:at] + word[at + 1] + word[at] + word[at + 2 :],
                word[:at] + word[at + 1 :],
                word[: at + 1] + word[at:],
            ]
        )
        return text.replace(word, wrong, 1)

    def _value(self, slot: str) -> str:
        """A number, a kept number, or a word about the patient, the place or the time."""
        if "~" in slot:
            name, _, span = slot.rpartition("=")
            low, high = span.split("~")
            decimals = len(low.partition(".")[2])
            number = (
                self.chart.kept(name, float(low), float(high)) if name else self.rng.uniform(float(low), float(high))
            )
            return f"{number:.{decimals}f}"
        if slot == "date":
            return self.date(self.rng.choice([0, 0, 1, 2]))
        if slot == "earlier":
            return self.date(self.rng.randint(60, 500))
        if slot in ("doctor", "hospital", "pager", "title"):
            return self._deidentified(slot)
        return self._common[slot]

    def _deidentified(self, slot: str) -> str:
        number = self.rng.randint(10, 9999)
        title = "Ms. " if self.chart.sex == "F" else "Mr. "
        if not self.author.brackets:
            return f"{title}___" if slot == "title" else "___"
        marks = {
            "doctor": f"Dr. [**Last Name (STitle) {number}**]",
            "hospital": f"[**Hospital1 {number % 90}**]",
            "pager": f"[**Telephone/Fax (1) {number}**]",
            "title": f"{title}[**Known lastname {self.chart.name_mark}**]",
        }
        return marks[slot]

    def _person(self, age: int) -> dict[str, str]:
        female = self.chart.sex == "F"
        article = "an" if str(age).startswith("8") else "a"
        aged = f"{article} {age}{self.rng.choice([' year old', '-year-old'])}"
        he = "she" if female else "he"
        return {
            "age": str(age),
            "ageonly": str(age),
            "sex": self.chart.sex,
            "aged": aged,
            "Aged": aged.capitalize(),
            "man": "woman" if female else "man",
            "he": he,
            "He": he.capitalize(),
            "him": "her" if female else "him",
            "his": "her" if female else "his",
            "side": self.chart.side,
            "spouse": "husband" if female else "wife",
        }
