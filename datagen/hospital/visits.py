"""What happens to a patient: admissions with an acute illness, clinic visits, outpatient imaging."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from datagen.hospital.chart import Chart
from datagen.hospital.facts import Concept


@dataclass
class Visit:
    """One encounter; `acute`, `given` and `done` belong to it alone."""

    start: datetime
    home: dict[str, str]
    """Drugs on arrival."""
    days: int = 0
    acute: Concept | None = None
    symptoms: list[Concept] = field(default_factory=list)
    given: dict[str, str] = field(default_factory=dict)
    done: list[Concept] = field(default_factory=list)

    @property
    def end(self) -> datetime:
        """Discharge."""
        return self.start + timedelta(days=self.days)


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
    visit = Visit(start, dict(chart.drugs))
    if rng.random() < 0.25 and (found := chart.fall_ill("chronic", start.year)):
        chart.acquire(found, start.year, start.year)
    return visit, ["RR"] if roll >= 0.9 else ["CL", "ML"] if rng.random() < 0.3 else ["CL"]


def _admit(chart: Chart, start: datetime, acute: Concept) -> Visit:
    """An admission with an acute illness: what was given and done for it, and what it leaves behind."""
    rng, facts = chart.rng, chart.facts
    visit = Visit(start, dict(chart.drugs), rng.randint(2, 9), acute)
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
