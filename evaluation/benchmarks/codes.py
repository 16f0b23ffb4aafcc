"""Code search: for a mention, its ICD-10 code, with credit for codes near it in the hierarchy.

codes.csv(.gz)   no header: code, title; without dots, the hierarchy is in the prefixes (E11 above E119)
mentions.tsv     header text, code

Grades: the code itself 3, a code above or below it 2, another of its category (the first three characters) 1. NDCG
takes them as gains; accuracy@k and MRR count the code itself alone.
"""

import csv
from pathlib import Path

from evaluation.benchmark import Benchmark, Judgement, benchmark_of
from evaluation.benchmarks.files import find, lines, positions, read_table

EXACT, IN_LINE, SAME_CATEGORY = 3, 2, 1
CATEGORY = 3
MEASURES = ("mrr", "accuracy@1", "accuracy@5", "accuracy@10", "ndcg@10")


def read(folder: Path) -> Benchmark:
    """Raises ValueError naming file and row."""
    path = find(folder, "codes.csv")
    titles: dict[str, dict[str, str]] = {}
    for row, line in lines(path):
        fields = next(csv.reader([line]))
        if len(fields) != 2 or not all(fields):
            raise ValueError(f"{path} row {row}: a code and its title are expected")
        code = _plain(fields[0])
        if code in titles:
            raise ValueError(f"{path} row {row}: the code {code} stands in an earlier row")
        titles[code] = {"text": fields[1]}
    code_at, categories = positions(titles), _by_category(titles)
    path, judgements = find(folder, "mentions.tsv"), []
    mentions: dict[str, dict[str, str]] = {}
    for row, (text, written) in read_table(path, ("text", "code"), filled=("text",)):
        code = _plain(written)
        if code not in code_at:
            raise ValueError(f"{path} row {row}: its code is not in codes.csv; are the columns swapped?")
        judgements += [
            Judgement(len(mentions), code_at[near], grade=_grade(code, near)) for near in categories[code[:CATEGORY]]
        ]
        mentions[str(row)] = {"text": text}
    if not mentions:
        raise ValueError(f"{path}: no rows")
    name = folder.resolve().name
    return benchmark_of(name, titles, mentions, judgements, relevant_from=EXACT, measures=MEASURES)


def _plain(code: str) -> str:
    return code.strip().upper().replace(".", "")


def _by_category(codes: dict[str, dict[str, str]]) -> dict[str, list[str]]:
    members: dict[str, list[str]] = {}
    for code in codes:
        members.setdefault(code[:CATEGORY], []).append(code)
    return members


def _grade(code: str, near: str) -> int:
    if code == near:
        return EXACT
    return IN_LINE if code.startswith(near) or near.startswith(code) else SAME_CATEGORY
