"""What a job wrote, for a person to read: `report.json` and `report.html` beside training records or answers."""

import heapq
import json
import re
from collections import Counter
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import Any

import xxhash

from datagen.graph.artefact import BuiltGraph, normalise
from reporting.page import Passage, Section, Table, write_page

REPORT_NAME = "report"
MOST_TERMS = 50
SAMPLES = 20
SHORT = 3
COMMON_SHARE = 0.05


def write_report(records: Path, counts: dict[str, int], graph: BuiltGraph, folder: Path, usage: dict[str, Any]) -> None:
    """Read a file of training records and write its report into `folder`.

    `counts` are those of the job, `usage` what a language model took where one was asked. Samples are the
    records whose hashed ids are smallest, so that the same records give the same report whatever their order.
    """
    _write(summarise(records, counts, graph) | {"language_model": usage | _shares(counts)}, folder)


def write_answers_report(
    counts: dict[str, int],
    usage: dict[str, Any],
    task: str,
    samples: dict[str, list[Any]],
    texts: dict[str, str],
    folder: Path,
) -> None:
    """Write the report of a language model's task, with samples of its items by chunk id."""
    shown = [
        {
            "idx": idx,
            "pieces": [{"text": texts.get(idx, ""), "is_entity": False}],
            "entities": {
                task: [each if isinstance(each, str) else json.dumps(each, ensure_ascii=False) for each in of]
            },
        }
        for idx, of in samples.items()
    ]
    _write({"counts": counts, "language_model": usage | _shares(counts), "samples": shown}, folder)


def _write(report: dict[str, Any], folder: Path) -> None:
    (folder / f"{REPORT_NAME}.json").write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", "utf-8")
    tables = {
        "Counts": report["counts"],
        "Language model": report.get("language_model"),
        "Entities per chunk": report.get("entities_per_chunk"),
        "How entities came in": report.get("provenance"),
        "Assertion of entities": report.get("assertion"),
    }
    terms = {"Most suspicious matched terms": "most_suspicious", "Most frequent terms": "most_frequent"}
    sections = [Section(title, [_numbers(values)]) for title, values in tables.items() if values]
    sections += [Section(title, [_terms(report[key])]) for title, key in terms.items() if report.get(key)]
    sections.append(Section("Samples", [_passage(sample) for sample in report["samples"]]))
    write_page(folder / f"{REPORT_NAME}.html", "Training data", sections)


def _numbers(values: dict[str, Any]) -> Table:
    cells = {name.replace("_", " "): "not given" if value is None else f"{value:,}" for name, value in values.items()}
    return Table([], list(cells.items()))


def _terms(rows: list[dict[str, Any]]) -> Table:
    return Table(
        ["term", "records", "share", "may stand for", ""],
        [
            [
                row["term"],
                f"{row['count']:,}",
                f"{row['share']:.1%}",
                "; ".join(row["concepts"]),
                "; ".join(row.get("why", [])),
            ]
            for row in rows
        ],
    )


def _passage(sample: dict[str, Any]) -> Passage:
    pieces = [(piece["text"], piece["is_entity"]) for piece in sample["pieces"]]
    return Passage(sample["idx"], pieces, [(how, " · ".join(found)) for how, found in sample["entities"].items()])


def summarise(records: Path, counts: dict[str, int], graph: BuiltGraph) -> dict[str, Any]:
    """The content of the report."""
    sizes: Counter[int] = Counter()
    provenance: Counter[str] = Counter()
    assertions: Counter[str] = Counter()
    terms: Counter[str] = Counter()
    stated: Counter[str] = Counter()
    samples: list[tuple[int, str]] = []
    with records.open(encoding="utf-8") as lines:
        for line in lines:
            record = json.loads(line)
            sizes[len(record["entities"])] += 1
            provenance.update(record["provenance"])
            assertions.update(record["assertion"])
            terms.update(map(normalise, record["entities"]))
            stated.update(
                term for term, how in zip(record["entities"], record["provenance"], strict=True) if how == "match"
            )
            sample = (-xxhash.xxh32_intdigest(record["idx"].encode()), line)
            if len(samples) < SAMPLES:
                heapq.heappush(samples, sample)
            elif sample > samples[0]:
                heapq.heapreplace(samples, sample)
    n_records = sizes.total()
    return {
        "counts": counts,
        "entities_per_chunk": _distribution(sizes),
        "provenance": dict(provenance.most_common()),
        "assertion": dict(assertions.most_common()),
        "most_frequent": [_term_row(term, count, n_records, graph) for term, count in _most(terms)],
        "most_suspicious": [
            {**_term_row(term, count, n_records, graph), "why": why}
            for term, count in _most(stated, 100 * MOST_TERMS)
            if (why := _suspicion(term, count, n_records, graph))
        ][:MOST_TERMS],
        "samples": [_sample(json.loads(line)) for _, line in sorted(samples, reverse=True)],
    }


def _shares(counts: dict[str, int]) -> dict[str, float]:
    """What part of the calls failed and what part of the named entities was left out; empty where none was asked."""
    parts = {"calls": ["errors", "truncated"], "named": ["merged", "denied", "dropped_"]}
    return {
        f"share_{name}": round(count / counts[whole], 4)
        for whole, prefixes in parts.items()
        for name, count in counts.items()
        if counts.get(whole) and name.startswith(tuple(prefixes))
    }


def _most(terms: Counter[str], number: int = MOST_TERMS) -> list[tuple[str, int]]:
    return sorted(terms.items(), key=lambda item: (-item[1], item[0]))[:number]


def _distribution(sizes: Counter[int]) -> dict[str, float]:
    """Quantiles of the number of entities of a record, from how often each number occurs."""
    numbers = sorted(sizes)
    total, below = sizes.total(), 0
    quantiles: dict[str, float] = {}
    wanted = [("median", 0.5), ("p90", 0.9), ("p99", 0.99)]
    for number in numbers:
        below += sizes[number]
        while wanted and below >= wanted[0][1] * total:
            quantiles[wanted.pop(0)[0]] = number
    mean = fmean(numbers, [sizes[number] for number in numbers])
    return {"min": numbers[0], **quantiles, "max": numbers[-1], "mean": round(mean, 2)}


def _term_row(term: str, count: int, n_records: int, graph: BuiltGraph) -> dict[str, Any]:
    names = sorted({graph.preferred_term(concept) for concept in graph.concepts_of(term)})
    return {"term": term, "count": count, "share": round(count / n_records, 4), "concepts": names}


def _suspicion(term: str, count: int, n_records: int, graph: BuiltGraph) -> list[str]:
    """Why a matched term may often mean something else; empty for one above suspicion."""
    meanings = {normalise(graph.preferred_term(concept)) for concept in graph.concepts_of(term)}
    reasons = {
        f"{SHORT} characters or fewer": len(term) <= SHORT,
        f"in more than {COMMON_SHARE:.0%} of the records": count > COMMON_SHARE * n_records,
        "names several concepts": len(meanings) > 1,
        "a number with letters": any(map(str.isdigit, term)) and len(term) <= 2 * SHORT,
    }
    return [reason for reason, holds in reasons.items() if holds]


def _sample(record: dict[str, Any]) -> dict[str, Any]:
    """A record to read: its text in pieces, each with whether it is an entity, and the entities by how they came in."""
    entities: dict[str, list[str]] = {}
    for term, how in zip(record["entities"], record["provenance"], strict=True):
        entities.setdefault(how, []).append(term)
    text = record["text"]
    longest_first = sorted(map(re.escape, entities.get("match", [])), key=len, reverse=True)
    pattern = rf"(?<!\w)(?:{'|'.join(longest_first)})(?!\w)" if longest_first else "(?!)"
    cuts = [0, *(place for match in re.finditer(pattern, text, re.IGNORECASE) for place in match.span()), len(text)]
    pieces = [{"text": text[a:b], "is_entity": i % 2 == 1} for i, (a, b) in enumerate(pairwise(cuts)) if a < b]
    return {"idx": record["idx"], "pieces": pieces, "entities": entities}
