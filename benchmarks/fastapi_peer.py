"""What a team would write first: one FastAPI process with sentence-transformers and one FAISS HNSW index, no auth.

    python -m benchmarks.fastapi_peer <folder> <port>

The folder holds vectors.npy, float32 (rows, dimension), and passages.json, what a hit shows of each row.
"""

import json
import sys
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from sentence_transformers import SentenceTransformer

from encoders.spec import BUNDLED, resolve

NEIGHBOURS, EF_CONSTRUCTION = 32, 200
FAISS: Any = faiss


class Asked(BaseModel):
    query: str
    k: int = 10
    ef_search: int = 64


def peer(folder: Path) -> FastAPI:
    """The application; the index is built once and kept in the folder."""
    model = SentenceTransformer(str(resolve(BUNDLED)), device="cpu")
    passages = json.loads((folder / "passages.json").read_text())
    kept = folder / "hnsw.faiss"
    if not kept.exists():
        vectors = np.load(folder / "vectors.npy")
        index = FAISS.IndexHNSWFlat(vectors.shape[1], NEIGHBOURS, FAISS.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = EF_CONSTRUCTION
        index.add(vectors)
        FAISS.write_index(index, str(kept))
    index = FAISS.read_index(str(kept))
    app = FastAPI()

    @app.post("/search")
    def search(asked: Asked) -> dict[str, Any]:
        vector = model.encode([asked.query], normalize_embeddings=True)
        parameters = FAISS.SearchParametersHNSW(efSearch=asked.ef_search)
        scores, rows = index.search(vector, asked.k, params=parameters)
        hits = [
            {"score": float(score), **passages[row]} for score, row in zip(scores[0], rows[0], strict=True) if row >= 0
        ]
        return {"hits": hits}

    return app


if __name__ == "__main__":
    uvicorn.run(peer(Path(sys.argv[1])), port=int(sys.argv[2]), log_level="warning", access_log=False)
