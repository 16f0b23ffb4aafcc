"""Tokenised training records as memory-mapped Arrow tables.

`chunks.arrow` has a row a record: idx, its token ids, the ids of its terms, the ids of every concept true of it.
`terms.arrow` has a row a distinct term: its token ids and the ids of the concepts it names.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa

IDS = pa.list_(pa.int32())
CHUNKS = pa.schema([("idx", pa.string()), ("tokens", IDS), ("terms", IDS), ("concepts", IDS)])
TERMS = pa.schema([("term", pa.string()), ("tokens", IDS), ("concepts", IDS)])


class TrainingData:
    """The two tables, mapped. Rows are looked up by number."""

    def __init__(self, folder: Path) -> None:
        maps = (pa.memory_map(str(folder / name)) for name in ("chunks.arrow", "terms.arrow"))
        self._chunks, self._terms = (pa.ipc.open_file(each).read_all() for each in maps)

    def __len__(self) -> int:
        return len(self._chunks)

    def idx(self, row: int) -> str:
        return self._chunks["idx"][row].as_py()

    def chunk_tokens(self, row: int) -> list[int]:
        return self._chunks["tokens"][row].as_py()

    def chunk_terms(self, row: int) -> np.ndarray:
        """Ids of all terms of the record, int32 (terms,)."""
        return self._chunks["terms"][row].values.to_numpy()

    def chunk_concepts(self, row: int) -> np.ndarray:
        """Ids of the concepts true of the chunk, int32 (concepts,)."""
        return self._chunks["concepts"][row].values.to_numpy()

    def term(self, term: int) -> str:
        return self._terms["term"][term].as_py()

    def term_tokens(self, term: int) -> list[int]:
        return self._terms["tokens"][term].as_py()

    def term_concepts(self, term: int) -> np.ndarray:
        """Ids of the concepts that the term names, int32 (concepts,)."""
        return self._terms["concepts"][term].values.to_numpy()
