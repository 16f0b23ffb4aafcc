"""The benchmark that the hospital's own truth yields: queries, chunks, judgements with match types.

A chunk is relevant to a concept where it wholly contains an asserted mention of it or of a narrower concept; the most
explicit mention gives the match type. Layout as in BEIR, with CliniQ's match types (arXiv 2502.06252) beside it.
"""

import gzip
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from corpus.chunking import ChunkingSettings, chunk_note
from datagen.hospital.facts import World, world
from datagen.hospital.lexicon import Mention
from datagen.hospital.patients import generate_patient
from datagen.hospital.settings import HospitalSettings

_json = partial(json.dumps, ensure_ascii=False)

MATCH_TYPES = ("string", "abbreviation", "synonym", "hyponym", "implication")
"""From the most to the least explicit."""

MOST_RELEVANT = 0.15
"""A query that is relevant in a larger share of the chunks is dropped."""


class Judgement(NamedTuple):
    """Why a chunk is relevant to a concept; `seen` where training notes show the concept and this way to tell it."""

    match_type: str
    seen: bool


def write_benchmark(settings: HospitalSettings, chunking: ChunkingSettings, folder: str | Path) -> dict[str, Any]:
    """Write the benchmark of the benchmark patients into `folder` and return the content of STATS.json.

    Files: corpus.jsonl.gz, queries.jsonl, qrels.tsv, match_types.tsv, held_out_terms.txt (every wording of the held-out
    concepts), patients.txt, STATS.json. Equal settings give equal bytes.
    """
    known = world(settings.seed)
    concepts = known.everything.concepts
    patients = [generate_patient(settings, settings.patients + n) for n in range(settings.benchmark_patients)]
    chunks: list[dict[str, str]] = []
    judged: dict[str, dict[str, Judgement]] = defaultdict(dict)
    for row, mentions in (note for patient in patients for note in patient.notes):
        for number, chunk in enumerate(chunk_note(row["text"], chunking)):
            chunk_id = f"{row['note_id']}_{number}"
            ids = {"note_id": row["note_id"], "patient_id": row["patient_id"]}
            chunks.append({"_id": chunk_id, "text": chunk.text, **ids})
            inside = [m for m in mentions if chunk.char_start <= m.start and m.end <= chunk.char_end]
            for concept, judgement in judge(known, row["text"], inside).items():
                judged[concept][chunk_id] = judgement
    kept = [c for c in concepts if c in judged and len(judged[c]) <= MOST_RELEVANT * len(chunks)]
    queries = [
        {"_id": f"q{number:04d}", "text": concepts[c].name, "type": concepts[c].type, "concept": c}
        for number, c in enumerate(kept)
    ]
    relevant = [
        (query["_id"], chunk_id, match_type, "seen" if seen else "unseen")
        for query in queries
        for chunk_id, (match_type, seen) in judged[query["concept"]].items()
    ]
    match_types = Counter(match_type for _, _, match_type, _ in relevant)
    stats = {
        "patients": len(patients),
        "notes": len({chunk["note_id"] for chunk in chunks}),
        "chunks": len(chunks),
        "queries": len(queries),
        "query_types": dict(sorted(Counter(query["type"] for query in queries).items())),
        "qrels": len(relevant),
        "match_types": {match_type: match_types[match_type] for match_type in MATCH_TYPES},
        "evidence": dict(sorted(Counter(evidence for *_, evidence in relevant).items())),
        f"queries_dropped_above_{MOST_RELEVANT:.0%}": len(judged) - len(kept),
    }
    files = {
        "corpus.jsonl.gz": _lines(map(_json, chunks)),
        "queries.jsonl": _lines(map(_json, queries)),
        "qrels.tsv": _lines(["query-id\tcorpus-id\tscore", *(f"{query}\t{chunk}\t1" for query, chunk, *_ in relevant)]),
        "match_types.tsv": _lines(["query-id\tcorpus-id\tmatch_type\tevidence", *map("\t".join, relevant)]),
        "held_out_terms.txt": _lines(w.text for c in sorted(known.held_out_concepts) for w in concepts[c].wordings()),
        "patients.txt": _lines(patient.patient_id for patient in patients),
        "STATS.json": json.dumps(stats, indent=1) + "\n",
    }
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_bytes(gzip.compress(text.encode(), mtime=0) if name.endswith(".gz") else text.encode())
    return stats


def judge(known: World, text: str, mentions: list[Mention]) -> dict[str, Judgement]:
    """The concepts to which a passage is relevant, given the mentions that lie wholly in it and the note's text.

    A judgement is seen only where the concept itself and one of the mentions that give its match type may occur in
    training notes.
    """
    reasons: dict[str, set[tuple[int, bool]]] = defaultdict(set)
    for mention in mentions:
        if not mention.asserted:
            continue
        words = text[mention.start : mention.end]
        hidden = mention.concept in known.held_out_concepts or mention.pattern in known.held_out_patterns
        for concept in {mention.concept} | known.everything.ancestors(mention.concept):
            how: str = mention.kind if concept == mention.concept or mention.kind == "implication" else "hyponym"
            name = re.escape(known.everything.concepts[concept].name)
            if how != "implication" and re.search(rf"(?<!\w){name}(?!\w)", words, re.IGNORECASE):
                how = "string"
            reasons[concept].add((MATCH_TYPES.index(how), hidden or concept in known.held_out_concepts))
    best = {concept: min(reasons[concept]) for concept in sorted(reasons)}
    return {concept: Judgement(MATCH_TYPES[rank], not unseen) for concept, (rank, unseen) in best.items()}


def _lines(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
