"""Progress lines of a long step: what is done, of how much, how long it took and how long it may still take."""

import time

SECONDS_APART = 5.0


class Progress:
    """Called with `(name, newly done, total or None)`; prints a line for a name at most every few seconds.

    What the first call of a name reports was done before its clock began.
    """

    def __init__(self) -> None:
        self._done: dict[str, int] = {}
        self._begun: dict[str, tuple[float, int]] = {}
        self._printed: dict[str, float] = {}

    def __call__(self, name: str, newly: int, total: int | None) -> None:
        now = time.monotonic()
        begun, before = self._begun.setdefault(name, (now, newly))
        done = self._done[name] = self._done.get(name, 0) + newly
        if now - self._printed.setdefault(name, now) < SECONDS_APART and done != total:
            return
        self._printed[name] = now
        seconds = now - begun
        line = f"  {name}: {done:,}"
        if total:
            line += f" of {total:,} ({done / total:.0%})"
        line += f", {seconds:.0f} s"
        if total and before < done < total:
            line += f", ETA {seconds / (done - before) * (total - done):.0f} s"
        print(line, flush=True)
