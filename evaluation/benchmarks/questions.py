"""Questions on records, in the layout of SQuAD (arXiv 1606.05250), which emrQA's releases and others share.

One JSON file: {"data": [{"title", "paragraphs": [{"context", "qas": [{"id", "question", "answers": [{"text",
"answer_start"}]}]}]}]}. A context is a note. It is cut into chunks as notes are (docs/notes.md), and those that hold
part of an answer are relevant; questions without an answer are left out.
"""

import json
from pathlib import Path
from typing import Any

from corpus.chunking import ChunkingSettings, chunk_note
from evaluation.benchmark import Benchmark, Judgement, benchmark_of


def read(path: Path) -> Benchmark:
    """Raises ValueError naming the file, and the place in it."""
    chunks: dict[str, dict[str, str]] = {}
    questions: dict[str, dict[str, str]] = {}
    judgements = []
    firsts: dict[str, int] = {}
    for place, paragraph in _paragraphs(path):
        try:
            context = paragraph["context"]
            spans = list(chunk_note(context, ChunkingSettings()))
            if context not in firsts:  # some sets repeat a note for another kind of question
                note = str(len(firsts))
                firsts[context] = len(chunks)
                chunks |= {f"{note}_{i}": {"text": span.text, "note_id": note} for i, span in enumerate(spans)}
            for question in paragraph["qas"]:
                if not question["question"].strip():
                    raise ValueError(f"{path}: {place}: question {question['id']} is empty")
                answers = [(a["answer_start"], a["answer_start"] + len(a["text"])) for a in question["answers"]]
                if any(
                    not answer["text"] or context[start:end] != answer["text"]
                    for (start, end), answer in zip(answers, question["answers"], strict=True)
                ):
                    raise ValueError(f"{path}: {place}: an answer to {question['id']} is not at its answer_start")
                held = [
                    i
                    for i, span in enumerate(spans)
                    if any(s < span.char_end and e > span.char_start for s, e in answers)
                ]
                if str(question["id"]) in questions:
                    raise ValueError(f"{path}: {place}: the question id {question['id']} stands further up too")
                if held:
                    judgements += [Judgement(len(questions), firsts[context] + i) for i in held]
                    questions[str(question["id"])] = {"text": question["question"], "type": "question"}
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{path}: {place}: not in SQuAD's layout ({type(error).__name__}: {error})") from None
    if not questions:
        raise ValueError(f"{path}: no question with an answer")
    return benchmark_of(path.stem, chunks, questions, judgements)


def _paragraphs(path: Path) -> list[tuple[str, Any]]:
    try:
        articles = json.loads(path.read_text("utf-8-sig"))["data"]
        return [
            (f"data[{i}].paragraphs[{j}]", paragraph)
            for i, article in enumerate(articles)
            for j, paragraph in enumerate(article["paragraphs"])
        ]
    except OSError:
        raise ValueError(f"{path}: no such file") from None
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError):
        raise ValueError(f"{path}: not JSON in SQuAD's layout (data, paragraphs, context, qas)") from None
