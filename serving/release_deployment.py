"""The root of a release's application: it holds encoder and shards together, describes them, knows synonyms."""

from collections.abc import Sequence
from pathlib import Path

from ray import serve
from ray.serve import Application

from serving.bare_errors import bare
from serving.expansion import Expansion, Synonyms
from serving.manifest import ReleaseManifest


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


def bind_root(release: Path, manifest: ReleaseManifest, members: Sequence[Application]) -> Application:
    """The release's whole application."""
    deployment = serve.deployment(name="root", ray_actor_options={"num_cpus": 0})(ReleaseRoot)
    return deployment.bind(str(release), manifest, *members)
