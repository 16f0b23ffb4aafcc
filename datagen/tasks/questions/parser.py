"""A list of questions with the entities that they ask about."""

from typing import Any

from datagen.tasks.names import clean_names


def parse(answer: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """The questions, each once, with clean names of their entities; without questions that have none."""
    entities = {" ".join(each["question"].split()): clean_names(each["entities"]) for each in answer["questions"]}
    return [{"question": question, "entities": names} for question, names in entities.items() if question and names]
