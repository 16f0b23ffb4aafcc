"""ICD-10-CM categories: a CSV without a header, code and title, as in https://github.com/k4m1113/ICD-10-CSV.

Ids are `ICD10CM:` and the code with its dot. A code lies below the longest code of the file that it begins with.
"""

from collections.abc import Container
from pathlib import Path

from datagen.graph.source_files import read_columns
from datagen.graph.tables import KnowledgeGraph

_CODE = r"[A-Z]\d[\dA-Z]{1,5}"
"""As A010, without a dot."""


def read_icd10cm(path: Path) -> KnowledgeGraph:
    """Each category with its title and parent; the type follows the chapter, so that it tells diseases from causes."""
    rows = read_columns(path, ("code", "title"), header=("code", "title"), forms={"code": _CODE})
    codes = rows["code"].to_pylist()
    known = set(codes)
    return KnowledgeGraph.from_rows(
        concepts=[
            (_id(code), title, [_type(code[0])]) for code, title in zip(codes, rows["title"].to_pylist(), strict=True)
        ],
        is_a=[(_id(code), _id(parent)) for code in codes if (parent := longest_prefix(code, known))],
    )


def longest_prefix(code: str, known: Container[str]) -> str | None:
    """The longest shorter beginning of `code` that is itself a code."""
    return next((code[:end] for end in range(len(code) - 1, 0, -1) if code[:end] in known), None)


def _id(code: str) -> str:
    return f"ICD10CM:{code[:3]}.{code[3:]}".rstrip(".")


def _type(chapter: str) -> str:
    return {
        "R": "symptom",
        "S": "injury or poisoning",
        "T": "injury or poisoning",
        **dict.fromkeys("VWXY", "external cause"),
        "Z": "factor influencing health status",
    }.get(chapter.upper(), "disease")
