"""A copy of a store and its release, a writer, and shards that follow."""

import shutil

import numpy as np
from tiny_store import drawn
from world import ALL, DIMENSION, World, build_world, random_notes

from corpus.chunking import ChunkingSettings
from corpus.store import Purged, Store
from corpus.writing import Changes, StoreWriter
from serving import purging
from serving.protocol import Filters
from serving.shard import Shard, ShardQuery

SHARDS = 2
VECTOR = np.ones(DIMENSION, np.float32) / np.sqrt(DIMENSION)


def build_served(folder, encoder):
    """Write a store of random notes, and a release of it."""
    notes = random_notes(60, np.random.default_rng(0), big=10)
    build_world(folder, encoder, notes, drawn, SHARDS)
    (folder / "store" / "chunking.json").write_text(ChunkingSettings(words=12, overlap=2).model_dump_json())
    return folder


class Served:
    """A copy of store and release, a writer, and shards that follow."""

    def __init__(self, built, folder, fingerprint):
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(built, folder)
        self.release, self.store, self.fingerprint = folder / "release", Store(folder / "store"), fingerprint
        manifest = self.release / "release.json"
        manifest.write_text(manifest.read_text().replace(str(built), str(folder)))
        self.writer = StoreWriter(self.store, {fingerprint: drawn})
        self.shards = self.load()

    def load(self):
        return [Shard.load(self.release, number) for number in range(SHARDS)]

    def follow(self):
        for shard in self.shards:
            shard.follow()

    def purge(self):
        """How many rows it takes out of the release."""
        chunks, removed = self.store.chunks(), self.store.removed()
        dropped = purging.purge_release(self.release, chunks, removed)
        purging.purge_store(self.store, Purged(chunks.version, removed.version), readers_s=0)
        return dropped

    def write(self, *notes, **removed):
        return self.writer.write(Changes(notes, **removed))

    def found(self, text="", shards=None, **fields):
        """Chunks of a search, by id, with their texts."""
        vector = None if text else VECTOR
        query = ShardQuery(text, vector, "lexical" if text else "dense", ALL, Filters(), **fields)
        world = World([], np.empty(0), None, shards or self.shards)
        return {content["chunk_id"]: content["text"] for _, content in world.search(query, ALL)}


def a_note(note_id="new", version=1, text="w01 zzz", patient="p1"):
    fixed = {"encounter_id": None, "note_type": "progress", "note_time": None, "source": "icu"}
    return {"note_id": note_id, "version": version, "patient_id": patient, "text": text, **fixed}
