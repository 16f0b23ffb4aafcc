"""The chunks of chosen notes as a benchmark's corpus.jsonl."""

import json
from pathlib import Path

from pydantic import BaseModel

from corpus.store import Store

COLUMNS = ["chunk_id", "text", "note_id", "patient_id"]


class CorpusFileSettings(BaseModel):
    """Which notes' chunks go into which file."""

    path: Path
    note_ids: Path
    """A file with the id of a note a line, such as CliniQ's test_hadm_ids.txt."""


def write_corpus_file(store: Store, settings: CorpusFileSettings) -> int:
    """Write `{"_id", "text", "note_id", "patient_id"}` a line, in order of the notes' ids; how many they are.

    Raises ValueError where no note is asked for, or one that the store lacks.
    """
    wanted = {line.strip() for line in settings.note_ids.read_text("utf-8").splitlines() if line.strip()}
    if not wanted:
        raise ValueError(f"{settings.note_ids}: no note ids; one a line is expected")
    among = ", ".join("'" + note.replace("'", "''") + "'" for note in sorted(wanted))
    chunks = store.chunks().to_table(columns=COLUMNS, filter=f"note_id IN ({among})")
    if missing := wanted - set(chunks["note_id"].to_pylist()):
        raise ValueError(
            f"{settings.note_ids}: {len(missing)} of its {len(wanted)} notes are not in {store.folder}, "
            f"such as {min(missing)}"
        )
    rows = sorted(chunks.to_pylist(), key=lambda row: (row["note_id"], int(row["chunk_id"].rpartition("_")[2])))
    aside = settings.path.with_name(f"{settings.path.name}.unfinished")
    aside.parent.mkdir(parents=True, exist_ok=True)
    with aside.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps({"_id": row.pop("chunk_id"), **row}, ensure_ascii=False) + "\n")
    aside.rename(settings.path)
    return len(rows)
