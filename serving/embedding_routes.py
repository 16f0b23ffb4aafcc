"""`POST /v1/embeddings`, as OpenAI's API has it: its clients work with this service.

Source: OpenAI's API reference, "Create embeddings" (platform.openai.com/docs/api-reference/embeddings).
"""

import base64
from collections.abc import Callable
from typing import Annotated, Literal

import numpy as np
from fastapi import FastAPI, Request
from numpy.typing import NDArray
from pydantic import BaseModel, Field, StringConstraints

from serving.entering import ENTERING, Reader
from serving.problems import ProblemError, describe, invalid
from serving.protocol import FieldProblem
from serving.protocol import Request as KnownFields
from serving.router import Router

MODEL = "drehr"
Text = Annotated[str, StringConstraints(min_length=1, max_length=100_000)]


class EmbeddingsRequest(KnownFields):
    """`input_type` is ours: a text that is searched for, or one that is searched in."""

    input: Text | Annotated[list[Text], Field(min_length=1, max_length=256)]
    model: str
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = Field(default=None, ge=1)
    """Keeps the first so many dimensions, at length 1 again; worth less where the encoder was not trained for it."""
    input_type: Literal["query", "passage"] = "passage"
    user: str | None = None


class Embedding(BaseModel):
    """One text's vector: numbers, or the base64 of little-endian float32."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class Usage(BaseModel):
    """Tokens, special ones and prefixes included, after cutting at the encoder's length."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingsResponse(BaseModel):
    """Vectors of length 1, in the order of the input."""

    object: Literal["list"] = "list"
    data: list[Embedding]
    model: str
    usage: Usage


def add_embedding_routes(app: FastAPI, router: Callable[[], Router]) -> None:
    """Add the route to `app`; `router()` is that of the current release."""

    @app.post("/v1/embeddings", responses=describe(404, 408, 413, 415, 422, *ENTERING))
    async def embeddings(asked: EmbeddingsRequest, request: Request, visit: Reader) -> EmbeddingsResponse:
        """Vectors of texts, with the encoder of the release."""
        texts = [asked.input] if isinstance(asked.input, str) else asked.input
        app.state.desk.note(request, texts, input_type=asked.input_type)
        if asked.model != MODEL:
            raise ProblemError(404, "unknown_model", f"the model here is called {MODEL}")
        dimension = router().manifest.dimension
        if asked.dimensions and asked.dimensions > dimension:
            raise invalid([FieldProblem(field="dimensions", reason=f"at most {dimension}")])
        vectors, tokens = await router().embed(texts, asked.input_type)
        if asked.dimensions:
            vectors = _unit(vectors[:, : asked.dimensions])
        return EmbeddingsResponse(
            data=[Embedding(index=n, embedding=_spelled(row, asked.encoding_format)) for n, row in enumerate(vectors)],
            model=MODEL,
            usage=Usage(prompt_tokens=tokens, total_tokens=tokens),
        )


def _spelled(vector: NDArray[np.float32], encoding: str) -> list[float] | str:
    return vector.tolist() if encoding == "float" else base64.b64encode(vector.astype("<f4").tobytes()).decode()


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
