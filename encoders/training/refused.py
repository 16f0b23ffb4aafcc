"""What ends a training for good."""


class RefusedError(ValueError):
    """Input, settings or what came of them do not fit: every rank finds the same, and would again."""
