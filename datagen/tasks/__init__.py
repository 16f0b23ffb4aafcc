"""The tasks that a language model does on passages: each folder here is one, found by its name.

A folder holds `prompt.yaml` (datagen.tasks.base.Prompt), `parser.py` with `parse`, which makes items of an answer, and
`schema.json`, the JSON Schema of the answer, unless that is free text.
"""

import json
from importlib import import_module
from importlib.resources import files
from pkgutil import iter_modules

import yaml
from jsonschema import SchemaError

from datagen.tasks.base import Prompt, Task


def task_names() -> tuple[str, ...]:
    """The names of all tasks, sorted."""
    return tuple(sorted(module.name for module in iter_modules(__path__) if module.ispkg))


def load_task(name: str) -> Task:
    """The task of this name.

    Raises:
        ValueError: on an unknown name, a prompt of another form than `Prompt`, or a schema that is none.
    """
    if name not in task_names():
        raise ValueError(f"no task {name!r}; known: {', '.join(task_names())}")
    package = f"{__name__}.{name}"
    prompt, schema = files(package) / "prompt.yaml", files(package) / "schema.json"
    parser = import_module(f"{package}.parser").parse
    try:
        content = yaml.load(prompt.read_text("utf-8"), Loader=yaml.CSafeLoader)
        return Task(
            name,
            Prompt.model_validate(content),
            json.loads(schema.read_text("utf-8")) if schema.is_file() else None,
            parser,
        )
    except (ValueError, yaml.YAMLError, SchemaError) as error:
        raise ValueError(f"task {name}: {error}") from None
