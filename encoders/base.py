"""The encoder that training starts from: one that exists, or a language model made into one."""

import shutil
from pathlib import Path
from typing import Any, Literal

import transformers
from pydantic import BaseModel, Field
from tokenizers.processors import Sequence, TemplateProcessing
from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES

from encoders import nv_embed
from encoders.pooling import PoolingName
from encoders.spec import LATENT_FOLDER, EncoderSpec, read_json, read_spec, resolve, write_spec


class BaseChanges(BaseModel):
    """What is to be different from what the model's own files say; all of it is saved with the encoder."""

    pooling: PoolingName | None = None
    attention: Literal["causal", "bidirectional"] | None = None
    """Of a decoder."""
    append_eos: bool = False
    """End every text with the end-of-text token, which last-token pooling of a raw language model needs."""
    query_prefix: str | None = None
    passage_prefix: str | None = None
    pools_prefixes: bool | None = None
    max_query_tokens: int | None = Field(default=None, gt=2)
    max_passage_tokens: int | None = Field(default=None, gt=2)


def prepare_base(name: str, changes: BaseChanges, folder: Path) -> None:
    """Write the changed encoder into `folder`, its weights copied, NV-Embed's rewritten.

    Raises ValueError naming what is missing (a raw language model needs a pooling and lengths) or does not fit.
    """
    source = resolve(name)
    folder.mkdir()
    transformer: dict[str, Any] = read_json(source / "config.json")
    own: dict[str, Any] | None = None
    append_eos = changes.append_eos
    if transformer["model_type"] == nv_embed.MODEL_TYPE:
        transformer, own = nv_embed.convert(source, transformer, folder)
        append_eos = True
    else:
        for weights in [*source.glob("*.safetensors*"), *source.glob(f"{LATENT_FOLDER}/*.safetensors")]:
            copy = folder / weights.relative_to(source)
            copy.parent.mkdir(exist_ok=True)
            shutil.copyfile(weights, copy)  # no link: other nodes have the folder, not the cache of this one
    if changes.attention:
        if transformer["model_type"] in MODEL_FOR_MASKED_LM_MAPPING_NAMES:
            raise ValueError(
                f"base_changes.attention: {name} is no decoder, its attention is bidirectional; leave it out"
            )
        transformer["is_causal"] = changes.attention == "causal"
    tokenizer = transformers.AutoTokenizer.from_pretrained(source)
    if append_eos:
        _append_eos(tokenizer)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    spec = _changed_spec(source, transformer, own, changes)
    for kind in ("query", "passage"):
        prefix, longest = getattr(spec, f"{kind}_prefix"), getattr(spec, f"max_{kind}_tokens")
        if (of_prefix := len(tokenizer(prefix)["input_ids"])) >= longest:
            raise ValueError(
                f"base_changes.max_{kind}_tokens: the prefix alone has {of_prefix} tokens: none is left for the text"
            )
    tokenizer.save_pretrained(folder)
    transformers.AutoConfig.for_model(**transformer).save_pretrained(folder)
    write_spec(folder, spec)


def _changed_spec(
    source: Path, transformer: dict[str, Any], own: dict[str, Any] | None, changes: BaseChanges
) -> EncoderSpec:
    wanted = changes.model_dump(exclude={"attention", "append_eos"}, exclude_none=True)
    if own is None and (source / "modules.json").exists():
        own = read_spec(source).model_dump()
    if own is not None:
        return EncoderSpec.model_validate({**own, **wanted})
    missing = {"pooling", "max_query_tokens", "max_passage_tokens"} - wanted.keys()
    if missing:
        raise ValueError(f"{source}: a language model, no encoder yet; give base_changes.{min(missing)}")
    return EncoderSpec(dimension=transformer["hidden_size"], **wanted)


def _append_eos(tokenizer: Any) -> None:
    """Into the tokenizer's own post-processor, so that whoever loads it does it too."""
    eos, backend = tokenizer.eos_token, tokenizer.backend_tokenizer
    special = [(eos, tokenizer.eos_token_id)]
    ending = TemplateProcessing(single=f"$A {eos}", pair=f"$A {eos} $B {eos}", special_tokens=special)
    backend.post_processor = Sequence([backend.post_processor, ending]) if backend.post_processor else ending
