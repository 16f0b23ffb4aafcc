"""The tiny benchmark as a folder."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_benchmark import TINY


@pytest.fixture
def write_benchmark(tmp_path: Path) -> Callable[..., Path]:
    """Write the tiny benchmark, `changes` replacing whole files by name."""

    def write(changes: dict[str, str] | None = None) -> Path:
        folder = tmp_path / "tiny"
        folder.mkdir()
        for name, text in (TINY | (changes or {})).items():
            (folder / name).write_text(text)
        return folder

    return write
