"""The root of a release's application: it holds encoder and shards together, describes them, knows synonyms."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from ray import serve
from ray.exceptions import RayError
from ray.serve import Application
from ray.serve.exceptions import RayServeException

from serving.bare_errors import bare
from serving.expansion import Expansion, Synonyms
from serving.manifest import ReleaseManifest

ROOT_CPUS = 0.01


class ReleaseRoot:
    """Describes the release; its members are bound to it so that Serve deploys them with it."""

    def __init__(self, release: str, manifest: ReleaseManifest, *members: object) -> None:
        self._manifest = manifest
        self._synonyms = Synonyms(Path(release), manifest.synonyms) if manifest.synonyms else None

    @bare
    async def describe(self) -> ReleaseManifest:
        """The release's manifest."""
        return self._manifest

    @bare
    async def expand(self, query: str) -> list[Expansion]:
        """Other names of what the query names."""
        return self._synonyms.expand(query) if self._synonyms else []


async def describe_release(application: str) -> ReleaseManifest:
    """The manifest of a release's application, as soon as it is up: a config file deploys all at once."""
    while True:
        try:
            return cast(ReleaseManifest, await serve.get_app_handle(application).describe.remote())
        except (RayError, RayServeException):
            await asyncio.sleep(1)


def bind_root(release: Path, manifest: ReleaseManifest, members: Sequence[Application]) -> Application:
    """The release's whole application."""
    # A node that has no CPUs to give, the head, is not to be needed for answers.
    deployment = serve.deployment(name="root", ray_actor_options={"num_cpus": ROOT_CPUS})(ReleaseRoot)
    return deployment.bind(str(release), manifest, *members)
