"""What a road over so many notes takes, job by job: plain arithmetic on rates.

A job takes its start, what one process does alone, and its work over the rate of its nodes, which are taken to scale
in a line. Token counts of training are the most that the recipes allow.
"""

from collections.abc import Callable
from math import ceil, inf
from typing import Literal, NamedTuple

from pydantic import BaseModel, Field, model_validator

from corpus.chunking import ChunkingSettings
from encoders.training.settings import TrainingSettings
from ray_jobs.job import SettingsError
from ray_jobs.plan_rates import NodeChanges, NodeKind, RateTable, packaged_rates
from serving.manifest import IndexKind
from serving.shard_files import LARGEST_EXACT

HOUR = 3600
MEASURED_DIMENSION = 384
"""Of the vectors that `index_rows` was measured with; longer ones take as much longer."""
MOST_NODES = 1_000_000
Variant = Literal["bundled", "small", "large"]


class Stage(NamedTuple):
    """A stage of training as a recipe has it."""

    epochs: int
    batch_size: int
    num_pos: int


class VariantFacts(NamedTuple):
    """An encoder, and how it is trained."""

    dimension: int
    stage1: Stage
    stage2: Stage


VARIANTS: dict[Variant, VariantFacts] = {
    "bundled": VariantFacts(384, Stage(1, 32, 8), Stage(1, 32, 8)),  # train_encoder.yaml
    "small": VariantFacts(768, Stage(3, 256, 128), Stage(1, 256, 16)),
    "large": VariantFacts(4096, Stage(1, 128, 32), Stage(1, 128, 16)),
}


class GenerationPlan(BaseModel):
    """What lists entities in stage 2."""

    engine: Literal["rules", "vllm"] = "rules"
    model: Literal["8b", "70b"] = "8b"
    """Of vllm: about how many parameters."""
    task: Literal["entities", "entities_json"] = "entities"


class StagePlan(BaseModel):
    """What is different from the recipe of the variant."""

    epochs: int | None = Field(default=None, gt=0)
    batch_size: int | None = Field(default=None, gt=1)
    num_pos: int | None = Field(default=None, gt=0)
    max_steps: int | None = Field(default=None, gt=0)

    def of(self, recipe: Stage) -> Stage:
        """The recipe with it."""
        return recipe._replace(**self.model_dump(exclude={"max_steps"}, exclude_none=True))


class ServingPlan(BaseModel):
    """The index, and what serves it."""

    shards: int = Field(default=2, gt=0)
    replicas: int = Field(default=2, gt=0)
    """Of every shard."""
    kind: IndexKind = "pq4"
    """Shards of up to 50,000 rows are exact."""
    hours: float = Field(default=730, gt=0)
    """A month."""


class PlanSettings(BaseModel):
    """What is planned."""

    notes: int = Field(gt=0)
    words_per_note: float = Field(gt=0)
    chunking: ChunkingSettings = ChunkingSettings()
    chunks_per_note: float | None = Field(default=None, gt=0)
    """As `prepare_corpus` counted on a sample; otherwise the words say."""
    variant: Variant
    generation: GenerationPlan = GenerationPlan()
    stage1: StagePlan = StagePlan()
    stage2: StagePlan = StagePlan()
    serving: ServingPlan = ServingPlan()
    nodes: int | None = Field(default=None, gt=0)
    """Of the kind that each job runs on; one, unless there is a deadline."""
    deadline_hours: float | None = Field(default=None, gt=0)
    """For everything up to the index; the fewest nodes that keep it are found."""
    rates: dict[str, float] = {}
    """Your own measurements in place of the packaged rates."""
    node_types: dict[NodeKind, NodeChanges] = {}
    """Your own machines and prices."""

    @model_validator(mode="after")
    def _one_question(self) -> "PlanSettings":
        if self.nodes and self.deadline_hours:
            raise ValueError("give nodes or deadline_hours, not both")
        if bad := [name for name, value in self.rates.items() if not 0 < value < inf]:
            raise ValueError(f"rates.{bad[0]}: must be greater than 0, and finite")
        return self


class Work(NamedTuple):
    """What a job has to do, before it is known on how many nodes."""

    job: str
    node: NodeKind
    amount: float
    per_second: float
    """Of a node."""
    alone_s: float
    """Start, and what more nodes do not shorten."""
    memory_gb: float | None
    """Of a node; None: not measured."""
    rests_on: tuple[str, ...]

    def hours(self, nodes: int) -> float:
        """On so many nodes."""
        return (self.alone_s + self.amount / self.per_second / nodes) / HOUR


class Line(NamedTuple):
    """A job in the plan."""

    job: str
    node: NodeKind
    nodes: int
    hours: float
    memory_gb: float | None
    cost_usd: float
    rests_on: tuple[str, ...]


class Plan(NamedTuple):
    """The road, once, and serving it."""

    chunks: int
    road: list[Line]
    serving: list[Line]
    table: RateTable


def make_plan(settings: PlanSettings) -> Plan:
    """Raises SettingsError for a rate that is not there, or a deadline that no number of nodes keeps."""
    table = packaged_rates().changed(settings.rates, settings.node_types)
    chunks = count_chunks(settings)
    works = _works(settings, table, chunks)
    nodes = settings.nodes or 1
    if settings.deadline_hours:
        nodes = _fewest(lambda n: sum(work.hours(n) for work in works), settings.deadline_hours)

    def line(work: Work) -> Line:
        hours = work.hours(nodes)
        cost = nodes * hours * table.node_types[work.node].usd_per_hour
        return Line(work.job, work.node, nodes, hours, work.memory_gb, cost, work.rests_on)

    return Plan(chunks, [line(work) for work in works], _serving(settings, table, chunks), table)


def count_chunks(settings: PlanSettings) -> int:
    """Every chunk but the first adds what it does not share with the one before."""
    each, shared = settings.chunking.words, settings.chunking.overlap
    of_note = settings.chunks_per_note or max(1, ceil((settings.words_per_note - shared) / (each - shared)))
    return ceil(settings.notes * of_note)


def _works(settings: PlanSettings, table: RateTable, chunks: int) -> list[Work]:
    facts, cores = VARIANTS[settings.variant], _cores(table)
    of_reading = ("prepare_worker_gb", "prepare_driver_gb")
    reading = table["prepare_worker_gb"] * table.node_types["processors"].cores + table["prepare_driver_gb"]

    def on_cores(job: str, rate: str, start: str, memory: float | None = None, *more: str) -> Work:
        rests_on = (rate, "parallel", start, *more)
        return Work(job, "processors", chunks, table[rate] * cores, table[start], memory, rests_on)

    works = [
        on_cores("prepare", "prepare", "start_prepare", reading, *of_reading),
        on_cores("stage 1 records (match)", "match", "start_match"),
    ]
    if settings.generation.engine == "rules":
        works.append(on_cores("stage 2 records (rules)", "rules", "start_generate"))
    else:
        works.append(_asking(settings.generation, table, chunks))
    # No chunk gives two stage-2 records.
    records = {1: ceil(chunks * table["records_per_chunk"]), 2: chunks}
    for number, stage, recipe in ((1, settings.stage1, facts.stage1), (2, settings.stage2, facts.stage2)):
        works.append(_training(settings.variant, table, number, stage, recipe, records[number]))
    return [*works, _index(settings, table, chunks)]


def _asking(generation: GenerationPlan, table: RateTable, chunks: int) -> Work:
    rate, tokens, start = f"vllm_{generation.model}", f"tokens_{generation.task}", "start_generate"
    speed = table[rate] * _gpus(table, "generation")
    job = f"stage 2 records (vLLM, {generation.model})"
    return Work(job, "generation", chunks * table[tokens], speed, table[start], None, (rate, tokens, start))


def _training(variant: Variant, table: RateTable, number: int, stage: StagePlan, recipe: Stage, records: int) -> Work:
    of, job, rate, start = stage.of(recipe), f"train stage {number}", f"train_{variant}", "start_train"
    steps = of.epochs * max(1, records // of.batch_size)
    trained = of.batch_size * min(steps, stage.max_steps or steps)
    rests_on = (rate, start, *(("records_per_chunk",) if number == 1 else ()))
    if variant == "bundled":
        return Work(
            job, "processors", trained, table[rate] * _cores(table), table[start], None, (*rests_on, "parallel")
        )
    lengths = TrainingSettings()
    tokens = lengths.chunk_tokens + lengths.term_tokens * min(of.num_pos, table["terms_per_record"])
    speed = table[rate] * _gpus(table, "training")
    return Work(job, "training", trained * tokens, speed, table[start], None, (*rests_on, "terms_per_record"))


def _index(settings: PlanSettings, table: RateTable, chunks: int) -> Work:
    variant, serving = settings.variant, settings.serving
    dimension, rows = VARIANTS[variant].dimension, ceil(chunks / serving.shards)
    memory = rows * (4 * dimension + table["text_bytes"]) / 1e9
    alone = table["start_index"]
    more: tuple[str, ...] = ("start_index", "text_bytes")
    if not _is_exact(rows, serving):
        # One process makes the lists of codes, a shard after the other.
        alone += chunks / table["index_rows"] * dimension / MEASURED_DIMENSION
        more = ("index_rows", *more)
    if variant == "bundled":
        rests_on = ("encode_bundled", "parallel", *more)
        return Work(
            "build_index", "processors", chunks, table["encode_bundled"] * _cores(table), alone, memory, rests_on
        )
    # To encode a token is a part of training on it.
    rate, tokens = f"train_{variant}", chunks * TrainingSettings().chunk_tokens
    return Work("build_index", "training", tokens, table[rate] * _gpus(table, "training"), alone, memory, (rate, *more))


def _serving(settings: PlanSettings, table: RateTable, chunks: int) -> list[Line]:
    """Shards with their vectors in the page cache; texts stay on disk. A 7B encoder has GPUs of its own."""
    serving, dimension = settings.serving, VARIANTS[settings.variant].dimension
    rows = ceil(chunks / serving.shards)
    total = serving.replicas * serving.shards * rows * (_row_bytes(rows, serving, dimension) + table["row_bytes"]) / 1e9
    node, gpu = table.node_types["shards"], table.node_types["generation"]
    # Replicas of a shard are there for when a node is lost: each on its own.
    nodes = max(serving.replicas, ceil(total / (node.memory_gb * table["usable_memory"])))
    cost, rests_on = nodes * serving.hours * node.usd_per_hour, ("row_bytes", "usable_memory")
    lines = [Line("serve", "shards", nodes, serving.hours, total / nodes, cost, rests_on)]
    if settings.variant == "large":
        _gpus(table, "generation")
        cost = serving.replicas * serving.hours * gpu.usd_per_hour
        lines.append(Line("serve (encoder)", "generation", serving.replicas, serving.hours, None, cost, ()))
    return lines


def _row_bytes(rows: int, serving: ServingPlan, dimension: int) -> float:
    """Vectors, and codes as `serving.coarse_lists` has them."""
    if _is_exact(rows, serving):
        return 4 * dimension
    codes = {"sq8": dimension, "rabitq": dimension / 8 + 8, "pq4": dimension / (8 if dimension % 3 else 6)}
    return 2 * dimension + codes[serving.kind]


def _is_exact(rows: int, serving: ServingPlan) -> bool:
    return serving.kind == "exact" or rows <= LARGEST_EXACT


def _cores(table: RateTable) -> float:
    """Of a small node, as many as they come to together."""
    return max(1.0, table.node_types["processors"].cores * table["parallel"])


def _gpus(table: RateTable, kind: NodeKind) -> int:
    if not (gpus := table.node_types[kind].gpus):
        raise SettingsError(f"node_types.{kind}.gpus: this plan needs nodes with GPUs")
    return gpus


def _fewest(hours: Callable[[int], float], deadline: float) -> int:
    if hours(MOST_NODES) > deadline:
        raise SettingsError(
            f"deadline_hours: {deadline:g} is less than what starts and single processes take on any number of nodes: "
            f"{hours(MOST_NODES):.2g} hours"
        )
    low, high = 0, MOST_NODES
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if hours(middle) <= deadline else (middle, high)
    return high
