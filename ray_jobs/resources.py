"""Ray's resources in the words that recipes use."""

from collections import Counter
from collections.abc import Mapping, Sequence

from encoders.workers import ACCELERATOR, GB

Resources = Mapping[str, float]
"""Amounts by Ray's names: CPU, GPU, memory in bytes, accelerator_type:H100, ..."""

SET_BY_PEOPLE = ("CPU", "GPU", "memory")


def shown(resources: Resources) -> str:
    """`8 CPU, 1 GPU, 64.0 GB memory, H100`; what else Ray counts is left out."""
    amounts = {name: amount for name in SET_BY_PEOPLE if (amount := resources.get(name, 0))}
    parts = [
        f"{amount / GB:.1f} GB memory" if name == "memory" else f"{amount:g} {name}" for name, amount in amounts.items()
    ]
    parts += [name.removeprefix(ACCELERATOR) for name in resources if name.startswith(ACCELERATOR)]
    return ", ".join(parts) or "nothing"


def counted(bundles: Sequence[Resources]) -> str:
    """Alike ones together: `2 x (8 CPU, 1 GPU) and 1 x (4 CPU)`."""
    counts = Counter(map(shown, bundles))
    return " and ".join(f"{count} x ({each})" for each, count in counts.items()) or "nothing"
