"""Deployments whose replicas live on when only their `user_config` changes."""

import hashlib

from pydantic import BaseModel
from ray.serve import Deployment


def keeping_replicas(deployment: Deployment, settings: BaseModel) -> Deployment:
    """The deployment, with a version that changes with its settings alone.

    `serve.run` gives one without a version a random one each time, and so restarts every replica
    (ray/serve/_private/client.py, Ray 2.60). The public option for versions was removed there.
    """
    version = hashlib.sha256(settings.model_dump_json().encode()).hexdigest()[:16]
    return deployment.options(version=version, _internal=True)
