"""How much one caller, and all of them together, may ask at once."""

from collections import OrderedDict
from time import monotonic

from pydantic import BaseModel, Field

from serving.problems import ProblemError

REMEMBERED = 10_000


class LimitSettings(BaseModel):
    """Of each ingress replica."""

    requests_per_s: float | None = Field(default=None, gt=0)
    """Of one caller, in the long run; None is no limit."""
    burst: int = Field(default=20, gt=0)
    """Of one caller at once."""
    in_flight: int = Field(default=64, gt=0)
    """Of all callers: what comes above is refused at once, so that what was let in is answered in time."""


class Limits:
    """Token buckets a caller, and a count of what is being answered."""

    def __init__(self, settings: LimitSettings) -> None:
        self._settings = settings
        self._in_flight = 0
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def enter(self) -> None:
        """Begin to answer a request. Raises ProblemError (503) when there is no room; else `leave` must follow."""
        if self._in_flight >= self._settings.in_flight:
            raise ProblemError(503, "overloaded", "too many requests are being answered", retry_after_s=1)
        self._in_flight += 1

    def leave(self) -> None:
        """The request is answered."""
        self._in_flight -= 1

    def take(self, caller: str) -> None:
        """Count a request of the caller. Raises ProblemError (429) when it asks faster than it may."""
        rate = self._settings.requests_per_s
        if rate is None:
            return
        now = monotonic()
        left, seen = self._buckets.pop(caller, (float(self._settings.burst), now))
        left = min(self._settings.burst, left + (now - seen) * rate)
        self._buckets[caller] = (left - 1 if left >= 1 else left, now)
        if len(self._buckets) > REMEMBERED:
            self._buckets.popitem(last=False)
        if left < 1:
            wait = max(1, round((1 - left) / rate))
            raise ProblemError(429, "too_many_requests", "this caller asks too often", retry_after_s=wait)
