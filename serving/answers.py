"""What a search found, as it travels."""

from datetime import UTC
from typing import Any

from serving.lexical import highlights
from serving.manifest import ReleaseManifest
from serving.merging import Ranked
from serving.protocol import (
    DEEPEST,
    ExpansionReport,
    Explanation,
    Group,
    Hit,
    ReleaseReport,
    Scores,
    SearchResponse,
    ShardReport,
)
from serving.router import Found, Search


def answer_of(found: Found, search: Search, manifest: ReleaseManifest) -> SearchResponse:
    """The answer to one query."""
    options = search.options
    names = [name for each in found.expansions for name in each.synonyms]
    ranked = [[_hit(rank, content, search, names) for rank, content in passages] for passages in found.groups]
    following = options.offset + len(found.groups)
    column = None if options.group_by == "chunk" else f"{options.group_by}_id"
    groups = [Group(id=getattr(hits[0], column), score=hits[0].score, hits=hits) for hits in ranked] if column else []
    return SearchResponse(
        hits=[] if column else [hit for hits in ranked for hit in hits],
        groups=groups,
        next_offset=following if found.has_more and following <= DEEPEST else None,
        store_version=found.version,
        expansions=[ExpansionReport(words=each.words, synonyms=each.synonyms) for each in found.expansions],
        mode=options.mode,
        partial=bool(found.missing),
        shards=ShardReport(answered=found.answered, missing=found.missing),
        release=ReleaseReport(
            id=manifest.id,
            encoder_fingerprint=manifest.encoder_fingerprint,
            store_version=manifest.chunks_version,
        ),
    )


def _hit(rank: Ranked, content: dict[str, Any], search: Search, names: list[str]) -> Hit:
    mode = search.options.mode
    time = content["note_time"]
    return Hit(
        **{**content, "note_time": time and time.replace(tzinfo=UTC)},
        score=rank.score,
        scores=Scores(
            lexical=None if mode == "dense" else rank.lexical,
            dense=None if mode == "lexical" else rank.dense,
        ),
        highlights=highlights(" ".join([search.query, *names]), content["text"]),
        explanation=_explanation(rank) if search.options.explain else None,
    )


def _explanation(rank: Ranked) -> Explanation:
    return Explanation(lexical_rank=rank.lexical_rank or None, dense_rank=rank.dense_rank or None)
