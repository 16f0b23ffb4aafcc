"""What the notes of a visit say, section by section; which sections a kind of note holds is in phrases.yaml."""

from datetime import datetime
from typing import Any

from datagen.hospital.chart import Chart, Visit
from datagen.hospital.facts import Concept
from datagen.hospital.writer import Writer


class NoteWriter(Writer):
    """Writes one note of one visit; `write` calls the sections, which are the public methods, by their names."""

    def __init__(self, chart: Chart, visit: Visit, brackets: bool, time: datetime) -> None:
        super().__init__(chart, brackets, time)
        self.visit = visit
        self._complaints = visit.symptoms or [self.rng.choice(self.facts.by_course["symptom"])]
        chronic = self.facts.those(chart.conditions)
        self._acute = [visit.acute] if visit.acute else []
        self._present = [*chronic, *self._acute]
        self._chronic = chart.some(chronic, self.rng.randint(3, 6))
        told = [*self._chronic, *self._acute]
        self._implied = {c.concept_id for c in told if self._usable(c) and self.rng.random() < 0.4}
        """Conditions that this note only implies outside its diagnosis list."""
        self._used: set[str] = set()
        self._named = [c for c in self._chronic if c.concept_id not in self._implied]
        hidden = [c for c in self._acute if c.concept_id in self._implied]
        self._groups = {"acute": self._acute, "hidden": hidden, "chronic": self._chronic[:3], "done": visit.done}
        days = (time - visit.start).days
        self.words |= {"admitted": self.date(days), "today": self.date(), "day": str(days + 1)}
        self.words |= {"history": self._named[:3], "symptoms": self._complaints}

    def write(self, parts: list[Any]) -> None:
        """Write each part: a section with its arguments, or sections each with the share of notes that hold it."""
        for part in parts:
            for share, section in part.items() if isinstance(part, dict) else [(1, part)]:
                if share == 1 or self.rng.random() < share:
                    name, *arguments = section.split()
                    getattr(self, name)(*(int(word) if word.isdigit() else word for word in arguments))

    def shuffle(self, key: str) -> None:
        """Put the parts listed for `key` in random order, for `shuffled`."""
        self._shuffled = list(self.facts.phrases[key])
        self.rng.shuffle(self._shuffled)

    def shuffled(self) -> None:
        """Two to four of the parts put in random order."""
        self.write(self._shuffled[: self.rng.randint(2, 4)])

    def statements(self, key: str, count: int = 1) -> None:
        """Up to `count` different phrases that hold no concept slot."""
        said: set[str] = set()
        for _ in range(count):
            phrase = self.phrase(key)
            if phrase not in said:
                self.say(phrase)
            said.add(phrase)

    def title(self, key: str) -> None:
        """A phrase on a line of its own, without a full stop."""
        self.line()
        self.say(self.phrase(key), end="")

    def tell(self, key: str, group: str) -> None:
        """Name or imply each concept of a group: the `acute` illness, the same if it is `hidden`, ..."""
        for concept in self._groups[group]:
            self._tell(concept, key)

    def complaint(self) -> None:
        """The symptom that the patient came with."""
        if self.visit.symptoms:
            self.heading("complaint")
            self.say(self.phrase("named"), c=self.visit.symptoms[0], end="")

    def greeting(self) -> None:
        """How a letter begins."""
        self.say(self.phrase("greeting"), specialty=self.phrase("specialty"))

    def lifelong(self, key: str, count: int) -> None:
        """What is said of the patient in every note alike."""
        self.heading(key)
        for fact in self.lasting(key, count):
            self.say(fact)

    def opening(self) -> None:
        """Who came, with what history and symptoms."""
        self.statements("opening" if self._named else "opening_healthy")

    def symptoms(self, key: str, count: int) -> None:
        """Up to `count` symptoms, which are `denied` or `warned` of."""
        choice = [c for c in self.facts.by_course["symptom"] if key == "warned" or c not in self._complaints]
        chosen = {c.concept_id: c for c in self.rng.choices(choice, [c.weight for c in choice], k=count)}
        self.say(self.phrase(key), asserted=False, ors=list(chosen.values()))

    def exclusions(self) -> None:
        """A diagnosis ruled out; sometimes a drug or a procedure that was not given."""
        courses = (self.facts.by_course["acute"], self.facts.by_course["chronic"])
        absent = [c for course in courses for c in course if self.chart.suits(c, self.visit.start.year)]
        symptoms = {symptom.concept_id for symptom in self.visit.symptoms}
        if differential := [c for c in absent if symptoms.intersection(c.symptoms)] or absent:
            self.say(self.phrase("ruled_out"), asserted=False, c=self.rng.choice(differential))
        if self.rng.random() < 0.3:
            treated = [*self._acute, *self._chronic]
            usual = self.facts.those(dict.fromkeys(i for c in treated for i in (*c.drugs, *c.keeps, *c.procedures)))
            spared = [c for c in usual if c.concept_id not in self.chart.true and c.sex in (None, self.chart.sex)]
            if spared:
                self.say(self.phrase("not_done"), asserted=False, c=self.rng.choice(spared))

    def history(self, key: str) -> None:
        """Chronic conditions, then illnesses that are over."""
        self.heading(key)
        listed = self.rng.random() < 0.6
        past = self.facts.those(list(self.chart.past)[-3:])
        for condition in [*self._chronic, *past]:
            if listed:
                self.item()
            self._tell(condition, "past" if condition in past else "condition")
        if not self._chronic and not past:
            self.say("none of note")

    def surgeries(self) -> None:
        """Procedures of earlier years and those that go on."""
        earlier = [p for p in self.facts.those(self.chart.procedures) if p not in self.visit.done]
        if earlier:
            self.heading("psh")
        for procedure in earlier:
            self._tell(procedure, "ongoing" if procedure.ongoing else "surgical")

    def family(self) -> None:
        """What runs in the family: about relatives, so nothing that is asserted of the patient."""
        self.heading("family")
        affected, relatives = self.lasting("heritable", 2), self.lasting("relatives", 2)
        for condition, relative in zip(self.facts.those(affected), relatives, strict=True):
            self.say(self.phrase("family"), asserted=False, c=condition, relative=relative)
        spared = self.facts.those(c for c in self.facts.phrases["heritable"] if c not in affected)
        if self.rng.random() < 0.4:
            self.say(self.phrase("family_absent"), asserted=False, c=self.rng.choice(spared))

    def drugs(self, key: str) -> None:
        """A list of drugs with doses, on lines or in a row."""
        self.heading(key)
        lines = self.rng.random() < 0.7
        drugs = self.visit.home if key == "home_drugs" else self.chart.drugs
        for number, (drug, dose) in enumerate(drugs.items(), start=1):
            if lines:
                self.item()
            end = "" if lines else "." if number == len(drugs) else ","
            self.say("{d} {dose}", sentence=False, d=self.facts.concepts[drug], dose=self.dose(dose), end=end)
        if not drugs:
            self.say("none")

    def examination(self, vitals: str) -> None:
        """Vital signs and findings by system; what is normal is said in ways that deny symptoms."""
        self.heading("exam")
        self.say(self.phrase(vitals))
        findings = {system: finding for condition in self._present for system, finding in condition.exam.items()}
        for system, normal in self.facts.phrases["examination"].items():
            label = "" if system == "general" else f"{system.capitalize()}: "
            if system in findings:
                self.say(label + findings[system])
            elif self.rng.random() < 0.55:
                self.say(label + self.rng.choice(normal), asserted=False)

    def labs(self) -> None:
        """Laboratory values: routine ones, and those that the patient's conditions change."""
        changed: dict[str, tuple[str, Concept | None]] = {}
        for condition in self._present:
            changed |= {lab: (span, None) for lab, span in condition.shifts.items()}
            changed |= {lab: (span, condition) for lab, span in condition.labs.items()}
        routine = [lab for lab in self.facts.phrases["routine_labs"] if self.rng.random() < 0.6]
        ranges = self.facts.phrases["labs"]
        chosen = [lab for lab in ranges if lab in routine or (lab in changed and self.rng.random() < 0.8)]
        joint = self.rng.choice([" ", "-", " ", ": "])
        long = not self.terse and self.rng.random() < 0.5
        if chosen:
            self.heading("labs")
        for lab in chosen:
            span, name, unit = ranges[lab]
            span, implied = changed.get(lab, (span, None))
            value = f"{{{lab}{span}={span}}}"
            text = f"{name} {value} {unit}".strip() if long else f"{lab}{joint}{value}"
            self.say(text, implies=implied, sentence=False, end="." if lab == chosen[-1] else ",")

    def treatment(self) -> None:
        """What was given for the acute illness."""
        for drug, dose in self.visit.given.items():
            self._give(self.facts.concepts[drug], dose, "treated")

    def one_performed(self) -> None:
        """Perhaps one of the procedures of this visit."""
        if self.visit.done and self.rng.random() < 0.6:
            self._tell(self.rng.choice(self.visit.done), "performed")

    def chronic_care(self, count: int) -> None:
        """Some chronic conditions, each with one of its drugs."""
        for condition in self.chart.some(self._chronic, count):
            self._tell(condition, "condition")
            treatments = self.chart.treatments(condition)
            if treatments and self.rng.random() < 0.7:
                drug = self.rng.choice(treatments)
                self._give(drug, self.chart.drugs[drug.concept_id], "continued")

    def diagnoses(self) -> None:
        """The list of diagnoses, all by name."""
        self.heading("diagnoses")
        for diagnosis in [*self._acute, *self._named[:3]]:
            self.item()
            self.say(self.phrase("diagnosis_line" if diagnosis is self.visit.acute else "named"), c=diagnosis, end="")

    def imaging(self) -> None:
        """A report of imaging: for the acute illness, for a chronic one, or one that finds nothing."""
        exams = self.facts.phrases["radiology"]
        subject = next((c for c in [*self._acute, *self._present] if c.imaging), None)
        usual = [(exam, "") for exam in exams if exams[exam]["excludes"] and "knee" not in exam]
        exam, finding = self.rng.choice(list(subject.imaging.items()) if subject else usual)
        excluded = [c for c in self.facts.those(exams[exam]["excludes"]) if c.concept_id not in self.chart.true]
        self.words["exam"] = exam
        self.title("exam")
        if question := self.rng.choice([*excluded, subject] if subject else excluded) if excluded else subject:
            self.line()
            label = "{INDICATION|Clinical history|Reason}: "
            self.say(label + self.phrase("indication"), asserted=False, c=question)
        self.line()
        self.say("{TECHNIQUE|Technique}: " + self.rng.choice(exams[exam]["technique"]))
        self.line()
        self.statements("comparison")
        self.title("findings")
        for text in self.rng.sample(exams[exam]["normal"], len(exams[exam]["normal"])):
            self.say(text)
        if subject:
            self.say(finding, implies=subject)
        for condition in self.chart.some(excluded, self.rng.randint(2, 4)):
            self.say(self.phrase("not_seen"), asserted=False, c=condition)
        for condition in self.chart.some(self._chronic, 2):
            self.say(self.phrase("incidental"), c=condition)
        self.statements("advice_radiology", 2)
        self.title("conclusion")
        if subject and self.rng.random() < 0.55:
            self.say(self.phrase("impression"), c=subject)
        else:
            self.statements("impression_unnamed" if subject else "impression_normal")

    def _usable(self, concept: Concept) -> list[str]:
        """Implication patterns that hold for this patient."""
        treated = bool(self.chart.treatments(concept))
        return [p for p in concept.implied_by if "{rx}" not in p or treated]

    def _tell(self, concept: Concept, key: str) -> None:
        """Name the concept in a phrase, or imply it where this note does so."""
        only_implied = concept.concept_id in self._implied
        patterns = [p for p in self._usable(concept) if p not in self._used]
        if patterns and (only_implied or (concept.type != "disease" and self.rng.random() < 0.4)):
            pattern = self.rng.choice(patterns)
            self._used.add(pattern)
            self.imply(concept, pattern)
        elif not only_implied:
            years = self.chart.conditions | self.chart.past | self.chart.procedures
            self.say(self.phrase(key), c=concept, year=str(years.get(concept.concept_id)))

    def _give(self, drug: Concept, dose: str, key: str) -> None:
        """Say that a drug is given: by name, by class, or through what it entails."""
        if drug.implied_by and self.rng.random() < 0.5:
            self.imply(drug, self.rng.choice(drug.implied_by))
        elif drug.is_a and self.rng.random() < 0.25:
            self.say(self.phrase("classed"), d=self.facts.concepts[drug.is_a[0]])
        else:
            self.say(self.phrase(key), d=drug, dose=self.dose(dose))
