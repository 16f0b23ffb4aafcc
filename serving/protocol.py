"""What travels over HTTP: requests, answers and problems (RFC 9457). Times are UTC; offsets count characters."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

Mode = Literal["dense", "lexical", "hybrid"]
GroupBy = Literal["chunk", "note", "patient"]
Identifier = Annotated[str, StringConstraints(min_length=1, max_length=256)]
Query = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=4000)]
DEEPEST = 10_000


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
    cohort: Identifier | None = None
    """The name of a cohort in the access folder."""


class SearchOptions(Request):
    """What every search may say beside its query."""

    k: int = Field(default=10, ge=1, le=1000, strict=True)
    offset: int = Field(default=0, ge=0, le=DEEPEST, strict=True)
    """So many of the best are left out: `next_offset` of the page before. Pages are of one store only as long as
    nothing is written."""
    mode: Mode = "hybrid"
    group_by: GroupBy = "chunk"
    """`note` and `patient` rank these by their best chunk, deepened until k are found or nothing is left."""
    passages: int = Field(default=3, ge=1, le=20, strict=True)
    """Of a group, at most: the best of those that were found on the way to k groups."""
    expand: bool = False
    """Words of the query that the knowledge graph knows are looked for by their synonyms too; not in dense mode, where
    the encoder knows them. The answer shows which."""
    explain: bool = False
    """Says of each hit its rank by each retriever."""
    min_version: int = Field(default=0, ge=0, lt=2**63, strict=True)
    """The answer holds everything up to this store version, as a write acknowledged it."""
    deadline_ms: int | None = Field(default=None, ge=1, le=60_000, strict=True)
    """Rather 503 than later; at most what the service allows."""
    allow_partial: bool = False
    """Answer without the shards that do not answer, saying which, rather than with 503."""


class PatientSearchRequest(SearchOptions):
    """A search in one patient's notes."""

    query: Query
    filters: NoteFilters = NoteFilters()


def _one_of_two(schema: dict[str, Any]) -> None:
    """Say in the schema of a search that it has either a query or queries, and that neither is null."""
    names = ("query", "queries")
    for name in names:
        (given,) = (each for each in schema["properties"][name]["anyOf"] if each.get("type") != "null")
        schema["properties"][name] = given
    schema["oneOf"] = [{"required": [name]} for name in names]


class SearchRequest(SearchOptions):
    """A search over all patients that the caller may see: one query, or several that are answered apart."""

    model_config = ConfigDict(json_schema_extra=_one_of_two)

    query: Query | None = None
    queries: Annotated[list[Query], Field(min_length=1, max_length=64)] | None = None
    filters: Filters = Filters()

    @model_validator(mode="after")
    def _one_way_to_ask(self) -> "SearchRequest":
        if (self.query is None) == (self.queries is None):
            raise PydanticCustomError("one_way_to_ask", "give query or queries, one of them")
        return self


class Scores(BaseModel):
    """Raw scores per retriever: BM25 (0 = no word matched) and cosine; null where the mode does not use one."""

    lexical: float | None
    dense: float | None


class Explanation(BaseModel):
    """Ranks from 1 among the candidates of each retriever; null where it did not find the chunk or was not asked."""

    lexical_rank: int | None
    dense_rank: int | None


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
    explanation: Explanation | None = None


class Group(BaseModel):
    """A note or a patient (`id`), by its best chunk, and the passages that show it."""

    id: str
    score: float
    hits: list[Hit]


class ShardReport(BaseModel):
    """Numbers of the shards that took part and of those that should have and did not answer."""

    answered: list[int]
    missing: list[int]


class ReleaseReport(BaseModel):
    """The release that answered."""

    id: str
    encoder_fingerprint: str
    store_version: int
    """What it was built of; the answer holds what was written since as well."""


class ExpansionReport(BaseModel):
    """Words of the query and their synonyms."""

    words: str
    synonyms: list[str]


class SearchResponse(BaseModel):
    """Hits, or groups where they were asked for, best first. `partial` is true when a shard is missing."""

    hits: list[Hit] = []
    groups: list[Group] = []
    next_offset: int | None
    """Where the next page begins; null when nothing is left, or only what lies deeper than an offset may."""
    store_version: int
    """Everything up to here is in the answer."""
    expansions: list[ExpansionReport] = []
    """What `expand` looked for beside the query."""
    mode: Mode
    partial: bool
    shards: ShardReport
    release: ReleaseReport


class BatchResponse(BaseModel):
    """An answer for each of `queries`, in their order."""

    answers: list[SearchResponse]


class WriteResponse(BaseModel):
    """A write that is durable. A search with `min_version` at this version sees it; any other within a second."""

    store_version: int
    notes: int
    """How many notes it was about."""


class NoteSummary(BaseModel):
    """A note without its text."""

    note_id: str
    version: int
    encounter_id: str | None
    note_type: str
    note_time: datetime | None
    source: str


class NotesResponse(BaseModel):
    """Notes of a patient, newest first, those without a time last."""

    notes: list[NoteSummary]
    next_offset: int | None
    total: int


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
