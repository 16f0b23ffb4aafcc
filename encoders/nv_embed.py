"""NV-Embed's folder (model_type `nvembed`) as this project's encoders are laid out.

Its weights hold a Mistral under `embedding_model.` and the latent attention under `latent_attention_model.`; its
config.json has `text_config` and `latent_attention_config`. Its own code attends both ways, appends the end-of-text
token, and pools the mean without the instruction. Source: nvidia/NV-Embed-v2's config.json and modeling_nvembed.py.
"""

import json
from pathlib import Path
from typing import Any

import transformers
from safetensors import safe_open
from safetensors.torch import save_file

from encoders.spec import LATENT_FOLDER, LatentAttentionSize

MODEL_TYPE = "nvembed"
MISTRAL, LATENT = "embedding_model.", "latent_attention_model."
_LATENT_NAMES = {
    "cross_attend_blocks.0.norm.": "query_norm.",
    "cross_attend_blocks.0.norm_context.": "latent_norm.",
    "cross_attend_blocks.0.fn.to_q.": "query.",
    "cross_attend_blocks.0.fn.to_kv.": "key_value.",
    "cross_attend_blocks.0.fn.to_out.": "out.",
    "cross_attend_blocks.1.norm.": "feed_norm.",
    "cross_attend_blocks.1.fn.net.0.": "feed_in.",
    "cross_attend_blocks.1.fn.net.2.": "feed_out.",
}
LENGTH = 512
"""Of queries and passages, where nothing else is asked for; the model takes up to 32,768 tokens."""


def convert(source: Path, config: dict[str, Any], folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Write the weights into `folder`; the transformer's config, and what the spec is to say.

    Raises ValueError naming the folder where weights are missing.
    """
    text, latent = config["text_config"], config["latent_attention_config"]
    size = LatentAttentionSize(
        latents=latent["num_latents_value"], heads=latent["num_cross_heads"], head_dimension=latent["cross_dim_head"]
    )
    mistral: dict[str, str] = {}
    of_latent: dict[str, Any] = {}
    (folder / LATENT_FOLDER).mkdir()
    for file in sorted(source.glob("*.safetensors")):
        with safe_open(file, "pt") as weights:
            names = list(weights.keys())
            of_latent |= {_latent_name(name): weights.get_tensor(name) for name in names if name.startswith(LATENT)}
            own = {name.removeprefix(MISTRAL): weights.get_tensor(name) for name in names if name.startswith(MISTRAL)}
        if own:
            save_file(own, folder / file.name, metadata={"format": "pt"})
            mistral |= dict.fromkeys(own, file.name)
    if not mistral or not of_latent:
        raise ValueError(f"{source}: no weights of both {MISTRAL}* and {LATENT}* in its *.safetensors")
    if len(set(mistral.values())) > 1 or "model.safetensors" not in mistral.values():
        index = {"metadata": {}, "weight_map": mistral}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=1))
    save_file(of_latent, folder / LATENT_FOLDER / "model.safetensors", metadata={"format": "pt"})
    known = {name: value for name, value in text.items() if name not in ("model_type", "architectures", "auto_map")}
    made = transformers.MistralConfig(**known, architectures=["MistralModel"])
    made.is_causal = False
    spec = {
        "pooling": "mean",
        "pools_prefixes": False,
        "max_query_tokens": LENGTH,
        "max_passage_tokens": LENGTH,
        "dimension": text["hidden_size"],
        "latent_attention": size.model_dump(),
    }
    return made.to_dict(), spec


def _latent_name(name: str) -> str:
    own = name.removeprefix(LATENT)
    for theirs, ours in _LATENT_NAMES.items():
        own = own.replace(theirs, ours)
    return own
