"""The learning rate over the steps of a run."""


def learning_rate_factor(step: int, steps: int, warmup: float) -> float:
    """Linear rise over the first `warmup` share of the steps, linear fall to 0 over the rest."""
    rising = warmup * steps
    return min(1.0, (step + 1) / rising) if step < rising else (steps - step) / (steps - rising)
