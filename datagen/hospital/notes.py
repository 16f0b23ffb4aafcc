"""The five kinds of notes, each a sequence of sections whose order and wording depend on the author."""

from collections.abc import Callable, Iterable

from datagen.hospital.chart import Chart
from datagen.hospital.facts import Concept, Pattern
from datagen.hospital.visits import Visit
from datagen.hospital.writer import Writer


class NoteSections:
    """The sections from which notes of one visit are put together, as written by one author."""

    def __init__(self, writer: Writer, chart: Chart, visit: Visit) -> None:
        self.w, self.chart, self.visit, self.rng = writer, chart, visit, writer.rng
        self.facts = chart.facts
        self.complaints = visit.symptoms or [self.rng.choice(self.facts.by_course["symptom"])]
        shown = self._concepts(chart.conditions)
        self.conditions = self.rng.sample(shown, min(len(shown), self.rng.randint(3, 6)))
        told = [*self.conditions, *([visit.acute] if visit.acute else [])]
        self.implied = {c.concept_id for c in told if self._usable(c) and self.rng.random() < 0.4}
        """Conditions that this note only implies outside its diagnosis list."""
        self._used: set[str] = set()
        self.named = [c for c in self.conditions if c.concept_id not in self.implied]

    def _concepts(self, ids: Iterable[str]) -> list[Concept]:
        return [self.facts.concepts[concept_id] for concept_id in ids]

    def _usable(self, concept: Concept) -> list[Pattern]:
        """Implication patterns that hold for this patient."""
        treated = bool(self.chart.treatments(concept))
        return [p for p in concept.implied_by if "{rx}" not in p.text or treated]

    def _tell(self, concept: Concept, key: str, year: str = "") -> None:
        """Name the concept in a phrase, or imply it where this note does so."""
        only_implied = concept.concept_id in self.implied
        patterns = [p for p in self._usable(concept) if p.pattern_id not in self._used]
        if patterns and (only_implied or (concept.type != "disease" and self.rng.random() < 0.4)):
            pattern = self.rng.choice(patterns)
            self._used.add(pattern.pattern_id)
            self.w.imply(concept, pattern)
        elif not only_implied:
            self.w.say(self.w.phrase(key), c=concept, year=year)

    def phrases(self, key: str, count: int) -> None:
        """Up to `count` different phrases that hold no concept slot."""
        said: set[str] = set()
        for _ in range(count):
            phrase = self.w.phrase(key)
            if phrase not in said:
                self.w.say(phrase)
                said.add(phrase)

    def opening(self) -> None:
        """Who came, with what history and symptoms; then how the illness showed."""
        symptoms = self.complaints
        history = self.named[:3]
        if history:
            self.w.say(self.w.phrase("opening"), cs=history, symptoms=symptoms)
        else:
            self.w.say(self.w.phrase("opening_healthy"), symptoms=symptoms)
        self.denials()

    def denials(self) -> None:
        """Symptoms that the patient does not have."""
        absent = [c for c in self.facts.by_course["symptom"] if c not in self.complaints]
        asked = dict.fromkeys(c.concept_id for c in self.rng.choices(absent, [c.weight for c in absent], k=4))
        self.w.say(self.w.phrase("denied"), asserted=False, ors=self._concepts(asked))

    def exclusions(self) -> None:
        """A diagnosis ruled out; sometimes a drug or a procedure that was not given."""
        year = self.visit.start.year
        absent = [
            c for course in ("acute", "chronic") for c in self.facts.by_course[course] if self.chart.suits(c, year)
        ]
        symptoms = {symptom.concept_id for symptom in self.visit.symptoms}
        differential = [c for c in absent if symptoms.intersection(c.symptoms)] or absent
        if differential:
            self.w.say(self.w.phrase("ruled_out"), asserted=False, c=self.rng.choice(differential))
        if self.rng.random() < 0.3:
            treated = [c for c in (self.visit.acute, *self.conditions) if c]
            usual = self._concepts(dict.fromkeys(i for c in treated for i in (*c.drugs, *c.keeps, *c.procedures)))
            spared = [c for c in usual if not self.chart.has(c.concept_id) and c.sex in (None, self.chart.sex)]
            if spared:
                self.w.say(self.w.phrase("not_done"), asserted=False, c=self.rng.choice(spared))

    def history(self, key: str) -> None:
        """Chronic conditions, then illnesses that are over."""
        self.w.heading(key)
        listed = self.rng.random() < 0.6
        for condition in self.conditions:
            if listed:
                self.w.item()
            self._tell(condition, "condition", year=str(self.chart.conditions[condition.concept_id]))
        for concept_id, year in list(self.chart.past.items())[-3:]:
            if listed:
                self.w.item()
            self.w.say(self.w.phrase("past"), c=self.facts.concepts[concept_id], year=str(year))
        if not self.conditions and not self.chart.past:
            self.w.say("none of note")

    def surgeries(self) -> None:
        """Procedures of earlier years and those that go on."""
        earlier = [p for p in self._concepts(self.chart.procedures) if p not in self.visit.done]
        if earlier:
            self.w.heading("psh")
        for procedure in earlier:
            key = "ongoing" if procedure.ongoing else "surgical"
            self._tell(procedure, key, year=str(self.chart.procedures[procedure.concept_id]))

    def background(self) -> None:
        """Social and family history."""
        if self.rng.random() < 0.5:
            self.w.heading("social")
            for fact in self.w.lasting("social", 2):
                self.w.say(fact)
        if self.rng.random() < 0.6:
            self.family()

    def family(self) -> None:
        """What runs in the family: about relatives, so nothing that is asserted of the patient."""
        self.w.heading("family")
        affected, relatives = self.w.lasting("heritable", 2), self.w.lasting("relatives", 2)
        for condition, relative in zip(self._concepts(affected), relatives, strict=True):
            self.w.say(self.w.phrase("family"), asserted=False, c=condition, relative=relative)
        spared = [c for c in self.facts.phrases["heritable"] if c not in affected]
        if self.rng.random() < 0.4:
            self.w.say(self.w.phrase("family_absent"), asserted=False, c=self.facts.concepts[self.rng.choice(spared)])

    def drugs(self, key: str, drugs: dict[str, str]) -> None:
        """A list of drugs with doses, on lines or in a row."""
        self.w.heading(key)
        lines = self.rng.random() < 0.7
        for number, (drug, dose) in enumerate(drugs.items(), start=1):
            if lines:
                self.w.item()
            end = "" if lines else "." if number == len(drugs) else ","
            self.w.say("{d} {dose}", sentence=False, d=self.facts.concepts[drug], dose=self.w.dose(dose), end=end)
        if not drugs:
            self.w.say("none")

    def allergies(self) -> None:
        """Known allergies."""
        self.w.heading("allergies")
        self.w.say(self.w.lasting("allergies", 1)[0])

    def examination(self, vitals: str) -> None:
        """Vital signs and findings by system; what is normal is said in ways that deny symptoms."""
        self.w.heading("exam")
        self.w.say(self.w.phrase(vitals))
        findings: dict[str, str] = {}
        for condition in [*self._concepts(self.chart.conditions), *([self.visit.acute] if self.visit.acute else [])]:
            findings |= condition.exam
        systems = self.facts.phrases["examination"]
        for system in systems:
            label = "" if system == "general" else f"{system.capitalize()}: "
            if system in findings:
                self.w.say(label + findings[system])
            elif self.rng.random() < 0.55:
                self.w.say(label + self.rng.choice(systems[system]), asserted=False)

    def labs(self) -> None:
        """Laboratory values: routine ones, and those that the patient's conditions change."""
        ranges = self.facts.phrases["labs"]
        changed: dict[str, tuple[str, Concept | None]] = {}
        for condition in [*self._concepts(self.chart.conditions), *([self.visit.acute] if self.visit.acute else [])]:
            changed |= {lab: (span, None) for lab, span in condition.shifts.items()}
            changed |= {lab: (span, condition) for lab, span in condition.labs.items()}
        routine = [lab for lab in self.facts.phrases["routine_labs"] if self.rng.random() < 0.6]
        chosen = [lab for lab in ranges if lab in routine or (lab in changed and self.rng.random() < 0.8)]
        joint = self.rng.choice([" ", "-", " ", ": "])
        long = self.w.author.style == "full" and self.rng.random() < 0.5
        if not chosen:
            return
        self.w.heading("labs")
        for lab in chosen:
            span, name, unit = ranges[lab]
            span, implied = changed.get(lab, (span, None))
            keep = f"{lab}{implied.concept_id if implied else ''}{span}"
            text = f"{name} {{{keep}={span}}} {unit}".strip() if long else f"{lab}{joint}{{{keep}={span}}}"
            pattern = Pattern(pattern_id=f"{implied.concept_id}/lab:{lab}", text=text) if implied else None
            implies = (implied, pattern) if implied and pattern else None
            self.w.say(text, implies=implies, sentence=False, end="." if lab == chosen[-1] else ",")

    def course(self) -> None:
        """How the acute illness was recognised and treated, then the chronic ones in brief."""
        acute = self.visit.acute
        self.w.heading("course")
        if acute:
            self._tell(acute, "diagnosis")
        for drug, dose in self.visit.given.items():
            self._give(self.facts.concepts[drug], dose, "treated")
        for procedure in self.visit.done:
            self._tell(procedure, "performed")
        self.exclusions()
        self.chronic_care(2)
        self.phrases("progress", 2)

    def _give(self, drug: Concept, dose: str, key: str) -> None:
        """Say that a drug is given: by name, by class, or through what it entails."""
        classes = [c for c in self._concepts(drug.is_a) if c.course == "group"]
        if drug.implied_by and self.rng.random() < 0.5:
            self.w.imply(drug, self.rng.choice(drug.implied_by))
        elif classes and self.rng.random() < 0.25:
            self.w.say(self.w.phrase("classed"), d=classes[0])
        else:
            self.w.say(self.w.phrase(key), d=drug, dose=self.w.dose(dose))

    def chronic_care(self, count: int) -> None:
        """Some chronic conditions, each with one of its drugs."""
        for condition in self.rng.sample(self.conditions, min(count, len(self.conditions))):
            self._tell(condition, "condition", year=str(self.chart.conditions[condition.concept_id]))
            treatments = self.chart.treatments(condition)
            if treatments and self.rng.random() < 0.7:
                drug = self.rng.choice(treatments)
                self._give(drug, self.chart.drugs[drug.concept_id], "continued")

    def warnings(self) -> None:
        """Symptoms to come back with: hypothetical."""
        symptoms = self.facts.by_course["symptom"]
        feared = dict.fromkeys(c.concept_id for c in self.rng.choices(symptoms, [c.weight for c in symptoms], k=3))
        self.w.say(self.w.phrase("warned"), asserted=False, ors=self._concepts(feared))

    def diagnoses(self) -> None:
        """The list of diagnoses, all by name."""
        self.w.heading("diagnoses")
        if self.visit.acute:
            self.w.item()
            self.w.say(self.w.phrase("diagnosis_line"), c=self.visit.acute, end="")
        for condition in self.named[:3]:
            self.w.item()
            self.w.say("{c}", c=condition, end="")

    def sign(self, key: str = "closing") -> None:
        """The author's signature."""
        self.w.line()
        self.w.say(self.w.phrase(key), end="")


def discharge_summary(s: NoteSections) -> None:
    """Discharge summary of an admission."""
    s.w.say(
        "{Admission Date: {start}   Discharge Date: {stop}|Admitted {start}, left {stop}}",
        end="",
        start=s.w.date(s.visit.days),
        stop=s.w.date(),
    )
    front: list[Callable[[], None]] = [s.allergies, lambda: s.history("pmh"), s.surgeries, s.background]
    s.rng.shuffle(front)
    if s.rng.random() < 0.5 and s.visit.symptoms:
        s.w.heading("complaint")
        s.w.say("{c}", c=s.visit.symptoms[0], end="")
    s.w.heading("hpi")
    s.opening()
    if s.visit.acute and s.visit.acute.concept_id in s.implied:
        s._tell(s.visit.acute, "diagnosis")
    for section in front[: s.rng.randint(2, 4)]:
        section()
    if s.rng.random() < 0.4:
        s.drugs("home_drugs", s.visit.home)
    s.examination("vitals_ill")
    s.labs()
    s.course()
    s.drugs("discharge_drugs", s.chart.drugs)
    if s.rng.random() < 0.6:
        s.diagnoses()
    s.w.heading("instructions")
    s.w.say(s.w.phrase("disposition"))
    s.warnings()
    s.sign()


def progress_note(s: NoteSections) -> None:
    """A day on the ward."""
    day = str((s.w.time.date() - s.visit.start.date()).days + 1)
    s.w.say("{Hospital day|Day|Ward day} #{day}{|, {date}|, {hospital}}", end="", day=day)
    s.w.heading("interval")
    s.w.say(s.w.phrase("interval"))
    s.denials()
    s.examination("vitals")
    s.labs()
    s.w.heading("assessment")
    s.w.say("{aged} {man}, {hospital day|day} {day}", day=day)
    if s.visit.acute:
        s._tell(s.visit.acute, "diagnosis")
    for drug, dose in s.visit.given.items():
        s._give(s.facts.concepts[drug], dose, "treated")
    if s.visit.done and s.rng.random() < 0.6:
        s._tell(s.rng.choice(s.visit.done), "performed")
    s.exclusions()
    s.chronic_care(3)
    s.sign()


def clinic_letter(s: NoteSections) -> None:
    """A letter from clinic to the referring doctor."""
    s.w.say(s.w.phrase("greeting"), specialty=s.rng.choice(s.facts.phrases["specialty"]))
    s.w.line()
    s.history("problems")
    sections: list[Callable[[], None]] = [s.surgeries, lambda: s.drugs("drugs", s.chart.drugs), s.background, s.labs]
    s.rng.shuffle(sections)
    for section in sections[: s.rng.randint(2, 4)]:
        section()
    s.examination("vitals")
    s.denials()
    s.w.heading("plan")
    s.chronic_care(3)
    s.exclusions()
    s.phrases("plan", 2)
    s.sign("closing_letter")


def medication_list(s: NoteSections) -> None:
    """Reconciled medication list."""
    s.w.say("{Medication reconciliation|Medication list|Reconciled medications} for {title}, {date}", end="")
    s.allergies()
    s.drugs("drugs", s.chart.drugs)
    s.w.heading("problems")
    for condition in s.conditions[:3]:
        s._tell(condition, "condition", year=str(s.chart.conditions[condition.concept_id]))
    s.w.line()
    s.phrases("pharmacy", 4)
    s.w.heading("instructions")
    s.phrases("advice", 4)
    s.warnings()
    s.sign()


def radiology_report(s: NoteSections) -> None:
    """A report of imaging: for the acute illness, for a chronic one, or one that finds nothing."""
    exams = s.facts.phrases["radiology"]
    seen = [c for c in [s.visit.acute, *s._concepts(s.chart.conditions)] if c and c.imaging]
    subject = seen[0] if seen else None
    finding = s.rng.choice(subject.imaging) if subject else None
    exam = finding.exam if finding else s.rng.choice([e for e in exams if exams[e]["excludes"] and "knee" not in e])
    excluded = [c for c in s._concepts(exams[exam]["excludes"]) if not s.chart.has(c.concept_id)]
    s.w.say(s.rng.choice(["EXAM: ", "Study: ", "Examination: "]) + exam + "{|, {date}}", end="")
    s.w.line()
    question = s.rng.choice([*excluded, subject] if subject else excluded) if excluded else subject
    if question:
        reason = "{INDICATION|Clinical history|Reason}: " + s.w.phrase("indication")
        s.w.say(reason, asserted=False, symptoms=s.complaints, c=question)
    s.w.line()
    s.w.say("{TECHNIQUE|Technique}: " + s.rng.choice(exams[exam]["technique"]))
    s.w.line()
    s.w.say("{COMPARISON|Prior studies}: {none available|study of {earlier}|outside films from {hospital}}")
    s.w.line()
    s.w.say("{FINDINGS|Findings}:", end="")
    normal = exams[exam]["normal"]
    for text in s.rng.sample(normal, len(normal)):
        s.w.say(text)
    if subject and finding:
        s.w.say(finding.text, implies=(subject, finding))
    for condition in s.rng.sample(excluded, min(len(excluded), s.rng.randint(2, 4))):
        s.w.say("{no|there is no|no evidence of|no imaging sign of} {c}", asserted=False, c=condition)
    for condition in s.rng.sample(s.conditions, min(2, len(s.conditions))):
        s.w.say("{incidental note of known {c}|{c} as in the chart|background of {c}}", c=condition)
    s.phrases("advice_radiology", 2)
    s.w.line()
    s.w.say("{IMPRESSION|Impression|Conclusion}:", end="")
    if subject and s.rng.random() < 0.55:
        s.w.say(s.w.phrase("impression"), c=subject)
    elif subject:
        s.w.say(s.w.phrase("impression_unnamed"))
    else:
        s.w.say("{no acute abnormality|unremarkable study|nothing to explain the symptoms}")
    s.sign()
