"""How an encoder is trained."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from encoders.losses import LOSSES, LossName
from encoders.training.data import PHRASE, PROVENANCES

Provenance = Annotated[str, Field(pattern=f"^({'|'.join(PROVENANCES[1:PHRASE])})$")]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class LoraSettings(BaseModel):
    """Low-rank adaptation (Hu et al. 2021, arXiv 2106.09685); DR.EHR's values."""

    r: int = Field(default=16, gt=0)
    alpha: int = Field(default=32, gt=0)
    dropout: float = Field(default=0.1, ge=0, lt=1)
    targets: list[str] = Field(default=["q_proj", "v_proj", "query", "value"], min_length=1)
    """Names of the linear layers that get one, wherever the architecture has them."""


class DistillationSettings(BaseModel):
    """A teacher's scores as a second loss."""

    teacher: str
    """An encoder's name; the base itself keeps training from forgetting."""
    weight: float = Field(default=1.0, gt=0)
    temperature: float = Field(default=0.05, gt=0)


class HardNegativeSettings(BaseModel):
    """Further candidates of a batch that are hard to tell from its positives; true ones are masked as any other."""

    sources: list[Literal["bm25", "encoder", "siblings"]] = Field(min_length=1)
    """Chunks that BM25 or the encoder itself ranks high for a term; terms of concepts with a parent in common."""
    per_chunk: int = Field(default=1, gt=0)
    """How many are added for each chunk of a batch, in turn of the sources."""
    depth: int = Field(default=30, gt=0)
    """Ranks among which they are drawn."""
    pool: int = Field(default=50_000, gt=1)
    """Chunks that are ranked, drawn once where there are more."""
    refresh_steps: int = Field(default=500, gt=0)
    """The encoder ranks anew every so many steps."""


class DevSettings(BaseModel):
    """A benchmark to watch while training; it may stop early, and its best checkpoint is what is exported."""

    every_steps: int = Field(default=100, gt=0)
    patience: int | None = Field(default=None, gt=0)
    """Stop after so many evaluations in a row without a better score."""


class TrainingSettings(BaseModel):
    """One set for every variant; docs/training.md explains each."""

    model_config = ConfigDict(allow_inf_nan=False)

    epochs: int = Field(default=1, gt=0)
    max_steps: int | None = Field(default=None, gt=0)
    """Stop here even within an epoch: a budget."""
    batch_size: int = Field(default=32, gt=1)
    """Chunks a step, over all workers together."""
    num_pos: int = Field(default=8, gt=0)
    """Terms drawn a chunk."""
    phrases: int = Field(default=0, ge=0)
    """Phrases of the chunk's own text, as further terms of it."""
    chunk_tokens: int = Field(default=160, gt=2)
    term_tokens: int = Field(default=16, gt=2)
    """Without the query prefix."""
    learning_rate: float = Field(default=1e-4, gt=0)
    warmup: float = Field(default=0.1, ge=0, lt=1)
    """Share of the steps in which the learning rate rises; it falls to 0 over the rest."""
    clip_norm: float = Field(default=1.0, gt=0)
    """Longer gradients are shortened to this norm."""
    loss: LossName = "multi_similarity"
    temperature: float = Field(default=0.05, ge=0.001)
    """InfoNCE divides cosines by it; multi-similarity has none."""
    false_negative_mask: bool = True
    """A term that is true of a chunk is never its negative."""
    provenance_weights: dict[Provenance, NotNegative] = {}
    """How often a term is drawn, by how it came into the record; 1 where it is not named."""
    distillation: DistillationSettings | None = None
    hard_negatives: HardNegativeSettings | None = None
    dropout: float | None = Field(default=None, ge=0, lt=1)
    """In place of the base's own, of adapters too."""
    tuning: Literal["full", "lora"] = "full"
    lora: LoraSettings = LoraSettings()
    part_tokens: int = Field(default=16_384, gt=0)
    """Padded tokens that go through the encoder at once."""
    gradient_cache: bool = False
    """Keep only vectors and encode each part again for its gradient: the batch may be of any size (Gao et al. 2021,
    arXiv 2101.06983)."""
    gradient_checkpointing: bool = False
    precision: Literal["fp32", "bf16"] = "fp32"
    """Of the arithmetic; trained weights are kept in fp32."""
    sharding: Literal["ddp", "fsdp"] = "ddp"
    """Every worker holds all weights, or a share of them (FSDP2)."""
    base_weight: float = Field(default=0.0, ge=0, lt=1)
    """Share of the base encoder in the exported weights: averaging the two forgets less of what the base knew
    (Wortsman et al. 2022, arXiv 2109.01903). Dev scores are those of the weights before."""
    checkpoint_steps: int | None = Field(default=None, gt=0)
    """A checkpoint every so many steps, beside the one after each epoch."""
    dev: DevSettings = DevSettings()
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _hard_negatives_count(self) -> "TrainingSettings":
        if self.hard_negatives and LOSSES[self.loss].counts_copies:
            raise ValueError(f"training.loss {self.loss} knows no negatives but drawn terms: leave out hard_negatives")
        return self

    @model_validator(mode="after")
    def _lora_is_used(self) -> "TrainingSettings":
        if self.tuning == "full" and self.lora != LoraSettings():
            raise ValueError("training.lora is of no use with training.tuning full: set that to lora or leave it out")
        return self

    @property
    def freezes_bf16(self) -> bool:
        """Whether weights that are not trained are held in bf16. FSDP2 shards weights of one format."""
        return self.tuning == "lora" and self.precision == "bf16" and self.sharding == "ddp"
