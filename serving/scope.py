"""The patients whom a caller may see, as it travels to the shards."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Scope:
    """Equal ids stand for equal patients, so that what a shard works out of one is kept."""

    id: str
    patients: frozenset[str] = field(repr=False, compare=False)
