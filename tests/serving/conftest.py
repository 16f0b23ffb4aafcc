from pathlib import Path

import pytest

from encoders.spec import EncoderSpec
from encoders.spec import fingerprint as fingerprint_of


@pytest.fixture(scope="session")
def unused_encoder(tmp_path_factory) -> tuple[Path, str]:
    """An encoder folder of 8 dimensions whose model nobody loads, and its fingerprint."""
    folder = tmp_path_factory.mktemp("encoder")
    spec = EncoderSpec(pooling="mean", max_query_tokens=16, max_passage_tokens=16, dimension=8)
    for name, content in (
        ("config.json", "{}"),
        ("tokenizer.json", "{}"),
        ("encoder_spec.json", spec.model_dump_json()),
    ):
        (folder / name).write_text(content)
    return folder, fingerprint_of(folder, spec)
