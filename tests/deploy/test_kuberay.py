"""The Kubernetes manifests: valid by Kubernetes' and KubeRay's schemas, closed to the outside, one service config."""

import copy
import importlib
import inspect
import re
import shlex
from pathlib import Path

import jsonschema
import kubernetes_validate
import pytest
import yaml
from ray.autoscaler._private.kuberay.autoscaling_config import _derive_autoscaling_config_from_ray_cr
from ray.autoscaler._private.util import validate_config

from ray_jobs.job import SettingsError, load_settings
from ray_jobs.room import NODE_TYPES, nodes_to_come
from tests.deploy.kuberay_schema import SPECS, schema_of

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy/kuberay"
KUBERNETES = "1.31"
"""The oldest release that the manifests are checked for."""


def manifests(path):
    return list(yaml.safe_load_all(path.read_text()))


EVERY = [(path, manifest) for path in sorted(FOLDER.rglob("*.yaml")) for manifest in manifests(path)]
NAMED = [pytest.param(manifest, id=f"{path.stem}-{manifest['kind']}") for path, manifest in EVERY]
OF_RAY = [value for value in NAMED if value.values[0]["kind"] in SPECS]
JOBS = [value for value in OF_RAY if value.values[0]["kind"] == "RayJob"]
(CLUSTER,) = (manifest for _, manifest in EVERY if manifest["kind"] == "RayCluster")
(SERVICE,) = (manifest for _, manifest in EVERY if manifest["kind"] == "RayService")
POLICIES = [manifest for _, manifest in EVERY if manifest["kind"] == "NetworkPolicy"]


def cluster_spec(manifest):
    return manifest["spec"] if manifest["kind"] == "RayCluster" else manifest["spec"].get("rayClusterConfig")


def groups(spec):
    return [spec["headGroupSpec"], *spec["workerGroupSpecs"]]


def check(manifest):
    """Raises jsonschema's error where a field is wrong."""
    if manifest["kind"] not in SPECS:
        kubernetes_validate.validate(manifest, KUBERNETES, strict=True)
        return
    jsonschema.validate(manifest, schema_of(manifest["kind"]))
    for group in groups(cluster_spec(manifest)) if cluster_spec(manifest) else []:
        pod = {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {}, "template": group["template"]}
        kubernetes_validate.validate(pod, KUBERNETES, strict=True)


@pytest.mark.parametrize("manifest", NAMED)
def test_the_manifest_is_valid_and_a_wrong_field_is_refused(manifest):
    check(manifest)
    wrong = copy.deepcopy(manifest)
    wrong.setdefault("spec", {})["podSelectors"] = {}
    with pytest.raises(jsonschema.ValidationError):
        check(wrong)


@pytest.mark.parametrize("manifest", [CLUSTER, SERVICE], ids=lambda manifest: manifest["kind"])
def test_a_wrong_field_inside_is_refused(manifest):
    for number in range(len(groups(cluster_spec(manifest)))):
        wrong = copy.deepcopy(manifest)
        groups(cluster_spec(wrong))[number]["template"]["spec"]["containers"][0]["volumeMount"] = []
        with pytest.raises(jsonschema.ValidationError):
            check(wrong)
    wrong = copy.deepcopy(manifest)
    cluster_spec(wrong)["gcsFaultToleranceOptions"]["redisPassword"] = {"value": "correct-horse"}
    with pytest.raises(jsonschema.ValidationError):
        check(wrong)
    del cluster_spec(wrong)["authOptions"]
    with pytest.raises(jsonschema.ValidationError, match="authOptions"):
        check(wrong)


@pytest.mark.parametrize("manifest", [CLUSTER, SERVICE], ids=lambda manifest: manifest["kind"])
def test_rays_autoscaler_reads_the_groups(manifest):
    described = {"metadata": {"name": "drehr", "namespace": "drehr"}, "spec": cluster_spec(manifest)}
    config = _derive_autoscaling_config_from_ray_cr(described)
    validate_config(config)
    for constraints in (ROOT / "constraints/cpu.txt", ROOT / "constraints/gpu.txt"):
        assert f"\nray=={cluster_spec(manifest)['rayVersion']}\n" in constraints.read_text()
    kinds = config["available_node_types"]
    assert kinds[config["head_node_type"]]["resources"]["CPU"] == 0
    assert all({"CPU", "memory"} <= set(kind["resources"]) for kind in kinds.values())
    if manifest["kind"] == "RayCluster":
        assert kinds["generation"]["resources"]["accelerator_type:L40S"] == kinds["generation"]["resources"]["GPU"] == 1
        assert kinds["training"]["resources"]["accelerator_type:H100"] == kinds["training"]["resources"]["GPU"] == 1


def test_jobs_know_what_the_cluster_may_grow_to(tmp_path):
    (types,) = (manifest for _, manifest in EVERY if manifest["kind"] == "ConfigMap")
    (file,) = types["data"].items()
    config = _derive_autoscaling_config_from_ray_cr(
        {"metadata": {"name": "drehr", "namespace": "drehr"}, "spec": CLUSTER["spec"]}
    )
    told = yaml.safe_load(file[1])
    assert told == {key: config[key] for key in ("head_node_type", "max_workers")} | {
        "available_node_types": {
            name: {key: kind[key] for key in ("max_workers", "resources")}
            for name, kind in config["available_node_types"].items()
        }
    }
    pod = CLUSTER["spec"]["headGroupSpec"]["template"]["spec"]
    (container,) = pod["containers"]
    mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    (volume,) = (
        each["name"] for each in pod["volumes"] if each.get("configMap") == {"name": types["metadata"]["name"]}
    )
    assert container["env"] == [{"name": NODE_TYPES, "value": f"{mounted[volume]}/{file[0]}"}]
    (tmp_path / file[0]).write_text(file[1])
    assert len(nodes_to_come(str(tmp_path / file[0]), {"headgroup": 1, "training": 2})) == 46


def test_the_service_has_the_config_of_serve_deploy():
    assert yaml.safe_load(SERVICE["spec"]["serveConfigV2"]) == yaml.safe_load((ROOT / "deploy/serve.yaml").read_text())


def settings_of(entrypoint):
    """The settings that a job starts with; raises where its command line is none."""
    python, module_flag, job, config_flag, recipe, *rest = shlex.split(entrypoint)
    assert [python, module_flag, config_flag] == ["python", "-m", "--config"]
    assert rest[::2] == ["--set"] * (len(rest) // 2)
    (settings_type, *_) = inspect.signature(importlib.import_module(job).run).parameters.values()
    return load_settings(settings_type.annotation, ROOT / Path(recipe).relative_to("/opt/drehr"), rest[1::2])


def out_of_reach(settings):
    """Paths that a recipe has in the checkout, and models of a hub: pods see neither."""
    return re.findall(r"'[^':]*\bruns/[^']*'|'hub:[^']*'", str(settings.model_dump(mode="json")))


@pytest.mark.parametrize("manifest", JOBS)
def test_the_job_can_be_run(manifest):
    assert manifest["spec"]["clusterSelector"] == {"ray.io/cluster": CLUSTER["metadata"]["name"]}
    entrypoint = manifest["spec"]["entrypoint"]
    assert not out_of_reach(settings_of(entrypoint))
    assert out_of_reach(settings_of(re.sub(r"--set output\.path=\S+|--set store\.path=\S+", "", entrypoint)))
    with pytest.raises(SettingsError, match="outputs: unknown key"):
        settings_of(entrypoint + " --set outputs.path=/shared/elsewhere")


def test_jobs_are_there_from_notes_to_evaluation():
    jobs = {shlex.split(value.values[0]["spec"]["entrypoint"])[2].removeprefix("ray_jobs.") for value in JOBS}
    assert jobs == {
        "prepare_corpus",
        "match_entities",
        "generate_entities",
        "train_encoder",
        "build_index",
        "evaluate",
    }


def openings(policies):
    """Who reaches which port from outside of the namespace."""
    for policy in policies:
        for rule in policy["spec"].get("ingress", []):
            for source in rule.get("from", [{}]):
                if source != {"podSelector": {}}:
                    selector = source.get("namespaceSelector", {}).get("matchLabels", {})
                    for port in rule.get("ports", [{}]):
                        yield selector.get("kubernetes.io/metadata.name", "everybody"), port.get("port", "all")


def ways_out(policies):
    """Where pods reach outside of the namespace, on which port."""
    for policy in policies:
        for rule in policy["spec"].get("egress", []):
            for target in rule.get("to", [{}]):
                if target != {"podSelector": {}}:
                    place = "block" if "ipBlock" in target else "dns" if "namespaceSelector" in target else "everywhere"
                    for port in rule.get("ports", [{}]):
                        yield place, port.get("port", "all")


def test_only_the_ingress_is_reached_from_outside():
    (whole,) = (policy for policy in POLICIES if policy["spec"]["podSelector"] == {})
    assert set(whole["spec"]["policyTypes"]) == {"Ingress", "Egress"}
    assert set(openings(POLICIES)) == {
        ("ingress-nginx", 8000),
        ("kuberay-operator", 8265),
        ("kuberay-operator", 8000),
        ("monitoring", 8080),
    }
    opened = copy.deepcopy(POLICIES)
    del opened[1]["spec"]["ingress"][0]["from"]
    assert ("everybody", 8000) in set(openings(opened))


def test_nothing_leaves_but_to_names_and_named_addresses():
    assert set(ways_out(POLICIES)) == {("dns", 53), ("block", 443), ("block", 6443)}
    opened = copy.deepcopy(POLICIES)
    opened[0]["spec"]["egress"].append({})
    assert ("everywhere", "all") in set(ways_out(opened))


@pytest.mark.parametrize("manifest", [CLUSTER, SERVICE], ids=lambda manifest: manifest["kind"])
def test_no_pod_has_rights_that_it_does_not_need(manifest):
    for group in groups(cluster_spec(manifest)):
        pod = group["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["runAsUser"] == 1000  # of the container file
        assert not pod["containers"][0]["securityContext"]["allowPrivilegeEscalation"]
        mounted = {mount["name"] for mount in pod["containers"][0]["volumeMounts"]}
        assert mounted == {volume["name"] for volume in pod["volumes"]}


def test_jobs_and_service_have_tokens_of_their_own():
    tokens = [cluster_spec(manifest)["authOptions"]["secretName"] for manifest in (CLUSTER, SERVICE)]
    assert len(set(tokens)) == 2
    said = (FOLDER / "cluster.yaml").read_text()
    used = set(
        re.findall(r"secretName: ([\w-]+)|secretKeyRef: \{name: ([\w-]+)", said + (FOLDER / "service.yaml").read_text())
    )
    assert {name for pair in used for name in pair if name} == set(re.findall(r"secret generic ([\w-]+)", said))


@pytest.mark.parametrize("path", [FOLDER / "cluster.yaml", FOLDER / "service.yaml"], ids=lambda path: path.stem)
def test_every_group_is_explained_in_one_line(path):
    lines = path.read_text().splitlines()
    explained = [lines[number - 1].strip() for number, line in enumerate(lines) if "- groupName:" in line]
    assert len(explained) > 1
    assert all(re.match(r"# [A-Z]\w+: ", line) for line in explained)
