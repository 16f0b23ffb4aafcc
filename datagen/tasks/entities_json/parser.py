"""Three lists of names."""

from datagen.tasks.names import clean_names

_TYPES = {"diagnoses": "diagnosis", "procedures": "procedure", "prescriptions": "prescription"}


def parse(answer: dict[str, list[str]]) -> list[dict[str, str]]:
    """The names of all types, each with its type."""
    return [{"type": kind, "name": name} for key, kind in _TYPES.items() for name in clean_names(answer[key])]
