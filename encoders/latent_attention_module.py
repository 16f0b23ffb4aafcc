"""Latent attention as sentence-transformers loads it from an exported encoder, with `trust_remote_code=True`."""

from typing import Any

from safetensors.torch import load_model, save_model
from sentence_transformers.base.modules import Module

from .latent_attention import LatentAttention


class LatentAttentionModule(Module):
    """Between the transformer and its pooling."""

    config_keys = ["dimension", "latents", "heads", "head_dimension"]  # noqa: RUF012

    def __init__(self, dimension: int, latents: int, heads: int, head_dimension: int) -> None:
        super().__init__()
        self.dimension, self.latents, self.heads, self.head_dimension = dimension, latents, heads, head_dimension
        self.attention = LatentAttention(dimension, latents, heads, head_dimension)

    def forward(self, features: dict[str, Any], **_: Any) -> dict[str, Any]:
        features["token_embeddings"] = self.attention(features["token_embeddings"])
        return features

    def save(self, output_path: str, *_: Any, **__: Any) -> None:
        self.save_config(output_path)
        save_model(self.attention, f"{output_path}/model.safetensors")

    @classmethod
    def load(  # type: ignore[override]
        cls, model_name_or_path: str, subfolder: str = "", **kwargs: Any
    ) -> "LatentAttentionModule":
        of_hub = ("token", "cache_folder", "revision", "local_files_only")
        places = {name: kwargs[name] for name in of_hub if name in kwargs}
        module = cls(**cls.load_config(model_name_or_path, subfolder=subfolder, **places))
        weights = cls.load_file_path(model_name_or_path, "model.safetensors", subfolder, **places)
        load_model(module.attention, str(weights))
        return module
