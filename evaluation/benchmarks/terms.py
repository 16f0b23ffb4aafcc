"""Term normalisation: for a term as it is written, the concept that it means.

concepts.tsv   header concept_id, term; a row for each name of a concept
mentions.tsv   header text, concept_id; a concept or several, `|` between them

Concepts are ranked by their best name, and judged by accuracy@k: whether a right one is among the first k.
"""

from pathlib import Path

from evaluation.benchmark import Benchmark, Judgement, benchmark_of
from evaluation.benchmarks.files import find, positions, read_table

MEASURES = ("mrr", "accuracy@1", "accuracy@5", "accuracy@10")


def read(folder: Path) -> Benchmark:
    """Raises ValueError naming file and row."""
    names: dict[str, dict[str, str]] = {}
    for row, (concept, term) in read_table(
        find(folder, "concepts.tsv"), ("concept_id", "term"), filled=("concept_id", "term")
    ):
        names[f"{concept}#{row}"] = {"text": term, "note_id": concept}
    concept_at = positions(list(dict.fromkeys(name["note_id"] for name in names.values())))
    path, judgements = find(folder, "mentions.tsv"), []
    mentions: dict[str, dict[str, str]] = {}
    for row, (text, concepts) in read_table(path, ("text", "concept_id"), filled=("text",)):
        for concept in set(concepts.split("|")):
            if concept not in concept_at:
                raise ValueError(f"{path} row {row}: its concept_id is not in concepts.tsv; are the columns swapped?")
            judgements.append(Judgement(len(mentions), concept_at[concept]))
        mentions[str(row)] = {"text": text}
    if not mentions:
        raise ValueError(f"{path}: no rows")
    return benchmark_of(folder.resolve().name, names, mentions, judgements, ranks="note", measures=MEASURES)
