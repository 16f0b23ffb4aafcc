"""The tasks that a language model does on passages: each folder here is one, found by its name.

A folder holds `prompt.yaml` (datagen.tasks.base.Prompt), `parser.py` with `parse`, which makes items of an answer, and
`schema.json`, the JSON Schema of the answer, unless that is free text.
"""

import json
from importlib import import_module
from importlib.resources import files
from pkgutil import iter_modules

import yaml

from datagen.tasks.base import Prompt, Task


def task_names() -> tuple[str, ...]:
    """The names of all tasks, sorted."""
    return tuple(sorted(module.name for module in iter_modules(__path__) if module.ispkg))


def load_task(name: str) -> Task:
    """The task of this name.

    Raises:
        ValueError: on an unknown name, or a prompt of another form than `Prompt`.
    """
    if name not in task_names():
        raise ValueError(f"no task {name!r}; known: {', '.join(task_names())}")
    package = f"{__name__}.{name}"
    prompt, schema = files(package) / "prompt.yaml", files(package) / "schema.json"
    return Task(
        name,
        Prompt.model_validate(yaml.load(prompt.read_text("utf-8"), Loader=yaml.CSafeLoader)),
        json.loads(schema.read_text("utf-8")) if schema.is_file() else None,
        import_module(f"{package}.parser").parse,
    )
