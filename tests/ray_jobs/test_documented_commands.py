"""Every command that the documentation shows is one that its job takes."""

import importlib
import inspect
import re
import shlex
from pathlib import Path

import pytest

from ray_jobs.job import load_settings

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMAND = re.compile(r"python -m (ray_jobs\.\w+) ([^`\n]*--[^`\n]*)")
PLACEHOLDER = re.compile(r"<[^>]*>")
FILLED = {"<format>": "jsonl"}


def commands():
    for page in PAGES:
        for job, words in COMMAND.findall(page.read_text().replace("\\\n", " ")):
            filled = [
                word
                for word in shlex.split(PLACEHOLDER.sub(lambda each: FILLED.get(each[0], "filled-in"), words))
                if word != "..."
            ]
            yield pytest.param(job, filled, id=f"{page.name}: {job} {words}"[:90])


def test_commands_are_found():
    assert len(list(commands())) > 15


@pytest.mark.parametrize(("job", "words"), commands())
def test_a_command_of_the_documentation_is_one_its_job_takes(job, words):
    pairs = list(zip(words[::2], words[1::2], strict=True))
    assert [option for option, _ in pairs] == ["--config", *["--set"] * (len(pairs) - 1)]
    settings_type = next(iter(inspect.signature(importlib.import_module(job).run).parameters.values())).annotation
    load_settings(settings_type, ROOT / pairs[0][1], [value for _, value in pairs[1:]])
