"""The rates that plans rest on: packaged with where each comes from, replaced by a user's own."""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Literal

import yaml
from pydantic import BaseModel, Field

from ray_jobs.job import SettingsError

NodeKind = Literal["processors", "shards", "generation", "training"]
"""The roles of nodes, as cluster.yaml has them."""
YOURS = "yours"


class Rate(BaseModel):
    """A figure, and why it is believed."""

    value: float | None = Field(gt=0)
    unit: str
    kind: Literal["measured", "published", "computed", "yours"]
    """`measured` by this project, `published` by others, `computed` from the sizes of formats, `yours` by --set."""
    source: str
    machine: str

    def __str__(self) -> str:
        return f"{self.value:,g} {self.unit}, {self.kind}" if self.value else f"no {self.unit}"


class NodeType(BaseModel):
    """A machine that is paid by the hour."""

    like: str
    cores: int = Field(gt=0)
    gpus: int = Field(ge=0)
    memory_gb: float = Field(gt=0)
    usd_per_hour: float = Field(ge=0)


class NodeChanges(BaseModel):
    """What is different of yours."""

    like: str | None = None
    cores: int | None = Field(default=None, gt=0)
    gpus: int | None = Field(default=None, ge=0)
    memory_gb: float | None = Field(default=None, gt=0)
    usd_per_hour: float | None = Field(default=None, ge=0)


class Prices(BaseModel):
    """Of the packaged node types."""

    as_of: str
    source: str


class RateTable(BaseModel):
    """All of them."""

    prices: Prices
    node_types: dict[NodeKind, NodeType]
    rates: dict[str, Rate]

    def changed(self, rates: Mapping[str, float], node_types: Mapping[NodeKind, NodeChanges]) -> "RateTable":
        """With a user's own. Raises SettingsError for a rate that there is none of."""
        if unknown := sorted(rates.keys() - self.rates.keys()):
            raise SettingsError(f"rates.{unknown[0]}: no such rate; there are {', '.join(sorted(self.rates))}")
        own = {"kind": YOURS, "source": "your setting", "machine": "yours"}
        changed = {name: self.rates[name].model_copy(update={**own, "value": value}) for name, value in rates.items()}
        nodes = {
            kind: self.node_types[kind].model_copy(update=changes.model_dump(exclude_none=True))
            for kind, changes in node_types.items()
        }
        return RateTable(prices=self.prices, rates={**self.rates, **changed}, node_types={**self.node_types, **nodes})

    def __getitem__(self, name: str) -> float:
        rate = self.rates[name]
        if rate.value is None:
            raise SettingsError(
                f"rates.{name}: {rate.source}; measure it and give it with --set rates.{name}=<{rate.unit}>"
            )
        return rate.value


@cache
def packaged_rates() -> RateTable:
    """Those of plan_rates.yaml."""
    return RateTable.model_validate(yaml.safe_load((files(__package__) / "plan_rates.yaml").read_text("utf-8")))
