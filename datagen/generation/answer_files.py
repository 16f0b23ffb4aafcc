"""What a run keeps of its rounds: the last answer to every call as a Lance table, failed calls in an error table."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import lance
import pyarrow as pa
import pyarrow.compute as pc

from datagen.generation.answers import ANSWER_SCHEMA
from datagen.generation.rounds import Round, settled

ANSWERS = "answers.lance"
ERRORS = "errors.jsonl"
TOKENS = ("prompt_tokens", "cached_tokens", "output_tokens")


class NothingAnswered(ValueError):  # noqa: N818 - an outcome, like the engines' own
    """No call has an answer: says how many there were, and the reasons counted."""


def write_answers(rounds: Sequence[Round], folder: Path, earlier: Path | None = None) -> dict[str, int]:
    """Write `answers.lance` and `errors.jsonl` (call_id, reason, tries) into `folder`.

    `earlier` are the answers of a finished run whose failed calls the rounds asked again. The counts of calls, answered
    and truncated ones, and of errors by reason. Raises NothingAnswered.
    """
    counts = Counter(calls=0, answered=0, truncated=0, errors=0)

    def counted() -> Iterator[pa.RecordBatch]:
        if earlier:
            for batch in lance.dataset(earlier).to_batches(filter="status = 'ok'"):
                truncated = batch["is_truncated"].true_count
                counts.update(calls=len(batch), answered=len(batch), truncated=truncated)
                yield batch
        for tries, batch in settled(rounds):
            failed = batch.filter(pc.equal(batch["status"], "error"))
            for call_id, reason in zip(failed["call_id"].to_pylist(), failed["reason"].to_pylist(), strict=True):
                errors.write(json.dumps({"call_id": call_id, "reason": reason, "tries": tries}) + "\n")
                counts[f"error_{reason}"] += 1
            counts.update(calls=len(batch), answered=len(batch) - len(failed), errors=len(failed))
            counts["truncated"] += batch["is_truncated"].true_count
            yield batch

    with (folder / ERRORS).open("w") as errors:
        lance.write_dataset(pa.RecordBatchReader.from_batches(ANSWER_SCHEMA, counted()), folder / ANSWERS)
    if not counts["answered"]:
        reasons = ", ".join(f"{count:,} {name}" for name, count in counts.items() if name.startswith("error_"))
        raise NothingAnswered(f"none of {counts['calls']:,} calls was answered: {reasons or 'there were none'}")
    lance.dataset(folder / ANSWERS).create_scalar_index("chunk_id", "BTREE")
    return dict(counts)


def tokens(rounds: Iterable[Round]) -> dict[str, int]:
    """The tokens of all answers, with those of failed tries."""
    counts = Counter(dict.fromkeys(TOKENS, 0))
    for each in rounds:
        for batch in each.answers():
            counts.update({name: pc.sum(batch[name]).as_py() or 0 for name in TOKENS})
    return dict(counts)


def failed_calls(answers: Path) -> frozenset[str]:
    """The ids of the calls without an answer."""
    table = lance.dataset(answers).to_table(columns=["call_id"], filter="status = 'error'")
    return frozenset(table["call_id"].to_pylist())


class AnswerTable:
    """The answers of a finished run, looked up by chunk."""

    def __init__(self, path: Path) -> None:
        self._answers = lance.dataset(path)

    def of(self, chunk_ids: Iterable[str]) -> dict[str, list[dict[str, Any]]]:
        """The answers that are ok, by chunk: variant, items (decoded), is_truncated."""
        listed = ", ".join("'" + chunk_id.replace("'", "''") + "'" for chunk_id in chunk_ids)
        found: dict[str, list[dict[str, Any]]] = defaultdict(list)
        if listed:
            columns = ["chunk_id", "variant", "items", "is_truncated"]
            wanted = f"status = 'ok' AND chunk_id IN ({listed})"
            for row in self._answers.to_table(columns=columns, filter=wanted).to_pylist():
                found[row["chunk_id"]].append({**row, "items": json.loads(row["items"])})
        return found
