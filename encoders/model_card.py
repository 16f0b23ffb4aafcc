"""README.md of an exported encoder: what it is made of, how it scored, what to mind."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from encoders.encoder import Encoder

MODEL_CARD = "README.md"


def write_model_card(
    folder: Path,
    encoder: Encoder,
    base: str,
    data: Mapping[str, int],
    scores: Mapping[str, float],
    recipe: Mapping[str, Any],
    licences: Sequence[str],
) -> None:
    """Write the card beside the encoder.

    `data` counts what it was trained on, `scores` are of the exported checkpoint, `recipe` are its settings, `licences`
    say what binds it, a line each.
    """
    spec = encoder.spec
    head = {
        "library_name": "sentence-transformers",
        "pipeline_tag": "sentence-similarity",
        "tags": ["sentence-transformers", "feature-extraction", "electronic-health-records", "dense-retrieval"],
    }
    facts = {
        "Base": f"{base}",
        "Fingerprint of weights, tokenizer and spec": encoder.fingerprint,
        "Stored as": str(encoder.transformer.dtype).removeprefix("torch."),
        "Dimension": spec.dimension,
        "Pooling": spec.pooling,
        "Longest query, passage (tokens)": f"{spec.max_query_tokens}, {spec.max_passage_tokens}",
        "Query prefix": repr(spec.query_prefix) if spec.query_prefix else "none",
        "Passage prefix": repr(spec.passage_prefix) if spec.passage_prefix else "none",
    }
    parts = [
        f"---\n{yaml.safe_dump(head, sort_keys=False)}---",
        "# A dense retriever for electronic health records",
        "It maps short clinical queries (a disease, a drug, a procedure) and passages of notes to vectors whose cosine "
        "says how well a passage answers the query. Trained with drehr, after DR.EHR (arXiv 2507.18583).",
        _table("What it is", facts),
        _table("Trained on", {name: f"{count:,}" for name, count in data.items()}),
        _table("Scores of this checkpoint", {name: f"{score:.4f}" for name, score in scores.items()}) if scores else "",
        f"## Recipe\n\n```yaml\n{yaml.safe_dump(dict(recipe), sort_keys=False)}```",
        "## Use\n\n```python\nfrom sentence_transformers import SentenceTransformer\n\n"
        f'model = SentenceTransformer("<this folder>"{", trust_remote_code=True" if spec.latent_attention else ""})\n'
        'queries = model.encode_query(["contrast nephropathy"])\n'
        'passages = model.encode_document(["Cr 1.1 -> 3.2 after cath"])\n```',
        "## Mind\n\n"
        + "\n".join(
            f"- {line}"
            for line in (
                "Weights can hold traces of the notes they were trained on: treat them as the notes are treated.",
                "It ranks; it does not diagnose. A passage found is evidence to read, one not found is none.",
                *licences,
            )
        ),
    ]
    (folder / MODEL_CARD).write_text("\n\n".join(part for part in parts if part) + "\n", encoding="utf-8")


def _table(title: str, facts: Mapping[str, Any]) -> str:
    rows = "\n".join(f"| {name} | {value} |" for name, value in facts.items())
    return f"## {title}\n\n| | |\n| --- | --- |\n{rows}"
