"""What the service tells Ray's Prometheus endpoint: routes, outcomes, times, shards, releases; not what is asked."""

from ray.util.metrics import Counter, Gauge, Histogram

BOUNDARIES_S = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]
UNKNOWN_ROUTE = "none"
GAUGES_EVERY_S = 5.0
"""Ray forgets a gauge that is not set again for some seconds."""


class RequestMetrics:
    """Of an ingress replica; Ray adds the replica's own labels."""

    def __init__(self) -> None:
        self._requests = Counter(
            "drehr_requests", "Requests under /v1, by route and HTTP status.", tag_keys=("route", "status")
        )
        self._seconds = Histogram(
            "drehr_request_seconds", "Time until the answer left, by route.", BOUNDARIES_S, tag_keys=("route",)
        )

    def answered(self, route: str | None, status: int, seconds: float) -> None:
        """Count an answer; `route` is the path as the documentation has it, with names for ids."""
        route = route or UNKNOWN_ROUTE
        self._requests.inc(tags={"route": route, "status": str(status)})
        self._seconds.observe(seconds, tags={"route": route})


class ReleaseMetrics:
    """Of an ingress replica."""

    def __init__(self) -> None:
        self._current = Gauge("drehr_release_info", "1: searches go to this release.", tag_keys=("release",))

    def current(self, release: str) -> None:
        """Searches go to this release now."""
        self._current.set(1, tags={"release": release})


class RouterMetrics:
    """Of a router."""

    def __init__(self) -> None:
        self._missing = Counter("drehr_missing_answers", "Calls without an answer, by deployment.", tag_keys=("to",))

    def missing(self, deployment: str) -> None:
        """Count a call that got no answer in time."""
        self._missing.inc(tags={"to": deployment})


class ShardMetrics:
    """Of a shard's replica."""

    def __init__(self, release: str, number: int) -> None:
        self._version = Gauge(
            "drehr_shard_version", "Of the store's chunks, which a shard answers from.", tag_keys=("release", "shard")
        ).set_default_tags({"release": release, "shard": str(number)})

    def at(self, version: int) -> None:
        """The shard answers from this version."""
        self._version.set(version)
