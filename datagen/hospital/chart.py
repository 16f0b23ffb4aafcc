"""What is true of a patient: conditions, drugs, procedures and lasting values, and how visits change it."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar

from datagen.hospital.facts import Concept, Facts

T = TypeVar("T")


@dataclass
class Chart:
    """A patient's state at one moment; conditions, past illnesses and procedures map to their year, drugs to doses."""

    facts: Facts
    rng: random.Random
    sex: str
    birth_year: int
    side: str
    """`left` or `right`: where one-sided trouble of the patient is."""
    name_mark: int
    """Number of the mark that stands for the patient's name."""
    conditions: dict[str, int] = field(default_factory=dict)
    past: dict[str, int] = field(default_factory=dict)
    drugs: dict[str, str] = field(default_factory=dict)
    procedures: dict[str, int] = field(default_factory=dict)
    values: dict[str, float] = field(default_factory=dict)
    narrower: dict[str, str] = field(default_factory=dict)
    """The kind of each condition that was named once stays the patient's kind."""
    lasting: dict[str, list[str]] = field(default_factory=dict)
    """What is said of the patient's life, allergies and relatives stays the same over the notes."""
    true: set[str] = field(default_factory=set)
    """Every concept that was ever true of the patient, with all broader concepts."""

    def some(self, choices: Sequence[T], most: int) -> list[T]:
        """Up to `most` of the choices, in random order."""
        return self.rng.sample(choices, min(len(choices), most))

    def add(self, concept: Concept) -> None:
        """Remember that the concept is true of the patient, and stop the drugs that it speaks against."""
        self.true |= {concept.concept_id} | self.facts.ancestors(concept.concept_id)
        self.drugs = {c: dose for c, dose in self.drugs.items() if self.true.isdisjoint(self.facts.concepts[c].avoid)}

    def kept(self, name: str, low: float, high: float) -> float:
        """A value that stays with the patient and drifts by a few per cent of its range each time it is asked for."""
        step = self.rng.uniform(-0.06, 0.06)
        place = min(1.0, max(0.0, self.values[name] + step)) if name in self.values else self.rng.random()
        self.values[name] = place
        return low + place * (high - low)

    def suits(self, concept: Concept, year: int) -> bool:
        """Whether the patient could have the condition, or never had it and could be asked about it."""
        return (
            concept.age[0] <= year - self.birth_year <= concept.age[1]
            and concept.sex in (None, self.sex)
            and concept.concept_id not in self.true
            and self.true.isdisjoint(concept.excludes)
            and not any(concept.concept_id in self.facts.concepts[c].excludes for c in self.conditions)
            and (not concept.needs or not self.true.isdisjoint(concept.needs))
        )

    def fall_ill(self, course: str, year: int) -> Concept | None:
        """Draw a condition of this course by frequency and risk factors; None where none suits."""
        candidates = [c for c in self.facts.by_course[course] if self.suits(c, year)]
        weights = [c.weight * (1 + 2 * len(self.true.intersection(c.more_with))) for c in candidates]
        return self.rng.choices(candidates, weights)[0] if candidates else None

    def acquire(self, concept: Concept, year: int, since: int) -> None:
        """A chronic condition sets in, with one or two drugs and perhaps a procedure, begun in `since`..`year`."""
        self.conditions[concept.concept_id] = self.rng.randint(since, year)
        self.add(concept)
        for _ in range(self.rng.choice([1, 1, 2])):
            self.prescribe(concept.drugs)
        for procedure in self.facts.those(concept.procedures):
            fits = procedure.history and procedure.sex in (None, self.sex)
            if fits and self.rng.random() < 0.35 and procedure.concept_id not in self.true:
                self.operate(procedure, self.rng.randint(self.conditions[concept.concept_id], year))

    def operate(self, procedure: Concept, year: int) -> None:
        """A procedure is done; what leaves a trace stays in the history."""
        self.add(procedure)
        if procedure.history:
            self.procedures.setdefault(procedure.concept_id, year)

    def prescribe(self, choices: tuple[str, ...]) -> None:
        """Add one of the drugs that the patient tolerates and has no sister drug of, if any."""
        allowed = [c for c in choices if c not in self.drugs and self.tolerates(c, self.drugs)]
        if allowed:
            drug = self.rng.choice(allowed)
            self.drugs[drug] = self.rng.choice(self.facts.concepts[drug].doses)
            self.add(self.facts.concepts[drug])

    def tolerates(self, drug: str, beside: dict[str, str]) -> bool:
        """No condition speaks against the drug, and none of its class is taken already."""
        classes = {c for c in self.facts.ancestors(drug) if not self.facts.concepts[c].combines}
        doubled = any(classes & self.facts.ancestors(other) for other in beside)
        return not doubled and self.true.isdisjoint(self.facts.concepts[drug].avoid)

    def treatments(self, concept: Concept) -> list[Concept]:
        """The patient's drugs that treat the condition."""
        return self.facts.those(c for c in (*concept.drugs, *concept.keeps) if c in self.drugs)


def newborn_chart(facts: Facts, rng: random.Random, year: int) -> Chart:
    """The chart of a patient who is first seen in `year`."""
    age = min(95, max(19, round(rng.gauss(62, 17))))
    chart = Chart(facts, rng, rng.choice("FM"), year - age, rng.choice(["left", "right"]), rng.randint(10, 9999))
    most = 2 if age < 40 else 4 if age < 60 else 6
    for _ in range(rng.randint(1, most)):
        if condition := chart.fall_ill("chronic", year):
            chart.acquire(condition, year, max(chart.birth_year + 15, year - 18))
    return chart


@dataclass
class Visit:
    """One encounter; `acute`, `given` and `done` belong to it alone."""

    start: datetime
    end: datetime
    home: dict[str, str]
    """Drugs on arrival."""
    acute: Concept | None = None
    symptoms: list[Concept] = field(default_factory=list)
    given: dict[str, str] = field(default_factory=dict)
    done: list[Concept] = field(default_factory=list)


def next_visit(chart: Chart, start: datetime) -> tuple[Visit, list[str]]:
    """The next visit and the kinds of notes that it yields, in order of time.

    At a clinic or imaging visit a new chronic condition is found now and then.
    """
    rng = chart.rng
    roll = rng.random()
    if roll < 0.5 and (acute := chart.fall_ill("acute", start.year)):
        visit = _admit(chart, start, acute)
        imaging = ["RR"] if rng.random() < (0.7 if acute.imaging else 0.15) else []
        return visit, [*imaging, *["PN"] * rng.choice([0, 1, 1, 2]), "DS", *(["ML"] if rng.random() < 0.15 else [])]
    visit = Visit(start, start, dict(chart.drugs))
    if rng.random() < 0.25 and (found := chart.fall_ill("chronic", start.year)):
        chart.acquire(found, start.year, start.year)
    return visit, ["RR"] if roll >= 0.9 else ["CL", "ML"] if rng.random() < 0.3 else ["CL"]


def _admit(chart: Chart, start: datetime, acute: Concept) -> Visit:
    """An admission with an acute illness: what was given and done for it, and what it leaves behind."""
    rng, facts = chart.rng, chart.facts
    visit = Visit(start, start + timedelta(days=rng.randint(2, 9)), dict(chart.drugs), acute)
    chart.add(acute)
    visit.symptoms = facts.those(chart.some(acute.symptoms, rng.randint(1, 3)))
    for drug in chart.some(acute.drugs, 2):
        if drug not in chart.drugs and chart.tolerates(drug, visit.given):
            visit.given[drug] = rng.choice(facts.concepts[drug].doses)
            chart.add(facts.concepts[drug])
            if drug in acute.keeps and chart.tolerates(drug, chart.drugs):
                chart.drugs[drug] = visit.given[drug]
    for procedure in facts.those(chart.some(acute.procedures, rng.randint(1, 2))):
        if procedure.concept_id not in chart.procedures:
            visit.done.append(procedure)
            chart.operate(procedure, start.year)
    for _ in range(2):
        chart.prescribe(acute.keeps)
    for condition in facts.those(acute.leaves):
        if condition.concept_id not in chart.true:
            chart.acquire(condition, start.year, start.year)
    return visit
