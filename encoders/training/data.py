"""Tokenised training records as memory-mapped Arrow tables.

`chunks.arrow` has a row a record: idx, text, token ids, the ids of its terms and how each came in (phrases of the text
behind the record's own), the ids of every concept true of it or named by its terms. `terms.arrow` has a row a distinct
term: its token ids, the ids of the concepts it names, whether it is but a phrase. `concepts.arrow` has the knowledge
graph's name of each concept.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa

# Large: the texts and lists of millions of chunks have more bytes than 32-bit offsets reach.
TEXT = pa.large_string()
IDS = pa.large_list(pa.int32())
CHUNKS = pa.schema(
    [
        ("idx", TEXT),
        ("text", TEXT),
        ("tokens", IDS),
        ("terms", IDS),
        ("provenance", pa.large_list(pa.int8())),
        ("concepts", IDS),
    ]
)
TERMS = pa.schema([("term", TEXT), ("tokens", IDS), ("concepts", IDS), ("is_phrase", pa.bool_())])
CONCEPTS = pa.schema([("concept", TEXT)])
TABLES = {"chunks.arrow": CHUNKS, "terms.arrow": TERMS, "concepts.arrow": CONCEPTS}
PROVENANCES = ("", "match", "abbreviation", "synonym", "hypernym", "relation", "llm", "rule", "phrase")
"""How a term can come into a record, the first for all others; the last is a phrase of the chunk's own text."""
PHRASE = len(PROVENANCES) - 1


class TrainingData:
    """The tables, mapped. Rows are looked up by number."""

    def __init__(self, folder: Path) -> None:
        maps = (pa.memory_map(str(folder / name)) for name in TABLES)
        self._chunks, self._terms, self._concepts = (pa.ipc.open_file(each).read_all() for each in maps)

    def __len__(self) -> int:
        return len(self._chunks)

    @property
    def n_terms(self) -> int:
        return len(self._terms)

    def idx(self, row: int) -> str:
        return self._chunks["idx"][row].as_py()

    def chunk_texts(self, rows: np.ndarray) -> list[str]:
        return [self._chunks["text"][int(row)].as_py() for row in rows]  # `take` would copy the whole column

    def chunk_tokens(self, row: int) -> list[int]:
        return self._chunks["tokens"][row].as_py()

    def chunk_terms(self, row: int) -> np.ndarray:
        """Ids of all terms of the record and phrases of its text, int32 (terms,)."""
        return self._chunks["terms"][row].values.to_numpy()

    def chunk_provenance(self, row: int) -> np.ndarray:
        """Of each of `chunk_terms`, its place in PROVENANCES, int8 (terms,)."""
        return self._chunks["provenance"][row].values.to_numpy()

    def chunk_concepts(self, row: int) -> np.ndarray:
        """Ids of the concepts true of the chunk, int32 (concepts,)."""
        return self._chunks["concepts"][row].values.to_numpy()

    def terms(self) -> list[str]:
        """Every distinct term, by its id."""
        return self._terms["term"].to_pylist()

    def term(self, term: int) -> str:
        return self._terms["term"][term].as_py()

    def term_tokens(self, term: int) -> list[int]:
        return self._terms["tokens"][term].as_py()

    def term_concepts(self, term: int) -> np.ndarray:
        """Ids of the concepts that the term names, int32 (concepts,)."""
        return self._terms["concepts"][term].values.to_numpy()

    def is_phrase(self, term: int) -> bool:
        """Whether no record has it as a term."""
        return self._terms["is_phrase"][term].as_py()

    def concepts(self) -> list[str]:
        """The knowledge graph's name of every concept, by its id."""
        return self._concepts["concept"].to_pylist()
