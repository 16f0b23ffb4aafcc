"""The ingress over real shards in this process, without Ray."""

import asyncio
import inspect
import json
import threading
from functools import partial
from types import SimpleNamespace

import httpx
import numpy as np
from tiny_store import make_notes, release_of, write_store

from corpus.store import Store
from corpus.writing import StoreWriter
from serving import router as router_module
from serving.access import folder as access_folder
from serving.expansion import Synonyms
from serving.ingest_deployment import IngestDeployment, IngestSettings
from serving.ingress import Ingress, IngressOptions, build_app
from serving.known_scopes import KnownScopes
from serving.manifest import read_manifest
from serving.router import Router
from serving.shard import Shard


def build_tiny_release(path, encoder, notes=None, shards=2):
    """Write a store of the tiny notes below `path`, and a release of it; the release's folder."""
    folder, fingerprint = encoder
    write_store(path / "store", notes or make_notes(), fingerprint, unit_vectors)
    release_of(path / "store", fingerprint, folder, path / "release", shards=shards)
    return path / "release"


class Handle:
    """What Serve gives for a deployment: `remote` of each method."""

    def __init__(self, **methods):
        for name, method in methods.items():
            setattr(self, name, SimpleNamespace(remote=self._remote(method)))

    def options(self, **_):
        return self

    @staticmethod
    def _remote(method):
        async def remote(*args):
            answer = method(*args)
            return await answer if inspect.isawaitable(answer) else answer

        return remote


class Service:
    """One ingress replica; requests go through its whole ASGI application."""

    def __init__(self, release, encode, monkeypatch, **options):
        manifest = read_manifest(release)
        self.shards = [Shard.load(release, number) for number in range(len(manifest.shards))]
        embed = partial(embedded, encode)
        handles = {"encoder": Handle(encode=encode, embed=embed, ready=lambda: True)}
        root = Handle(expand=Synonyms(release, manifest.synonyms).expand if manifest.synonyms else None)
        for number, shard in enumerate(self.shards):
            handles[f"shard-{number}"] = Handle(search=searching(shard), fetch=shard.fetch, ready=lambda: True)
        monkeypatch.setattr(router_module.serve, "get_deployment_handle", lambda name, application: handles[name])
        monkeypatch.setattr(router_module.serve, "get_app_handle", lambda application: root)
        # Everything runs on one event loop: what watches the folder may wait for seconds on a busy machine.
        monkeypatch.setattr(access_folder, "MAX_AGE_S", 600)
        self.writer = StoreWriter(Store(manifest.store), {manifest.vectors_name: encode})
        self.ingest = ingest = IngestDeployment(IngestSettings())
        ingest._writer, ingest._store_id = self.writer, manifest.store_id
        self.ingress = Ingress(IngressOptions(**options), Handle(write=ingest.write))
        self.ingress._router = Router("application", manifest, self.ingress._options.router)
        self.app = build_app(self.ingress)
        self._loop = asyncio.new_event_loop()
        self._jobs = [self._loop.create_task(job) for job in self.ingress.desk.jobs()]

    def ask(self, *requests, key=None, **headers):
        """The answers to requests (method, path, JSON body), sent at once; of one request its answer."""

        if self.ingress.desk.gate:
            self.ingress.desk.gate.folder.look()
        sent = {**({"Authorization": f"Bearer {key}"} if key else {}), **headers}
        bodies = [(method, path, {} if body is None else {"json": body}) for method, path, body in requests]
        answers = self._loop.run_until_complete(self._send(bodies, sent))
        return answers[0] if len(answers) == 1 else answers

    def send(self, method, path, content, **headers):
        """The answer to a request with these bytes as its body."""
        return self._loop.run_until_complete(self._send([(method, path, {"content": content})], headers))[0]

    def send_messages(self, path, messages):
        """Status and code of the answer to a POST of lines of JSON; its body comes in these messages, then stops."""

        async def receive():
            message = next(messages, None)
            return message or await asyncio.sleep(60)

        async def send(message):
            answer.append(message)

        answer = []
        headers = [(b"content-type", b"application/x-ndjson")]
        scope = {"type": "http", "method": "POST", "path": path, "headers": headers, "query_string": b""}
        self._loop.run_until_complete(self.app({**scope, "root_path": "", "http_version": "1.1"}, receive, send))
        return answer[0]["status"], json.loads(answer[1]["body"])["code"]

    def leave(self, method, path, body, key):
        """Send a request and go away while it is answered."""

        async def leave():
            asked = asyncio.create_task(
                self._send([(method, path, {"json": body})], {"Authorization": f"Bearer {key}"})
            )
            answering = self.ingress._router._encode
            begun = asyncio.Event()

            async def slow(query):
                begun.set()
                return await asyncio.sleep(60)

            self.ingress._router._encode = slow
            await begun.wait()
            asked.cancel()
            await asyncio.gather(asked, return_exceptions=True)
            self.ingress._router._encode = answering
            await asyncio.sleep(0.1)

        self.ingress.desk.gate.folder.look()
        self._loop.run_until_complete(leave())

    def leave_before_it_is_recorded(self, staying, leaving, key):
        """Send two requests, and go away from the second while its record waits for that of the first."""
        recorder = self.ingress.desk.recorder
        append, begun, go_on = recorder._writer.append, threading.Event(), threading.Event()

        def slow(records):
            begun.set()
            go_on.wait(60)
            append(records)

        async def both():
            first, second = (
                self._send([(method, path, {"json": body})], {"Authorization": f"Bearer {key}"})
                for method, path, body in (staying, leaving)
            )
            stays = asyncio.create_task(first)
            await asyncio.to_thread(begun.wait)
            leaves = asyncio.create_task(second)
            while not recorder._commit_together._waiting:
                await asyncio.sleep(0.01)
            leaves.cancel()
            await asyncio.gather(leaves, return_exceptions=True)
            go_on.set()
            await stays
            await asyncio.sleep(0.1)

        recorder._writer.append = slow
        self.ingress.desk.gate.folder.look()
        self._loop.run_until_complete(both())

    async def _send(self, requests, headers):
        transport = httpx.ASGITransport(self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers) as client:
            return await asyncio.gather(*(client.request(method, path, **body) for method, path, body in requests))

    def close(self):
        """Stop what goes on beside the requests."""

        async def ended():
            await asyncio.sleep(0)  # A job that never began would not come to its end.
            for job in self._jobs:
                job.cancel()
            await asyncio.gather(*self._jobs, return_exceptions=True)

        if not self._loop.is_closed():
            self._loop.run_until_complete(ended())
            self._loop.close()

    def search(self, query="kidney injury", key=None, **fields):
        return self.ask(("POST", "/v1/search", {"query": query, **fields}), key=key)


def embedded(encode, texts, kind):
    """Vectors, and letters for tokens."""
    return encode(texts), sum(map(len, texts))


def searching(shard):
    """What the shard's deployment does, without Ray."""
    known = KnownScopes()

    def search(asked, scopes=()):
        queries = known.resolve(asked, scopes)
        return [] if queries is None else shard.search(queries)

    return search


def unit_vectors(texts):
    """Vectors that depend on the text alone."""
    vectors = np.stack([np.random.default_rng(list(text.encode())).normal(size=8) for text in texts])
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
