"""The built form of a knowledge graph: a folder of memory-mapped files that all workers of a node share.

    terms.*           every normalised term -> its key (an int): `datagen.graph.term_index`
    concepts.marisa   every concept id -> its key
    terms.arrow       row = term key: the concepts it may name and how closely it names them
    concepts.arrow    row = concept key: preferred term, semantic types, terms, parents, related concepts
    folded.*          every folded form (`datagen.graph.folding`) -> its key
    folded.arrow      row = key of a folded form: the term it stands for, whether that is only written in capitals
    senses.marisa     every short form of an abbreviation inventory, as written -> its key
    senses.arrow      row = key of a short form: its long forms and how often each was counted
    manifest.json     written last; a folder without it is not finished

Opening maps the files and reads nothing else, so it takes milliseconds whatever the number of terms.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import marisa_trie
import numpy as np
import pyarrow as pa

from datagen.graph.tables import SCOPES
from datagen.graph.term_index import TermIndex

FORMAT = 2
CLOSENESS = ("preferred", *SCOPES)
"""How a term may name a concept, closest first."""


def normalise(term: str) -> str:
    """The form in which terms are looked up: lower case, one space between words, none around."""
    return " ".join(term.lower().split())


class _Lists:
    """A mapped column of int lists."""

    def __init__(self, column: pa.ListArray) -> None:
        self._offsets, self._values = _numbers(column.offsets), _numbers(column.values)

    def __getitem__(self, row: int) -> list[int]:
        return self._values[self._offsets[row] : self._offsets[row + 1]].tolist()

    def pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """Row and value of every entry."""
        return np.repeat(np.arange(len(self._offsets) - 1), np.diff(self._offsets)), self._values


class Sense(NamedTuple):
    """What an inventory says that a short form may stand for, normalised; how often it was counted, 0 if not said."""

    long_form: str
    uses: int


class BuiltGraph:
    """Look-ups in a built graph. Pickles as its folder, so workers map the same files.

    Methods that take a concept id raise KeyError for one that the graph does not hold.
    """

    def __init__(self, folder: Path, longest_term: int, longest_folded: int) -> None:
        self.folder = folder
        self.terms = TermIndex(folder, "terms", longest_term)
        """All normalised terms."""
        self.folded_terms = TermIndex(folder, "folded", longest_folded)
        """All folded forms."""
        self._terms = self.terms.trie
        self._concepts = marisa_trie.Trie().mmap(str(folder / "concepts.marisa"))
        terms, concepts = _mapped(folder / "terms.arrow"), _mapped(folder / "concepts.arrow")
        self._concepts_of, self._closeness = _Lists(terms["concepts"]), _Lists(terms["closeness"])
        self._terms_of, self._parents = _Lists(concepts["terms"]), _Lists(concepts["parents"])
        self._related = _Lists(concepts["related"])
        self._preferred_term, self._semantic_types = concepts["preferred_term"], concepts["semantic_types"]
        forms = _mapped(folder / "folded.arrow")
        self._folded_term, self._folded_capitals = _numbers(forms["term"]), _numbers(forms["capitals_only"])
        self._short_forms = marisa_trie.Trie().mmap(str(folder / "senses.marisa"))
        senses = _mapped(folder / "senses.arrow")
        self._long_forms, self._counts = senses["long_forms"], senses["counts"]

    @classmethod
    def open(cls, folder: Path) -> "BuiltGraph":
        """Map a folder that `build_graph` wrote; ValueError if it is missing, unfinished or of another format."""
        try:
            manifest = json.loads((folder / "manifest.json").read_text())
            if manifest["format"] != FORMAT:
                raise ValueError(f"{folder}: built in format {manifest['format']}, not {FORMAT}; build it again")
            return cls(folder, manifest["longest_term"], manifest["longest_folded"])
        except (OSError, KeyError, json.JSONDecodeError, pa.ArrowInvalid):
            raise ValueError(f"{folder}: not a finished built knowledge graph; build it again") from None

    def __reduce__(self) -> tuple[Any, ...]:
        return BuiltGraph.open, (self.folder,)

    def __contains__(self, concept: str) -> bool:
        return concept in self._concepts

    def concepts_of(self, term: str) -> tuple[str, ...]:
        """The concepts that the term may name, those it names most closely first; none for an unknown term."""
        key = self._terms.get(normalise(term))
        return () if key is None else self._ids(self._concepts_of[key])

    def folded_term(self, form: str) -> tuple[str, bool]:
        """The term that a folded form stands for and whether it is only ever written in capitals.

        Raises KeyError for a form that the graph does not hold.
        """
        key = self.folded_terms.trie[form]
        return self._terms.restore_key(int(self._folded_term[key])), bool(self._folded_capitals[key])

    def senses(self, short_form: str) -> tuple[Sense, ...]:
        """What a short form, as written, may stand for, most counted first; none for an unknown one."""
        key = self._short_forms.get(short_form)
        if key is None:
            return ()
        return tuple(map(Sense, self._long_forms[key].as_py(), self._counts[key].as_py()))

    def is_abbreviation(self, term: str) -> bool:
        """Whether the term is known as an abbreviation and as nothing closer."""
        key = self._terms.get(normalise(term))
        return key is not None and self._closeness[key][0] == CLOSENESS.index("abbreviation")

    def terms_of(self, concept: str) -> tuple[str, ...]:
        """The concept's normalised terms: the preferred one first, then by closeness of scope."""
        return tuple(self._terms.restore_key(key) for key in self._terms_of[self._concepts[concept]])

    def names_of(self, concept: str) -> tuple[str, ...]:
        """Those of its terms that name the concept itself: preferred, exact or an abbreviation."""
        place = self._concepts[concept]
        return tuple(self._terms.restore_key(key) for key in self._terms_of[place] if self._names(key, place))

    def _names(self, term: int, concept: int) -> bool:
        closeness = self._closeness[term][self._concepts_of[term].index(concept)]
        return closeness <= CLOSENESS.index("abbreviation")

    def preferred_term(self, concept: str) -> str:
        """The preferred term as the source writes it."""
        return self._preferred_term[self._concepts[concept]].as_py()

    def semantic_types(self, concept: str) -> tuple[str, ...]:
        return tuple(self._semantic_types[self._concepts[concept]].as_py())

    def short_forms(self) -> list[str]:
        """Every short form of the inventories, as written."""
        return self._short_forms.keys()

    def concepts_by_type(self) -> dict[str, np.ndarray]:
        """Of each semantic type the places of the concepts that have it, which `concept_at` takes."""
        owners = np.repeat(np.arange(len(self._concepts)), np.diff(_numbers(self._semantic_types.offsets)))
        encoded = self._semantic_types.flatten().dictionary_encode()
        codes = encoded.indices.to_numpy()
        names = encoded.dictionary.to_pylist()
        by_code = np.split(owners[np.argsort(codes, kind="stable")], np.cumsum(np.bincount(codes))[:-1])
        return dict(zip(names, by_code, strict=True))

    @property
    def n_concepts(self) -> int:
        return len(self._concepts)

    def concept_at(self, place: int) -> str:
        return self._concepts.restore_key(place)

    def parents(self, concept: str) -> tuple[str, ...]:
        """The concepts one is_a step up."""
        return self._ids(self._parents[self._concepts[concept]])

    def ancestors(self, concept: str) -> tuple[str, ...]:
        """All concepts up the is_a hierarchy, nearest first, without the concept itself."""
        keys = dict.fromkeys(level := [self._concepts[concept]])
        while level:
            level = list(dict.fromkeys(p for c in level for p in self._parents[c] if p not in keys))
            keys.update(dict.fromkeys(level))
        return self._ids(list(keys)[1:])

    def narrower(self, concepts: Iterable[str]) -> set[str]:
        """These concepts and all below them in the is_a hierarchy."""
        below = np.zeros(len(self._concepts), bool)
        below[[self._concepts[concept] for concept in concepts]] = True
        children, parents = self._parents.pairs()
        known = 0
        while (found := int(below.sum())) > known:
            known = found
            below[children[below[parents]]] = True
        return set(self._ids(np.flatnonzero(below).tolist()))

    def related(self, concept: str) -> tuple[str, ...]:
        """The tails of the relations whose head is the concept, each once."""
        return self._ids(self._related[self._concepts[concept]])

    def _ids(self, keys: list[int]) -> tuple[str, ...]:
        return tuple(self._concepts.restore_key(key) for key in keys)


def _mapped(path: Path) -> dict[str, pa.Array]:
    batch = pa.ipc.open_file(pa.memory_map(str(path))).get_batch(0)
    return dict(zip(batch.schema.names, batch.columns, strict=True))


def _numbers(column: pa.Array) -> np.ndarray:
    """The mapped numbers of a column without nulls. Arrow's own `to_numpy` would import pandas first."""
    dtype = np.dtype(str(column.type))
    if not len(column):
        return np.empty(0, dtype)
    return np.frombuffer(column.buffers()[1], dtype)[column.offset : column.offset + len(column)]
