"""What in a file looks like a secret."""

import re

SHAPES = [
    r"-----BEGIN [A-Z ]*PRIVATE KEY",
    r"\bA(?:KIA|SIA)[A-Z0-9]{16}\b",
    r"\bhf_[A-Za-z0-9]{20,}",
    r"\bgh[pousr]_[A-Za-z0-9]{30,}",
    r"\beyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.",
    r"://[^/\s:]+:[^/\s@]+@",
    r"\b(?=[A-Fa-f]*[0-9])[0-9A-Fa-f]{32,}\b",
    # A name that says secret, and a value that is no reference, no path and not made where it is used.
    r"(?i)\b\w*(?:password|passwd|token|secret|api_?key|access_key)[\"']?[ \t]*[:=][ \t]*[\"']?"
    r"(?![\"'&*<$~/{+\s])[^\s\"',}]{6,}",
]


def secret_looking(text: str) -> list[str]:
    """Every piece of the text that looks like a secret value."""
    return [match.group() for shape in SHAPES for match in re.finditer(shape, text)]
