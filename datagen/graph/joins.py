"""Which concepts of several sources are one.

Concepts are joined by a shared xref (a concept's own id is one); by the same normalised name, preferred or exact,
when their semantic types are compatible; and by a shared code of a classification (ICD), when their preferred terms
have the same words, because a class is often wider or narrower than what is put into it. What one source uses for two
of its concepts joins nothing: it is coarse or ambiguous. Two concepts of one source never become one, not by way of a
third one either; so pairs with the same preferred term come first, then those with an xref, then those that share
more. The order of rows plays no part.
"""

import random
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import yaml

from datagen.graph.curies import normalise
from datagen.graph.grouping import Column, positions
from datagen.graph.tables import KnowledgeGraph

MAX_SOURCES = 63
_SAMPLES = 20
_ENDS = ("first", "second")
_KINDS = ("xref", "name", "code")
_REFUSALS = ("same_source", "types", "words")
_CLASSIFICATION = r"^ICD"
_FILLERS = frozenset(["a", "an", "and", "by", "for", "in", "no", "of", "on", "or", "the", "to", "unspecified", "with"])
"""Words that tell no concepts apart, without the final s that `_words` takes off."""
_WRITTEN_ALIKE = {"cancer": "malignant neoplasm", "disorder": "disease"}
_GROUPS = Path(__file__).with_name("semantic_groups.yaml")


def find_joins(graphs: Sequence[KnowledgeGraph], seed: int = 0) -> tuple[dict[str, str], dict[str, Any]]:
    """The id of every concept that becomes part of another one -> the other's id; and a report with seeded samples.

    Concepts with the same id are one from the start. The earliest source's concept is the one that is kept.
    """
    concepts = pa.concat_tables([graph.concepts for graph in graphs])
    source = np.repeat(np.arange(len(graphs)), [graph.concepts.num_rows for graph in graphs])
    ids = concepts["concept_id"].unique()
    node = positions(concepts["concept_id"], ids)
    sources = np.zeros(len(ids), np.uint64)
    np.bitwise_or.at(sources, node, np.uint64(1) << source.astype(np.uint64))

    node_of_xref, xref = _xrefs(graphs, ids)
    is_code = pc.match_substring_regex(xref, _CLASSIFICATION)
    keys = {
        "xref": (node_of_xref[~is_code.to_numpy()], xref.filter(pc.invert(is_code))),
        "name": _names(graphs, concepts, node, ids),
        "code": (node_of_xref[is_code.to_numpy()], xref.filter(is_code)),
    }
    pairs, ambiguous = {}, {}
    for kind, (of_key, key) in keys.items():
        pairs[kind], ambiguous[kind] = _sharing(of_key, key, sources)
    involved = np.unique(np.concatenate([table[end].to_numpy() for table in pairs.values() for end in _ENDS]))
    of_involved = np.flatnonzero(np.isin(node, involved))
    about = _about(node[of_involved].tolist(), concepts.take(pa.array(of_involved)).to_pylist(), sources)
    absorbed, report = _join({kind: table.to_pylist() for kind, table in pairs.items()}, about, random.Random(seed))
    return absorbed, {"joined_by_id": len(concepts) - len(ids), **report, "of_several_concepts": ambiguous}


def _xrefs(graphs: Sequence[KnowledgeGraph], ids: pa.Array) -> tuple[np.ndarray, Column]:
    rows = pa.concat_tables([graph.xrefs for graph in graphs])
    node = positions(rows["concept_id"], ids)
    own = pc.coalesce(normalise(ids), ids)
    return (
        np.concatenate([np.arange(len(ids)), node[node >= 0]]),
        pa.chunked_array([own, *rows["xref"].filter(pa.array(node >= 0)).chunks]),
    )


def _names(
    graphs: Sequence[KnowledgeGraph], concepts: pa.Table, node: np.ndarray, ids: pa.Array
) -> tuple[np.ndarray, Column]:
    terms = pa.concat_tables([graph.terms for graph in graphs])
    node_of_term = positions(terms["concept_id"], ids)
    counts = (node_of_term >= 0) & pc.equal(terms["scope"], "exact").to_numpy()
    written = pa.chunked_array([*concepts["preferred_term"].chunks, *terms["term"].filter(pa.array(counts)).chunks])
    return np.concatenate([node, node_of_term[counts]]), _normalised(written)


def _normalised(names: Column) -> Column:
    """Names as `datagen.graph.artefact.normalise` writes them, a column at a time."""
    return pc.utf8_trim_whitespace(pc.replace_substring_regex(pc.utf8_lower(names), r"\s+", " "))


def _sharing(node: np.ndarray, key: Column, sources: np.ndarray) -> tuple[pa.Table, int]:
    """Pairs of concepts that share a key, with how many they share and one of them, and how many keys are ambiguous."""
    key = key.cast(pa.large_string())  # the names of tens of millions of concepts are more than 2 GB
    values = key.unique()
    shared = np.sort(positions(key, values) * len(sources) + node)
    shared = shared[np.diff(shared, prepend=-1) > 0]
    number, node = np.divmod(shared, len(sources))
    start = np.flatnonzero(np.diff(number, prepend=-1))
    size = np.diff(np.append(start, len(number)))
    n_sources = np.bitwise_count(np.bitwise_or.reduceat(sources[node], start))
    unambiguous = np.add.reduceat(np.bitwise_count(sources[node]).astype(np.int64), start) == n_sources
    usable = np.repeat(unambiguous & (size > 1), size)
    number, node = number[usable], node[usable]
    pairs = []
    for step in range(1, MAX_SOURCES):
        same = np.flatnonzero(number[:-step] == number[step:])
        if not len(same):
            break
        pairs.append(np.stack([node[same], node[same + step], number[same]]))
    first, second, why = np.concatenate(pairs, axis=1) if pairs else np.empty((3, 0), np.int64)
    columns = {"first": first, "second": second, "why": pc.take(values, pa.array(why))}
    grouped = pa.table(columns).group_by(["first", "second"]).aggregate([("why", "count"), ("why", "min")])
    return grouped, int((~unambiguous).sum())


@dataclass
class _Concept:
    """What decides whether a concept is joined: `sources` is a set of bits."""

    concept_id: str
    name: str
    sources: int
    groups: set[str]

    @property
    def rank(self) -> tuple[int, str]:
        """Lowest for the concept of the earliest source."""
        return self.sources & -self.sources, self.concept_id


def _about(places: Sequence[int], rows: Sequence[dict[str, Any]], sources: np.ndarray) -> dict[int, _Concept]:
    about: dict[int, _Concept] = {}
    for place, row in zip(places, rows, strict=True):
        concept = _Concept(row["concept_id"], row["preferred_term"], int(sources[place]), set())
        about.setdefault(place, concept).groups.update(map(_group, row["semantic_types"]))
    return about


def _join(
    pairs: dict[str, list[dict[str, Any]]], about: dict[int, _Concept], draw: random.Random
) -> tuple[dict[str, str], dict[str, Any]]:
    """Join pair after pair, the surest first, as long as no two concepts of one source come together."""
    n_shared: Counter[tuple[int, int]] = Counter()
    for of_kind in pairs.values():
        for pair in of_kind:
            n_shared[pair["first"], pair["second"]] += pair["why_count"]
    ordered = []
    for kind, of_kind in pairs.items():
        for pair in of_kind:
            ends = (pair["first"], pair["second"])
            first, second = sorted(ends, key=lambda end: about[end].rank)
            differs = about[first].name.lower() != about[second].name.lower()
            surest_first = (differs, _KINDS.index(kind), -n_shared[ends], about[first].rank, about[second].rank)
            ordered.append((surest_first, kind, first, second, pair["why_min"]))

    kept: dict[int, int] = {}
    together = {place: concept.sources for place, concept in about.items()}
    outcomes: dict[str, list[tuple[int, int, str]]] = {
        **{f"joined_by_{kind}": [] for kind in _KINDS},
        **{f"refused_for_{reason}": [] for reason in _REFUSALS},
    }
    for _, kind, first, second, why in sorted(ordered):
        one, other = sorted((_root(kept, first), _root(kept, second)), key=lambda place: about[place].rank)
        if one == other:
            continue
        if kind == "name" and not about[first].groups & about[second].groups:
            outcome = "refused_for_types"
        elif kind == "code" and _words(about[first].name) != _words(about[second].name):
            outcome = "refused_for_words"
        elif together[one] & together[other]:
            outcome = "refused_for_same_source"
        else:
            outcome = f"joined_by_{kind}"
            kept[other] = one
            together[one] |= together[other]
        outcomes[outcome].append((first, second, why))
    return {about[place].concept_id: about[_root(kept, place)].concept_id for place in kept}, {
        **{name: len(listed) for name, listed in outcomes.items()},
        "samples": {
            name: [_sample(about, *pair) for pair in draw.sample(listed, min(_SAMPLES, len(listed)))]
            for name, listed in outcomes.items()
        },
    }


def _sample(about: dict[int, _Concept], first: int, second: int, why: str) -> dict[str, str]:
    return {
        "why": why,
        "kept": about[first].concept_id,
        "kept_name": about[first].name,
        "other": about[second].concept_id,
        "other_name": about[second].name,
    }


def _words(name: str) -> set[str]:
    singular = (word.rstrip("s") for word in re.findall(r"\w+", name.lower()))
    return {part for word in singular for part in _WRITTEN_ALIKE.get(word, word).split()} - _FILLERS


def _root(kept: dict[int, int], place: int) -> int:
    while place in kept:
        place = kept[place]
    return place


@cache
def _group_of_type() -> dict[str, str]:
    groups = yaml.safe_load(_GROUPS.read_text("utf-8"))
    return {semantic_type: group for group, types in groups.items() for semantic_type in types}


def _group(semantic_type: str) -> str:
    """The semantic group of the type; a type that `semantic_groups.yaml` does not know is a group of its own."""
    return _group_of_type().get(semantic_type, semantic_type)
