"""What asking a model about all of MIMIC-IV's discharge summaries takes, on paper, from tokens counted on open notes.

    python -m benchmarks.generation_cost [--chunks 512] [--data ../shared/data]

Prompt tokens are counted with the tokenizer of Mistral NeMo, which the package mistral_common carries, for every task
and chunk. What the prefix cache holds is not computed again: the instruction, which is the same for all calls, and
the passage from the second call about a chunk on. No model answers here, so the tokens of answers are counted on
stand-ins: the names that the rules find in the form that the task asks for, which is checked, and three questions. A
model finds more than the rules: the last column is for answers three times as long. The rates of an 8B model are
ASSUMED, not measured: see RATES. The last line is JSON.
"""

import argparse
import json
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.generation import open_chunks
from benchmarks.open_data import DATA
from datagen.annotators.base import Finding
from datagen.annotators.rules import RuleAnnotator
from datagen.tasks import load_task, task_names

SUMMARIES, CHUNKS = 331_794, 5_500_000
"""Discharge summaries of MIMIC-IV-Note 2.2, and about how many chunks of 100 words they give."""
GPUS = 8
RATES = {"prefill": 20_000, "decode": 5_000}
"""Tokens a second and GPU, assumed for an 8B model in bf16 with continuous batching on an 80 GB H100: 16 GFLOP a token
at a third of 990 TFLOP/s are 20,000; decoding reads the weights once for all calls under way and is bound by memory."""
GRADED = 100 * 40
"""Queries of a benchmark of one's own, times the pooled chunks of each."""
QUESTIONS = ["What was found at catheterization?", "Why did the creatinine rise?", "Which antibiotics were given?"]


def answer_of(task: str, variant: str, findings: list[Finding]) -> str:
    """What a model's answer may look like, as long as one."""
    names = {kind: [f.term for f in findings if f.kind == kind] for kind in ("diagnosis", "procedure", "prescription")}
    every = [name for group in names.values() for name in group]
    mention = {"semantic_type": "Disease or Syndrome", "assertion": "present"}
    mention |= dict.fromkeys(("body_location", "modifier", "value", "unit", "purpose"), "")
    answers: dict[str, Callable[[], Any]] = {
        "entities_json": lambda: dict(zip(("diagnoses", "procedures", "prescriptions"), names.values(), strict=True)),
        "abbreviations": lambda: {
            "abbreviations": [{"short_form": name[:3].upper(), "full_name": name} for name in every[:3]]
        },
        "questions": lambda: {
            "questions": [{"question": each, "entities": every[:2] or ["fever"]} for each in QUESTIONS]
        },
        "mentions": lambda: {"mentions": [{"phrase": name, **mention} for name in every]},
        "judge": lambda: {"evidence": " ".join(every[:2]) or "none", "match_type": "implication", "grade": 2},
    }
    if task == "entities":
        return "\n".join(f"- {name}" for name in names[variant]) or "NA"
    answer = json.dumps(answers[task]())
    load_task(task).parse(answer, is_truncated=False)
    return answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chunks", type=int, default=512)
    parser.add_argument("--data", type=Path, default=DATA)
    arguments = parser.parse_args()
    from mistral_common.tokens.tokenizers.tekken import Tekkenizer

    tokenizer = Tekkenizer.from_file(str(files("mistral_common") / "data" / "tekken_240911.json"))

    def count(text: str) -> int:
        return len(tokenizer.encode(text, bos=False, eos=False))

    chunks = open_chunks(arguments.data, arguments.chunks)
    findings = RuleAnnotator().annotate([text for _, text in chunks])
    figures: dict[str, Any] = {"chunks": len(chunks)}
    print("task            calls a chunk   prompt   computed   answer   GPU hours   on 8 GPUs   answers x3, on 8 GPUs")
    for name in task_names():
        task = load_task(name)
        query = "contrast-induced nephropathy" if task.needs_query else ""
        prompt, computed, answer = [], [], []
        for (_, text), found in zip(chunks, findings, strict=True):
            for place, variant in enumerate(task.variants):
                system, user = (count(message["content"]) for message in task.messages(text, variant, query))
                prompt.append(system + user)
                # A query stands before the passage, which is then another one for each.
                computed.append(user if place == 0 else user - count(text))
                answer.append(count(answer_of(name, variant, found)))
        calls = GRADED if task.needs_query else CHUNKS * len(task.variants)
        reading = calls * fmean(computed) / RATES["prefill"] / 3600
        writing = calls * fmean(answer) / RATES["decode"] / 3600
        row = {
            "calls_a_chunk": len(task.variants),
            "prompt_tokens": round(fmean(prompt), 1),
            "computed_tokens": round(fmean(computed), 1),
            "answer_tokens": round(fmean(answer), 1),
            "gpu_hours": round(reading + writing, 1),
            "gpu_hours_long_answers": round(reading + 3 * writing, 1),
        }
        figures[name] = row
        print(
            f"{name:14} {row['calls_a_chunk']:>13} {row['prompt_tokens']:>9} {row['computed_tokens']:>10} "
            f"{row['answer_tokens']:>8} {row['gpu_hours']:>11} {row['gpu_hours'] / GPUS:>11.1f} "
            f"{row['gpu_hours_long_answers'] / GPUS:>23.1f}"
        )
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
