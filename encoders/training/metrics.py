"""What training on Ray tells Ray's Prometheus endpoint."""

from collections.abc import Mapping

from ray.util.metrics import Gauge

DESCRIPTIONS = {
    "step": "Steps that are done.",
    "loss": "Of the last step's batch.",
    "learning_rate": "Of the last step.",
    "chunks_per_second": "Since the training began or went on.",
}


class TrainingMetrics:
    """Of the first worker; the others know the same."""

    def __init__(self) -> None:
        self._gauges = {
            name: Gauge(f"drehr_training_{name}", description) for name, description in DESCRIPTIONS.items()
        }

    def now(self, figures: Mapping[str, float]) -> None:
        """Show the figures of a step as the loop tells them."""
        for name, gauge in self._gauges.items():
            gauge.set(figures[name])
