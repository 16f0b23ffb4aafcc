"""The root of a release's application: it holds encoder and shards together and describes them."""

from collections.abc import Sequence

from ray import serve
from ray.serve import Application

from serving.manifest import ReleaseManifest


class ReleaseRoot:
    """Describes the release; its members are bound to it so that Serve deploys them with it."""

    def __init__(self, manifest: ReleaseManifest, *members: object) -> None:
        self._manifest = manifest

    async def describe(self) -> ReleaseManifest:
        """The release's manifest."""
        return self._manifest


def bind_root(manifest: ReleaseManifest, members: Sequence[Application]) -> Application:
    """The release's whole application."""
    deployment = serve.deployment(name="root", ray_actor_options={"num_cpus": 0})(ReleaseRoot)
    return deployment.bind(manifest, *members)
