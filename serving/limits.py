"""How much one caller, and all of them together, may ask at once."""

from collections import Counter, OrderedDict
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
    in_flight_per_caller: int = Field(default=48, gt=0)
    """Of one caller: it leaves room for others."""


class Limits:
    """Token buckets a caller, and counts of what is being answered."""

    def __init__(self, settings: LimitSettings) -> None:
        self._settings = settings
        self._in_flight = 0
        self._in_flight_of: Counter[str] = Counter()
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def enter(self) -> None:
        """Begin to answer a request. Raises ProblemError (503) when there is no room; else `leave` must follow."""
        if self._in_flight >= self._settings.in_flight:
            raise ProblemError(503, "overloaded", "too many requests are being answered", retry_after_s=1)
        self._in_flight += 1

    def admit(self, caller: str) -> None:
        """Count a request of the caller. Raises ProblemError (429) when it asks faster or more at once than it may."""
        self._in_flight_of[caller] += 1
        if self._in_flight_of[caller] > self._settings.in_flight_per_caller:
            raise ProblemError(429, "too_many_at_once", "this caller waits for too many answers", retry_after_s=1)
        self._take(caller)

    def leave(self, caller: str | None) -> None:
        """The request is answered; `caller` is who was admitted, if anybody was."""
        self._in_flight -= 1
        if caller is not None:
            self._in_flight_of[caller] -= 1
            self._in_flight_of += Counter()  # forgets those at zero

    def charge(self, caller: str, requests: int) -> None:
        """Count more requests of a caller that was admitted: what it has not saved up, it waits for the next time."""
        if caller in self._buckets:
            left, seen = self._buckets[caller]
            self._buckets[caller] = (left - requests, seen)

    def _take(self, caller: str) -> None:
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
