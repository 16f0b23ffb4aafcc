"""The fields of KubeRay's ray.io/v1 that the manifests use; a field that is not here is refused.

Pod templates are any object here: tests validate them, where they stand, with Kubernetes' own schema.
"""

from typing import Any

STRING: dict[str, Any] = {"type": "string", "minLength": 1}
COUNT: dict[str, Any] = {"type": "integer", "minimum": 0}
TEXTS: dict[str, Any] = {"type": "object", "additionalProperties": {"type": "string"}}
TEMPLATE: dict[str, Any] = {"type": "object", "required": ["spec"]}


def record(required: str = "", **fields: dict[str, Any]) -> dict[str, Any]:
    """An object with these fields and no others."""
    return {"type": "object", "additionalProperties": False, "required": required.split(), "properties": fields}


SECRET_KEY = record("secretKeyRef", secretKeyRef=record("name key", name=STRING, key=STRING))
GROUP: dict[str, dict[str, Any]] = {"rayStartParams": TEXTS, "resources": TEXTS, "labels": TEXTS, "template": TEMPLATE}
CLUSTER = record(
    "rayVersion authOptions headGroupSpec workerGroupSpecs",
    rayVersion=STRING,
    authOptions=record("mode", mode={"enum": ["token"]}, secretName=STRING),
    enableInTreeAutoscaling={"type": "boolean"},
    autoscalerOptions=record(
        version={"enum": ["v1", "v2"]},
        idleTimeoutSeconds=COUNT,
        upscalingMode={"enum": ["Default", "Aggressive", "Conservative"]},
    ),
    # KubeRay takes a password as a value too; in a file it would be no secret.
    gcsFaultToleranceOptions=record(
        "redisAddress redisPassword",
        redisAddress=STRING,
        redisPassword=record("valueFrom", valueFrom=SECRET_KEY),
        externalStorageNamespace=STRING,
    ),
    headGroupSpec=record("rayStartParams template", **GROUP),
    workerGroupSpecs={
        "type": "array",
        "minItems": 1,
        "items": record(
            "groupName minReplicas maxReplicas rayStartParams template",
            groupName=STRING,
            replicas=COUNT,
            minReplicas=COUNT,
            maxReplicas=COUNT,
            idleTimeoutSeconds=COUNT,
            **GROUP,
        ),
    },
)
SPECS = {
    "RayCluster": CLUSTER,
    "RayService": record("serveConfigV2 rayClusterConfig", serveConfigV2=STRING, rayClusterConfig=CLUSTER),
    # With a clusterSelector KubeRay refuses suspend and backoffLimit.
    "RayJob": record(
        "clusterSelector entrypoint",
        clusterSelector=record("ray.io/cluster", **{"ray.io/cluster": STRING}),
        entrypoint=STRING,
        activeDeadlineSeconds={"type": "integer", "minimum": 1},
        runtimeEnvYAML=STRING,
    ),
}
METADATA = {"anyOf": [record("name", name=STRING, labels=TEXTS), record("generateName", generateName=STRING)]}


def schema_of(kind: str) -> dict[str, Any]:
    """The schema of a manifest of this kind."""
    fields = {"apiVersion": {"const": "ray.io/v1"}, "kind": {"const": kind}, "metadata": METADATA, "spec": SPECS[kind]}
    return record("apiVersion kind metadata spec", **fields)
