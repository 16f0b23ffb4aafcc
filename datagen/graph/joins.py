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
from datagen.graph.grouping import Column, codes, first_rows, positions, renamed
from datagen.graph.tables import KnowledgeGraph

MAX_SOURCES = 63
_SAMPLES = 20
_ENDS = ("first", "second")
_KINDS = ("xref", "name", "code")
_OUTCOMES = (
    *(f"joined_by_{kind}" for kind in _KINDS),
    "refused_for_same_source",
    "refused_for_types",
    "refused_for_words",
)
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
    shared = {kind: _sharing(of_key, key, sources) for kind, (of_key, key) in keys.items()}
    pairs = pa.concat_tables([table for table, _ in shared.values()])
    kinds = np.repeat(np.arange(len(_KINDS)), [len(table) for table, _ in shared.values()])
    involved = np.unique(np.concatenate([pairs[end].to_numpy() for end in _ENDS]))
    about = _about(involved, concepts, node, ids, sources)
    first, second = np.sort([about.rank[pairs[end].to_numpy()] for end in _ENDS], axis=0)
    order = _surest_first(first, second, kinds, pairs["why_count"].to_numpy(), about.names)
    why = pairs["why_min"].take(pa.array(order))
    absorbed, report = _join(first[order], second[order], kinds[order], why, about, random.Random(seed))
    ambiguous = {kind: n_ambiguous for kind, (_, n_ambiguous) in shared.items()}
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
    # As `datagen.graph.artefact.normalise` writes them, a column at a time.
    normalised = pc.utf8_trim_whitespace(pc.replace_substring_regex(pc.utf8_lower(written), r"\s+", " "))
    return np.concatenate([node, node_of_term[counts]]), normalised


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
class _Concepts:
    """What decides whether concepts are joined. They are known by their rank: by their earliest source, then by id."""

    rank: np.ndarray
    """Of every node; -1 for those that share nothing."""
    ids: pa.Array
    names: Column
    sources: list[int]
    """A set of bits for each."""
    groups: list[int]
    """Semantic groups, a set of bits for each."""

    def name(self, place: int) -> str:
        return self.names[place].as_py()


def _about(involved: np.ndarray, concepts: pa.Table, node: np.ndarray, ids: pa.Array, sources: np.ndarray) -> _Concepts:
    earliest = sources[involved] & (~sources[involved] + np.uint64(1))
    ranking = pa.table({"earliest": earliest, "id": ids.take(pa.array(involved))})
    by_rank = pc.sort_indices(ranking, sort_keys=[("earliest", "ascending"), ("id", "ascending")])
    involved = involved[by_rank.to_numpy()]
    rank = np.full(len(ids), -1)
    rank[involved] = np.arange(len(involved))

    types = concepts["semantic_types"].combine_chunks()
    known = types.flatten().unique()
    groups = renamed(known, group_of_type()).to_pylist()
    bit_of = {group: 1 << bit for bit, group in enumerate(sorted(set(groups)))}
    bits = [bit_of[group] for group in groups]
    of_concept = [0] * len(involved)
    place_of = rank[node[pc.list_parent_indices(types).to_numpy()]]
    for place, number in zip(place_of.data, positions(types.flatten(), known).data, strict=True):
        if place >= 0:
            of_concept[place] |= bits[number]
    names = concepts["preferred_term"].take(pa.array(first_rows(node)[involved]))
    return _Concepts(rank, ids.take(pa.array(involved)), names, sources[involved].tolist(), of_concept)


def _surest_first(
    first: np.ndarray, second: np.ndarray, kinds: np.ndarray, n_shared: np.ndarray, names: Column
) -> np.ndarray:
    """The order of pairs: those with the same preferred term, then by kind, then those that share more of any kind."""
    of_pair = np.unique(first * len(names) + second, return_inverse=True)[1]
    shared_in_all = np.bincount(of_pair, weights=n_shared)[of_pair]
    name = codes(pc.utf8_lower(names))
    return np.lexsort((second, first, -shared_in_all, kinds, name[first] != name[second]))


def _join(
    firsts: np.ndarray, seconds: np.ndarray, kinds: np.ndarray, why: Column, about: _Concepts, draw: random.Random
) -> tuple[dict[str, str], dict[str, Any]]:
    """Join pair after pair, in the order given, as long as no two concepts of one source come together."""
    kept = list(range(len(about.ids)))
    together = about.sources.copy()
    outcomes = np.full(len(kinds), -1, np.int8)
    # A memoryview gives numbers one by one: lists of millions of pairs would be gigabytes.
    for pair, (kind, first, second) in enumerate(zip(kinds.data, firsts.data, seconds.data, strict=True)):
        one, other = sorted((_root(kept, first), _root(kept, second)))
        if one == other:
            continue
        if _KINDS[kind] == "name" and not about.groups[first] & about.groups[second]:
            outcome = "refused_for_types"
        elif _KINDS[kind] == "code" and _words(about.name(first)) != _words(about.name(second)):
            outcome = "refused_for_words"
        elif together[one] & together[other]:
            outcome = "refused_for_same_source"
        else:
            outcome = f"joined_by_{_KINDS[kind]}"
            kept[other] = one
            together[one] |= together[other]
        outcomes[pair] = _OUTCOMES.index(outcome)
    joined = [place for place, root in enumerate(kept) if place != root]
    roots = [_root(kept, place) for place in joined]
    absorbed, kept_ids = (about.ids.take(pa.array(places, pa.int64())).to_pylist() for places in (joined, roots))
    of_outcome = {name: np.flatnonzero(outcomes == number) for number, name in enumerate(_OUTCOMES)}
    return dict(zip(absorbed, kept_ids, strict=True)), {
        **{name: len(listed) for name, listed in of_outcome.items()},
        "samples": {
            name: [
                _sample(about, firsts[pair], seconds[pair], why[pair].as_py())
                for pair in listed[draw.sample(range(len(listed)), min(_SAMPLES, len(listed)))].tolist()
            ]
            for name, listed in of_outcome.items()
        },
    }


def _sample(about: _Concepts, first: int, second: int, why: str) -> dict[str, str]:
    return {
        "why": why,
        "kept": about.ids[first].as_py(),
        "kept_name": about.name(first),
        "other": about.ids[second].as_py(),
        "other_name": about.name(second),
    }


def _words(name: str) -> set[str]:
    singular = (word.rstrip("s") for word in re.findall(r"\w+", name.lower()))
    return {part for word in singular for part in _WRITTEN_ALIKE.get(word, word).split()} - _FILLERS


def _root(kept: Sequence[int], place: int) -> int:
    while kept[place] != place:
        place = kept[place]
    return place


@cache
def group_of_type() -> dict[str, str]:
    """The semantic groups of types; a type that is not there is a group of its own."""
    groups = yaml.safe_load(_GROUPS.read_text("utf-8"))
    return {semantic_type: group for group, types in groups.items() for semantic_type in types}
