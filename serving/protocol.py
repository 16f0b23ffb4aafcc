"""What travels over HTTP: requests, answers and problems (RFC 9457). Times are UTC; offsets count characters."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

Mode = Literal["dense", "lexical", "hybrid"]
Identifier = Annotated[str, StringConstraints(min_length=1, max_length=256)]


class Request(BaseModel):
    """A request refuses fields it does not know, naming the known ones and never the one it was sent."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _know_every_field(cls, value: Any) -> Any:
        if isinstance(value, dict) and not value.keys() <= cls.model_fields.keys():
            known = ", ".join(cls.model_fields)
            raise PydanticCustomError("unknown_field", "unknown field; known here: {known}", {"known": known})
        return value


class NoteFilters(Request):
    """Conditions on a hit's note; all that are given must hold."""

    note_types: Annotated[list[Identifier], Field(min_length=1, max_length=1000)] | None = None
    sources: Annotated[list[Identifier], Field(min_length=1, max_length=1000)] | None = None
    time_from: datetime | None = None
    """Notes at or after this time; without an offset it is UTC. Notes without a time never match."""
    time_to: datetime | None = None
    """Notes before this time."""

    @model_validator(mode="after")
    def _times_are_utc(self) -> "NoteFilters":
        for name in ("time_from", "time_to"):
            time: datetime | None = getattr(self, name)
            if time is not None:
                utc = time.replace(tzinfo=UTC) if time.tzinfo is None else time
                setattr(self, name, utc)
        return self


class Filters(NoteFilters):
    """Conditions on a hit's note and patient."""

    patient_ids: Annotated[list[Identifier], Field(min_length=1, max_length=10_000)] | None = None


class PatientSearchRequest(Request):
    """A search in one patient's notes."""

    query: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=4000)]
    k: int = Field(default=10, ge=1, le=1000, strict=True)
    mode: Mode = "hybrid"
    filters: NoteFilters = NoteFilters()
    allow_partial: bool = False
    """Answer without the shards that do not answer, saying which, rather than with 503."""


class SearchRequest(PatientSearchRequest):
    """A search over all patients."""

    filters: Filters = Filters()


class Scores(BaseModel):
    """Raw scores per retriever: BM25 (0 = no word matched) and cosine; null where the mode does not use one."""

    lexical: float | None
    dense: float | None


class Hit(BaseModel):
    """A chunk. `char_start:char_end` is its span in the original note, `highlights` are spans in `text`."""

    chunk_id: str
    note_id: str
    patient_id: str
    note_type: str
    note_time: datetime | None
    source: str
    text: str
    char_start: int
    char_end: int
    score: float
    scores: Scores
    highlights: list[tuple[int, int]]


class ShardReport(BaseModel):
    """Numbers of the shards that took part and of those that should have and did not answer."""

    answered: list[int]
    missing: list[int]


class ReleaseReport(BaseModel):
    """The release that answered."""

    id: str
    encoder_fingerprint: str
    store_version: int


class SearchResponse(BaseModel):
    """Hits, best first. `partial` is true when a shard is missing and the request allowed it."""

    hits: list[Hit]
    mode: Mode
    partial: bool
    shards: ShardReport
    release: ReleaseReport


class NoteResponse(BaseModel):
    """A note as it came in; `text` is the original."""

    note_id: str
    version: int
    patient_id: str
    encounter_id: str | None
    note_type: str
    note_time: datetime | None
    source: str
    text: str


class Health(BaseModel):
    """The process answers (`ok`), or all it needs does too (`ready`)."""

    status: Literal["ok", "ready"]


class FieldProblem(BaseModel):
    """One field that is wrong. The reason never repeats what was sent."""

    field: str
    reason: str


class Problem(BaseModel):
    """An error as `application/problem+json`; `code` is stable and meant for programs."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    errors: list[FieldProblem] = []
