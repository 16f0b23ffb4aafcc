"""What the service tells Ray's Prometheus endpoint: routes, outcomes, times and shards. Nothing of what was asked."""

from ray.util.metrics import Counter, Histogram

BOUNDARIES_S = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]
UNKNOWN_ROUTE = "none"


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


class ShardMetrics:
    """Of a router."""

    def __init__(self) -> None:
        self._missing = Counter("drehr_missing_answers", "Calls without an answer, by deployment.", tag_keys=("to",))

    def missing(self, deployment: str) -> None:
        """Count a call that got no answer in time."""
        self._missing.inc(tags={"to": deployment})
