"""A bulleted list of names."""

import re

from datagen.tasks.base import UnusableAnswer
from datagen.tasks.names import clean_names, is_na

_BULLET = re.compile(r"\s*(?:[-•–·]|\*(?=\s)|\d{1,3}[.)](?=\s))(.*\w.*)")


def parse(answer: str) -> list[str]:
    """The names behind the bullets, none where the answer is NA; other lines are talk."""
    lines = answer.splitlines()
    bullets = [match[1] for match in map(_BULLET.match, lines) if match]
    if not bullets and not any(map(is_na, lines)):
        raise UnusableAnswer("wrong_form")
    return clean_names(bullets)
