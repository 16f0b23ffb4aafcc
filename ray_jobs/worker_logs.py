"""What Ray's workers write to their logs, set before they run anything."""

import logging


def set_up_worker() -> None:
    """Engines log a line a batch, and where a call fails one that may quote the prompt: neither is wanted."""
    logging.getLogger("ray.llm").setLevel(logging.ERROR)
