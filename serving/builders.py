"""The service's applications for a Serve config file (`serve deploy`, KubeRay's RayService): see deploy/serve.yaml.

Their arguments are the settings of `ray_jobs.serve`. Which release the ingress points at is its `user_config`, and that
of the ingest says for which releases it encodes, so that moving the pointer restarts nothing.
"""

from typing import Any

from pydantic import ValidationError
from ray.serve import Application

from serving.application import ServeSettings, ingress_application, release_application


def build_release(arguments: dict[str, Any]) -> Application:
    """Encoder and shards of `release.path`. Raises ValueError when it cannot be served."""
    return release_application(_settings(arguments))


def build_ingress(arguments: dict[str, Any]) -> Application:
    """The ingress and the ingest, to be pointed at a release. Raises ValueError without an access folder."""
    settings = _settings(arguments)
    if settings.access is None:
        raise ValueError("access.path: the config file may listen on every interface; say who is let in")
    return ingress_application(settings, "", [])


def _settings(arguments: dict[str, Any]) -> ServeSettings:
    try:
        return ServeSettings.model_validate(arguments, extra="forbid")
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
