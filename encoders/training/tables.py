"""Training records to the tables of `encoders.training.data`, without Ray: lines in, tables out."""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from encoders.text_tokenizer import TextTokenizer
from encoders.training.data import CHUNKS, CONCEPTS, IDS, PHRASE, PROVENANCES, TERMS, TEXT
from encoders.training.phrases import common_words, draw_phrases
from encoders.training.settings import TrainingSettings

_LISTS = dict.fromkeys(("entities", "concepts", "provenance", "true_concepts"), pa.large_list(TEXT))
STAGED = pa.schema({"idx": TEXT, "text": TEXT, "tokens": IDS, **_LISTS, "unreadable_in": TEXT})
_PLACES = {provenance: place for place, provenance in enumerate(PROVENANCES[:PHRASE])}
BATCH_ROWS = 1000


class _Terms:
    """Numbers terms as they appear: those that are the same to the encoder, case and spacing aside, are one."""

    def __init__(self, tokenizer: TextTokenizer, max_tokens: int) -> None:
        self.spellings: list[str] = []
        """The first of each term."""
        self._tokenizer, self._max_tokens = tokenizer, max_tokens
        self._numbers: dict[str, int] = {}
        self._by_tokens: dict[bytes, int] = {}

    def number(self, spellings: Iterable[str]) -> list[int]:
        """The number of each spelling."""
        wanted = list(spellings)
        new = list(dict.fromkeys(each for each in wanted if each not in self._numbers))
        for spelling, tokens in zip(new, self.tokens([" ".join(each.casefold().split()) for each in new]), strict=True):
            number = self._by_tokens.setdefault(np.asarray(tokens, np.int32).tobytes(), len(self.spellings))
            self._numbers[spelling] = number
            if number == len(self.spellings):
                self.spellings.append(spelling)
        return [self._numbers[each] for each in wanted]

    def tokens(self, texts: list[str]) -> list[list[int]]:
        """Token ids of each, cut as training cuts them."""
        return self._tokenizer.tokenize(texts, "query", self._max_tokens) if texts else []


def stage_records(lines: Sequence[str], paths: Sequence[str], encoder: str, max_tokens: int) -> pa.Table:
    """Rows of STAGED: a record with the tokens of its text, or the path of a line that is none."""
    records = [_parse(line) for line in lines]
    good = [record for record in records if record]
    bad = [{"unreadable_in": path} for record, path in zip(records, paths, strict=True) if not record]
    texts = [record["text"] for record in good]
    tokens = TextTokenizer.load(encoder).tokenize(texts, "passage", max_tokens) if good else []
    rows = [{**record, "tokens": ids} for record, ids in zip(good, tokens, strict=True)]
    return pa.Table.from_pylist([*rows, *bad], schema=STAGED)


def write_tables(rows: pa.Table, encoder: str, settings: TrainingSettings, folder: Path) -> dict[str, int]:
    """Write the tables of staged rows into `folder`; their numbers of rows. Raises ValueError where a row is none."""
    # Sorted, so that the order of training does not depend on which worker finished first.
    rows = rows.sort_by("idx")
    unreadable = rows["unreadable_in"].drop_null()
    if len(unreadable):
        raise ValueError(
            f"{unreadable[0]}: {len(unreadable)} lines are no training records; each needs a string idx, a string text "
            "and a list of strings as entities, none empty, with concepts of the same length where there are any"
        )
    terms = _Terms(TextTokenizer.load(encoder), settings.term_tokens)
    concepts = defaultdict[str, int](count().__next__)
    named = _number_entities(rows, terms, concepts)
    _write_chunks(folder / "chunks.arrow", rows, settings.phrases, terms, concepts)
    is_phrase = [number >= len(named) for number in range(len(terms.spellings))]
    named += [[]] * sum(is_phrase)
    of_terms = pa.table([terms.spellings, terms.tokens(terms.spellings), named, is_phrase], schema=TERMS)
    for name, table in (("terms", of_terms), ("concepts", pa.table([list(concepts)], schema=CONCEPTS))):
        with pa.OSFile(str(folder / f"{name}.arrow"), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write(table)
    return {"chunks": len(rows), "terms": len(terms.spellings)}


def _number_entities(rows: pa.Table, terms: _Terms, concepts: dict[str, int]) -> list[list[int]]:
    """Number all entities and their concepts in order of first appearance; the concepts of each entity."""
    concepts_of_term: defaultdict[int, set[int]] = defaultdict(set)
    for batch in rows.select(["entities", "concepts"]).to_batches(max_chunksize=BATCH_ROWS):
        numbers = terms.number(batch["entities"].flatten().to_pylist())
        for term, concept in zip(numbers, batch["concepts"].flatten().to_pylist(), strict=True):
            concepts_of_term[term].update({concepts[concept]} if concept else ())
    return [sorted(concepts_of_term[term]) for term in range(len(terms.spellings))]


def _write_chunks(path: Path, rows: pa.Table, phrases: int, terms: _Terms, concepts: dict[str, int]) -> None:
    """Write the rows with phrases of their texts, numbered behind the entities."""
    entities = len(terms.spellings)
    common = common_words(text.as_py() for text in rows["text"]) if phrases else set()
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, CHUNKS) as writer:
        for batch in rows.to_batches(max_chunksize=BATCH_ROWS):
            numbered = batch.to_pylist()
            for row in numbered:
                drawn = terms.number(draw_phrases(row["text"], phrases, common)) if phrases else []
                # Of an entity the records know better whether it is true.
                own = [phrase for phrase in drawn if phrase >= entities]
                row["terms"] = terms.number(row["entities"]) + own
                row["provenance"] = [_PLACES.get(how, 0) for how in row["provenance"]] + [PHRASE] * len(own)
                own_concepts = filter(None, row["concepts"])
                row["concepts"] = sorted({concepts[concept] for concept in (*row["true_concepts"], *own_concepts)})
            writer.write(pa.RecordBatch.from_pylist(numbered, schema=CHUNKS))


def _parse(line: str) -> dict[str, Any] | None:
    """The parts of a record that training reads, or None for a line that is none."""
    try:
        raw = json.loads(line)
        idx, text, entities = raw["idx"], raw["text"], raw["entities"]
        # DR.EHR's own files have no concepts: a term is then only itself.
        nothing = [""] * len(entities)
        concepts, provenance = raw.get("concepts") or nothing, raw.get("provenance") or nothing
        true_concepts = raw.get("true_concepts") or []
    except (ValueError, TypeError, KeyError):
        return None
    lists = (entities, concepts, provenance, true_concepts)
    strings = all(isinstance(value, str) and value.strip() for value in (idx, text))
    of_strings = all(isinstance(each, list) and all(isinstance(item, str) for item in each) for each in lists)
    if not (
        strings
        and of_strings
        and all(map(str.strip, entities))
        and 0 < len(entities) == len(concepts) == len(provenance)
    ):
        return None
    named = zip(_LISTS, lists, strict=True)
    return {"idx": idx, "text": text, **dict(named)}
