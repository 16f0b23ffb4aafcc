"""What happens to a patient: admissions with an acute illness, clinic visits, outpatient imaging."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from datagen.hospital.chart import Chart
from datagen.hospital.facts import Concept


@dataclass
class Visit:
    """One encounter; `acute`, `given` and `done` belong to it alone."""

    start: datetime
    days: int = 0
    acute: Concept | None = None
    symptoms: list[Concept] = field(default_factory=list)
    given: dict[str, str] = field(default_factory=dict)
    done: list[Concept] = field(default_factory=list)
    home: dict[str, str] = field(default_factory=dict)
    """Drugs on arrival."""

    @property
    def end(self) -> datetime:
        """Discharge."""
        return self.start + timedelta(days=self.days)


def admit(chart: Chart, start: datetime) -> Visit:
    """An admission: an acute illness (if one suits), what was given and done for it, and what it leaves behind."""
    rng, facts = chart.rng, chart.facts
    acute = chart.fall_ill("acute", start.year)
    visit = Visit(start, home=dict(chart.drugs))
    if acute is None:
        return visit
    visit.days, visit.acute = rng.randint(2, 9), acute
    chart.add(acute)
    symptoms = rng.sample(acute.symptoms, min(len(acute.symptoms), rng.randint(1, 3)))
    visit.symptoms = [facts.concepts[symptom] for symptom in symptoms]
    for drug in rng.sample(acute.drugs, min(len(acute.drugs), 2)):
        if drug not in chart.drugs and chart.tolerates(drug, visit.given):
            visit.given[drug] = rng.choice(facts.concepts[drug].doses)
            chart.add(facts.concepts[drug])
            if drug in acute.keeps and chart.tolerates(drug, chart.drugs):
                chart.drugs[drug] = visit.given[drug]
    for procedure in rng.sample(acute.procedures, min(len(acute.procedures), rng.randint(1, 2))):
        if procedure not in chart.procedures:
            visit.done.append(facts.concepts[procedure])
            chart.operate(facts.concepts[procedure], start.year)
    for _ in range(2 if acute.keeps else 0):
        chart.prescribe(acute.keeps)
    for condition in acute.leaves:
        if not chart.has(condition):
            chart.acquire(facts.concepts[condition], start.year, start.year)
    return visit


def attend(chart: Chart, start: datetime) -> Visit:
    """A clinic or imaging visit; now and then a new chronic condition is found."""
    visit = Visit(start, home=dict(chart.drugs))
    found = chart.fall_ill("chronic", start.year) if chart.rng.random() < 0.25 else None
    if found:
        chart.acquire(found, start.year, start.year)
    return visit
