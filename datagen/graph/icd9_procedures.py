"""ICD-9-CM volume 3, procedures, as JSON (https://github.com/ulpandms/icd9-cm-vol3-api), texts run together.

"Laparoscopy Peritoneoscopy" is a title and one inclusion term. A new one begins at a capitalised word, unless the
word before it asks for more ("of", "Other") or the capitals are those of a name that goes on ("Swan-Ganz"). What
follows a colon is a list without separators and is left out.
"""

import json
import re
from collections import Counter
from pathlib import Path

from datagen.graph.source_files import FETCH_AGAIN, named_errors, read_text
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
    with named_errors(path, "not a list of icd_code_pcs and procedure_desc; give a file of this form"):
        texts = {row["icd_code_pcs"]: row["procedure_desc"] for row in json.loads(read_text(path))}
        parts_of = {f"ICD9CM:{code}": parts for code, text in texts.items() if (parts := split_terms(text))}
    if not parts_of:
        raise ValueError(f"{path}: holds no procedures; {FETCH_AGAIN}")
    uses = Counter(part for parts in parts_of.values() for part in parts[1:])
    return KnowledgeGraph.from_rows(
        concepts=[(concept, title, ["procedure"]) for concept, (title, *_) in parts_of.items()],
        terms=[
            (concept, part, "en", "narrow")
            for concept, (_, *others) in parts_of.items()
            for part in others
            if uses[part] == 1
        ],
    )


def split_terms(text: str) -> list[str]:
    """Title and inclusion terms; none where even the title says nothing alone ("Other")."""
    parts: list[str] = []
    previous = ""
    for word in text.split():
        asks_for_more = previous.lower() in _ASKS_FOR_MORE or previous.endswith("'s")
        if not parts or (re.match(r"[A-Z][a-z]", word) and not asks_for_more):
            parts.append(word)
        else:
            parts[-1] += f" {word}"
        previous = word
    title, *others = (re.sub(r",? NOS$", "", part).strip(" ,") for part in parts)
    if title.lower() in _SAYS_NOTHING:
        return []
    return list(dict.fromkeys([title.partition(":")[0], *(term for term in others if not _INSTRUCTION.match(term))]))
