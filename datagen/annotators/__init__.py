"""Annotators by the kind that settings name."""

from datagen.annotators.base import Annotator, AnnotatorSettings
from datagen.annotators.rules import RuleAnnotator

ANNOTATORS: dict[str, type[Annotator]] = {"rules": RuleAnnotator}


def make_annotator(settings: AnnotatorSettings) -> Annotator:
    """The annotator that the settings name."""
    return ANNOTATORS[settings.kind]()
