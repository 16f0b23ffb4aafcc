"""What a job that asks a language model tells Ray's Prometheus endpoint: calls answered and failed, and tokens."""

import pyarrow as pa
import pyarrow.compute as pc
from ray.util.metrics import Counter

COUNTED = ["status", "reason", "prompt_tokens", "output_tokens"]


class AnswerMetrics:
    """Of the process that started the job: answers count as soon as they are written."""

    def __init__(self) -> None:
        self._answered = Counter("drehr_answered_calls", "Calls whose answer can be used.")
        self._failed = Counter("drehr_failed_calls", "Tries of a call that brought none.", tag_keys=("reason",))
        self._tokens = Counter("drehr_tokens", "Of prompts and answers, failed calls included.", tag_keys=("kind",))

    def written(self, answers: pa.Table) -> None:
        """Count answers (of `ANSWER_SCHEMA`, COUNTED at least)."""
        _add(self._answered, pc.sum(pc.equal(answers["status"], "ok")).as_py())
        failed = answers["reason"].filter(pc.equal(answers["status"], "error"))
        for count in failed.value_counts().to_pylist():
            _add(self._failed, count["counts"], reason=count["values"])
        for kind in ("prompt", "output"):
            _add(self._tokens, pc.sum(answers[f"{kind}_tokens"]).as_py(), kind=kind)


def _add(counter: Counter, amount: int | None, **tags: str) -> None:
    if amount:  # A counter refuses to be raised by 0; of no rows there is no sum.
        counter.inc(amount, tags=tags)
