"""Where graph terms occur in a text: one matcher a profile, all over the same built graph."""

from typing import Literal

from pydantic import BaseModel

from datagen.graph.artefact import BuiltGraph
from datagen.matching.base import Match, Matcher
from datagen.matching.clinical import ClinicalMatcher
from datagen.matching.drehr import DrEhrMatcher

MATCHERS: dict[str, type[Matcher]] = {"drehr": DrEhrMatcher, "clinical": ClinicalMatcher}


class MatchingSettings(BaseModel):
    """How terms are matched."""

    profile: Literal["drehr", "clinical"] = "clinical"
    """`drehr`: exactly as the published code; `clinical`: variants of a term too, but no identifiers, units or
    everyday words."""


def make_matcher(settings: MatchingSettings, graph: BuiltGraph) -> Matcher:
    """The matcher that the settings name."""
    return MATCHERS[settings.profile](graph)


__all__ = ["MATCHERS", "Match", "Matcher", "MatchingSettings", "make_matcher"]
