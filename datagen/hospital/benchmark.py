"""The benchmark that the hospital's own truth yields: queries, chunks, judgements with match types.

A chunk is relevant to a concept where it wholly contains an asserted mention of it or of a narrower concept; the most
explicit mention gives the match type. Layout as in BEIR, with CliniQ's match types (arXiv 2502.06252) beside it.
"""

import gzip
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from corpus.chunking import ChunkingSettings, chunk_note
from datagen.hospital.facts import World, world
from datagen.hospital.patients import generate_patient
from datagen.hospital.settings import HospitalSettings
from datagen.hospital.writer import Mention

MATCH_TYPES = ("string", "abbreviation", "synonym", "hyponym", "implication")
"""From the most to the least explicit."""

MOST_RELEVANT = 0.15
"""A query that is relevant in a larger share of the chunks is dropped."""


@dataclass(frozen=True)
class Judgement:
    """Why a chunk is relevant to a concept; `seen` where training notes show the concept and this way to tell it."""

    match_type: str
    seen: bool


def write_benchmark(settings: HospitalSettings, chunking: ChunkingSettings, folder: str | Path) -> dict[str, Any]:
    """Write the benchmark of the benchmark patients into `folder` and return the content of STATS.json.

    Files: corpus.jsonl.gz, queries.jsonl, qrels.tsv, match_types.tsv, held_out_terms.txt (every wording of the held-out
    concepts), patients.txt, STATS.json. Equal settings give equal bytes.
    """
    known = world(settings.seed)
    chunks: list[dict[str, str]] = []
    judged: dict[str, dict[str, Judgement]] = defaultdict(dict)
    patients = []
    for index in range(settings.patients, settings.patients + settings.benchmark_patients):
        patient = generate_patient(settings, index)
        patients.append(patient.patient_id)
        for note in patient.notes:
            text = note.row["text"]
            for number, chunk in enumerate(chunk_note(text, chunking)):
                chunk_id = f"{note.row['note_id']}_{number}"
                ids = {"note_id": note.row["note_id"], "patient_id": patient.patient_id}
                chunks.append({"_id": chunk_id, "text": chunk.text, **ids})
                inside = [m for m in note.mentions if chunk.char_start <= m.start and m.end <= chunk.char_end]
                for concept, judgement in judge(known, text, inside).items():
                    judged[concept][chunk_id] = judgement
    kept = {
        c: judged[c] for c in known.everything.concepts if c in judged and len(judged[c]) <= MOST_RELEVANT * len(chunks)
    }
    numbers = {concept: f"q{number:04d}" for number, concept in enumerate(kept)}
    queries = [
        {"_id": numbers[c], "text": concept.name, "type": concept.type, "concept": c}
        for c, concept in known.everything.concepts.items()
        if c in kept
    ]
    pairs = [(numbers[c], chunk_id, judgement) for c, found in kept.items() for chunk_id, judgement in found.items()]
    stats = _statistics(patients, chunks, queries, pairs, dropped=len(judged) - len(kept))
    held_out = [w.text for c in sorted(known.held_out_concepts) for w in known.everything.concepts[c].wordings()]
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    packed = gzip.compress("".join(_json_lines(chunks)).encode(), mtime=0)
    (folder / "corpus.jsonl.gz").write_bytes(packed)
    _write(folder / "queries.jsonl", _json_lines(queries))
    _write(folder / "qrels.tsv", _table("score", ((q, d, "1") for q, d, _ in pairs)))
    rows = ((q, d, f"{j.match_type}\t{'seen' if j.seen else 'unseen'}") for q, d, j in pairs)
    _write(folder / "match_types.tsv", _table("match_type\tevidence", rows))
    _write(folder / "held_out_terms.txt", (f"{term}\n" for term in held_out))
    _write(folder / "patients.txt", (f"{patient}\n" for patient in patients))
    _write(folder / "STATS.json", [json.dumps(stats, indent=1) + "\n"])
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
        for concept in {mention.concept} | known.everything.ancestors[mention.concept]:
            if mention.kind == "implication":
                how = "implication"
            elif re.search(rf"(?<!\w){re.escape(known.everything.concepts[concept].name)}(?!\w)", words, re.IGNORECASE):
                how = "string"
            else:
                how = mention.kind if concept == mention.concept else "hyponym"
            seen = not hidden and concept not in known.held_out_concepts
            reasons[concept].add((MATCH_TYPES.index(how), seen))
    judgements = {}
    for concept in sorted(reasons):
        best = min(rank for rank, _ in reasons[concept])
        judgements[concept] = Judgement(MATCH_TYPES[best], (best, True) in reasons[concept])
    return judgements


def _statistics(
    patients: list[str],
    chunks: list[dict[str, str]],
    queries: list[dict[str, str]],
    pairs: list[tuple[str, str, Judgement]],
    dropped: int,
) -> dict[str, Any]:
    evidence = Counter("seen" if judgement.seen else "unseen" for _, _, judgement in pairs)
    return {
        "patients": len(patients),
        "notes": len({chunk["note_id"] for chunk in chunks}),
        "chunks": len(chunks),
        "queries": len(queries),
        "query_types": dict(sorted(Counter(query["type"] for query in queries).items())),
        "qrels": len(pairs),
        "match_types": {t: sum(j.match_type == t for _, _, j in pairs) for t in MATCH_TYPES},
        "evidence": dict(sorted(evidence.items())),
        f"queries_dropped_above_{MOST_RELEVANT:.0%}": dropped,
    }


def _json_lines(rows: list[dict[str, str]]) -> Iterator[str]:
    return (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _table(columns: str, rows: Iterator[tuple[str, str, str]]) -> Iterator[str]:
    yield f"query-id\tcorpus-id\t{columns}\n"
    yield from ("\t".join(row) + "\n" for row in rows)


def _write(path: Path, lines: Any) -> None:
    path.write_text("".join(lines), encoding="utf-8")
