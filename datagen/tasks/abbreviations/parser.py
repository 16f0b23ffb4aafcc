"""A list of short forms and full names."""

from datagen.tasks.names import clean_name


def parse(answer: dict[str, list[dict[str, str]]]) -> list[list[str]]:
    """[short form, full name] pairs, each once; without those that lack either or expand nothing."""
    pairs = ((pair["short_form"].strip(), clean_name(pair["full_name"])) for pair in answer["abbreviations"])
    return [list(pair) for pair in dict.fromkeys(pairs) if all(pair) and pair[0].casefold() != pair[1].casefold()]
