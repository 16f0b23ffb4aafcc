"""ICD-9-CM volume 3, procedures, as JSON (https://github.com/ulpandms/icd9-cm-vol3-api), texts run together.

"Laparoscopy Peritoneoscopy" is a title and one inclusion term. A new one begins at a capitalised word, unless the
word before it asks for more ("of", "Other") or the capitals are those of a name that goes on ("Swan-Ganz"). What
follows a colon is a list without separators and is left out.
"""

import json
import re
from collections import Counter
from pathlib import Path

from datagen.graph.source_files import FETCH_AGAIN, read_text
from datagen.graph.tables import KnowledgeGraph

_ASKS_FOR_MORE = frozenset(
    ["a", "an", "and", "as", "at", "by", "for", "from", "in", "into", "of", "on", "or", "other", "than", "the",
     "through", "to", "under", "using", "via", "with", "without"]
)  # fmt: skip
_INSTRUCTION = re.compile(r"(Code|Exclude|Include|Note|That|Those|Use)s?\b|.*:|NOS$")
_SAYS_NOTHING = ("other", "other procedure", "other operations", "other procedures")


def read_icd9_procedures(path: Path) -> KnowledgeGraph:
    """Procedures by code; the first part is the preferred term, inclusion terms are narrow: most are examples.

    One that stands at several codes names none of them ("Device testing during procedure - omit code").
    """
    try:
        texts = {row["icd_code_pcs"]: row["procedure_desc"] for row in json.loads(read_text(path))}
        parts_of = {code: parts for code, text in texts.items() if (parts := split_terms(text))}
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: the JSON breaks off or is damaged at {error}; {FETCH_AGAIN}") from None
    except (KeyError, TypeError, AttributeError):
        raise ValueError(f"{path}: not a list of icd_code_pcs and procedure_desc; give a file of this form") from None
    if not parts_of:
        raise ValueError(f"{path}: holds no procedures; {FETCH_AGAIN}")
    uses = Counter(part for parts in parts_of.values() for part in parts[1:])
    return KnowledgeGraph.from_rows(
        concepts=[(f"ICD9CM:{code}", parts[0], ["procedure"]) for code, parts in parts_of.items()],
        terms=[
            (f"ICD9CM:{code}", part, "en", "narrow")
            for code, parts in parts_of.items()
            for part in parts[1:]
            if uses[part] == 1
        ],
    )


def split_terms(text: str) -> list[str]:
    """Title and inclusion terms; none where even the title says nothing alone ("Other")."""
    parts: list[list[str]] = []
    previous = ""
    for word in text.split():
        starts = (
            re.match(r"[A-Z][a-z]", word) and previous.lower() not in _ASKS_FOR_MORE and not previous.endswith("'s")
        )
        if not parts or starts:
            parts.append([])
        parts[-1].append(word)
        previous = word
    terms = [re.sub(r",? NOS$", "", " ".join(words)).strip(" ,") for words in parts]
    title, *others = terms
    if title.lower() in _SAYS_NOTHING:
        return []
    return list(dict.fromkeys([title.partition(":")[0], *(term for term in others if not _INSTRUCTION.match(term))]))
