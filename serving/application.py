"""The Serve applications: one per release (encoder and shards), and the stable ingress that points at one of them."""

from collections.abc import Sequence
from pathlib import Path
from time import monotonic, sleep
from typing import cast

from pydantic import BaseModel, Field, model_validator
from ray import serve
from ray.exceptions import RayError
from ray.serve import Application
from ray.serve.schema import LoggingConfig

from encoders.workers import SOME
from serving.access.gate import AccessSettings
from serving.audit.writer import AuditSettings
from serving.encoder_deployment import EncoderSettings, bind_encoder
from serving.ingest_deployment import IngestSettings, bind_ingest
from serving.ingress import Ingress, IngressOptions
from serving.kept_replicas import keeping_replicas
from serving.limits import LimitSettings
from serving.manifest import ReleaseManifest, read_manifest
from serving.release import find_encoder
from serving.release_deployment import bind_root
from serving.replicas import ReplicaSettings
from serving.router import RouterSettings
from serving.shard_deployment import ShardSettings, bind_shard, shard_name

INGRESS = "search"
RELEASE_PREFIX = "release-"
CATCH_UP_S = 600
"""The next release may need so long until it has the vectors of what was written since it was built."""
CURRENT_S = 30
HEAD = "node:__internal_head__"
"""A resource of which Ray gives the head one."""
# Serve's access log prints paths, and a path can hold a patient id.
LOGGING = LoggingConfig(log_level="WARNING", enable_access_log=False)


class ReleaseSettings(BaseModel):
    """Which release to serve."""

    path: Path


class HttpSettings(BaseModel):
    """Where Serve listens."""

    host: str = "127.0.0.1"
    port: int = Field(default=8000, gt=0, lt=65536)

    @property
    def is_for_this_machine(self) -> bool:
        """Whether no other machine can ask."""
        return self.host in ("127.0.0.1", "localhost", "::1")


class IngressSettings(ReplicaSettings):
    """Resources of the ingress replicas."""

    max_ongoing_requests: int = Field(default=128, gt=0)


class ServeSettings(BaseModel):
    """The search service."""

    release: ReleaseSettings
    http: HttpSettings = HttpSettings()
    ingress: IngressSettings = IngressSettings()
    router: RouterSettings = RouterSettings()
    encoder: EncoderSettings = EncoderSettings()
    shard: ShardSettings = ShardSettings()
    ingest: IngestSettings = IngestSettings()
    limits: LimitSettings = LimitSettings()
    access: AccessSettings | None = None
    """Who is let in, and to which patients; without it everybody on this machine is, to all."""
    audit: AuditSettings | None = None

    @model_validator(mode="after")
    def _others_are_let_in_by_the_gate_alone(self) -> "ServeSettings":
        if self.access is None and not self.http.is_for_this_machine:
            raise ValueError("http.host is open to other machines: give access.path, or listen on 127.0.0.1")
        return self


def release_application(settings: ServeSettings) -> Application:
    """Encoder and shards of the release, under a root. Raises ValueError when the release cannot be served."""
    release = settings.release.path.resolve()
    manifest = read_manifest(release)
    find_encoder(release)
    members = [bind_encoder(release, settings.encoder)]
    members += [bind_shard(release, number, settings.shard) for number in range(len(manifest.shards))]
    return bind_root(release, manifest, members)


def ingress_application(
    settings: ServeSettings, release: str, written: Sequence[str], on_head: bool = False
) -> Application:
    """The ingress, pointing at the application `release`; what comes in is encoded for those of `written`.

    `on_head`: on the head of the cluster and nowhere else.
    """
    placed = settings.ingress.deployment_options()
    if on_head:
        placed["ray_actor_options"] = {"num_cpus": 0, "resources": {HEAD: SOME}}
    deployment = serve.deployment(
        name="ingress",
        **placed,
        max_ongoing_requests=settings.ingress.max_ongoing_requests,
        user_config={"application": release},
    )(serve.ingress()(Ingress))
    options = IngressOptions(
        router=settings.router, limits=settings.limits, access=settings.access, audit=settings.audit
    )
    return keeping_replicas(deployment, options).bind(options, bind_ingest(settings.ingest, written))


def reserved(settings: ServeSettings) -> list[dict[str, float]]:
    """What the service reserves with Ray when it starts, replica by replica."""
    shards = len(read_manifest(settings.release.path).shards)
    return [
        *[settings.shard.resources()] * shards * settings.shard.min_replicas,
        *[settings.encoder.resources()] * settings.encoder.min_replicas,
        *[settings.ingress.resources()] * settings.ingress.min_replicas,
        settings.ingest.resources(),
    ]


def deploy(settings: ServeSettings) -> str:
    """Bring the release to readiness, point the ingress at it, drain older releases; the service's base URL.

    Needs a running Ray. Called again with another release it is an upgrade: the old one answers until the new one is
    ready. Raises ValueError when the release cannot be served.
    """
    application = release_application(settings)
    name = RELEASE_PREFIX + read_manifest(settings.release.path).id
    # What listens for one machine alone, of proxies and of replicas that take requests from them, is on that machine.
    on_head = settings.http.is_for_this_machine
    location = "HeadOnly" if on_head else "EveryNode"
    serve.start(proxy_location=location, http_options=settings.http.model_dump(), logging_config=LOGGING)
    try:
        serve.run(application, name=name, route_prefix=None, logging_config=LOGGING)
    except RuntimeError as error:
        reason = _why(name) or error
        serve.delete(name)
        raise ValueError(f"{settings.release.path}: {reason}") from None
    old = [each for each in serve.status().applications if each.startswith(RELEASE_PREFIX) and each != name]

    def point(release: str, written: Sequence[str]) -> None:
        application = ingress_application(settings, release, written, on_head)
        serve.run(application, name=INGRESS, logging_config=LOGGING)

    current = _current()
    if current in old:  # The others were left by a deploy that was broken off.
        # What is written meanwhile is for both, where both are of one store.
        is_same_store = _store_of(current) == _store_of(name)
        point(current, [current, name] if is_same_store else [current])
        _wait_until_ready(name, len(read_manifest(settings.release.path).shards))
        point(name, [current, name] if is_same_store else [name])
        sleep(settings.router.deadline_s)  # No search that began in an old release is still running then.
    point(name, [name])
    for each in old:
        serve.delete(each)
    return f"http://{settings.http.host}:{settings.http.port}"


def is_running() -> bool:
    """Whether the Ray this process is connected to serves searches already."""
    return INGRESS in serve.status().applications


def _current() -> str | None:
    """The application that searches go to, where there is one that answers."""
    if not is_running():
        return None
    try:
        current: str | None = (
            serve.get_deployment_handle("ingress", INGRESS).current.remote().result(timeout_s=CURRENT_S)
        )
        return current
    except (RayError, TimeoutError):
        return None


def _store_of(application: str) -> str:
    return cast(ReleaseManifest, serve.get_app_handle(application).describe.remote().result()).store_id


def shutdown() -> None:
    """Stop the service; Ray and the other applications of its Serve go on."""
    for name in serve.status().applications:
        if name == INGRESS or name.startswith(RELEASE_PREFIX):
            serve.delete(name)


def _wait_until_ready(application: str, shards: int) -> None:
    """Until every shard has what was written since the release was built. Raises ValueError after CATCH_UP_S."""
    deadline = monotonic() + CATCH_UP_S
    waiting = [serve.get_deployment_handle(shard_name(number), application) for number in range(shards)]
    while waiting:
        try:
            waiting[-1].ready.remote().result(timeout_s=CATCH_UP_S)
            waiting.pop()
        except (RayError, TimeoutError):
            if monotonic() > deadline:
                raise ValueError(f"{application}: its shards do not come to the store's head") from None
            sleep(1)


def _why(application: str) -> str | None:
    """The error of the first replica of a failed application, if one says why."""
    deployments = serve.status().applications[application].deployments.values()
    errors = [line for each in deployments for line in each.message.splitlines() if "ValueError: " in line]
    return errors[-1].partition("ValueError: ")[2] if errors else None
