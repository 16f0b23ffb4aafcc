"""Notes as the store has them now."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pyarrow.compute as pc

from corpus.store import Store
from serving.problems import ProblemError
from serving.protocol import NoteResponse, NotesResponse, NoteSummary


def find_note(store: Store, note_id: str) -> NoteResponse | None:
    """The note with this id, if there is one."""
    # An expression, not SQL: an id cannot become syntax.
    with _readable():
        found = store.notes().to_table(filter=pc.field("note_id") == note_id, limit=1).to_pylist()
    return NoteResponse(**found[0]) if found else None


def notes_of_patient(store: Store, patient_id: str, limit: int, offset: int) -> NotesResponse:
    """A page of the patient's notes, newest first."""
    with _readable():
        table = store.notes().to_table(
            columns=list(NoteSummary.model_fields), filter=pc.field("patient_id") == patient_id
        )
    order = pc.sort_indices(table, [("note_time", "descending"), ("note_id", "ascending")], null_placement="at_end")
    page = table.take(order[offset : offset + limit]).to_pylist()
    return NotesResponse(
        notes=[NoteSummary(**each) for each in page],
        next_offset=offset + limit if offset + limit < len(table) else None,
        total=len(table),
    )


def patients_of_notes(store: Store, note_ids: Sequence[str]) -> dict[str, str]:
    """Whose each note is; notes that are not there are left out."""
    with _readable():
        table = store.notes().to_table(columns=["note_id", "patient_id"], filter=pc.field("note_id").isin(note_ids))
    return dict(zip(table["note_id"].to_pylist(), table["patient_id"].to_pylist(), strict=True))


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError):
        raise ProblemError(503, "store_unavailable", "the store cannot be read now", retry_after_s=5) from None
