"""One grade with its match type and evidence."""

from typing import Any

from datagen.tasks.base import UnusableAnswer


def parse(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """The grade; evidence of grade 0 shows nothing and is dropped."""
    grade, match_type, evidence = int(answer["grade"]), answer["match_type"], answer["evidence"].strip()
    if (grade > 0) != (match_type is not None) or (grade > 0 and not evidence):
        raise UnusableAnswer("wrong_form")
    return [{"grade": grade, "match_type": match_type, "evidence": evidence if grade else ""}]
