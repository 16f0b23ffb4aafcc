"""Ray's cluster files, the nodes' environment and the container file: valid, explained, and without secrets."""

import copy
import os
import re
import shlex
import subprocess
import tomllib
from pathlib import Path

import botocore.session
import jsonschema
import pytest
import yaml
from botocore.exceptions import ParamValidationError
from botocore.validate import validate_parameters
from moto.ec2.models.instance_types import INSTANCE_TYPES
from ray.autoscaler._private.aws import node_provider as aws
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.serve.schema import ServeDeploySchema

from ray_jobs.cluster_watch import SOON_CUT_OFF
from ray_jobs.room import ANY, NODE_TYPES
from ray_jobs.serve_environment import FAST, NOBODY, RECOVERY
from tests.deploy.secrets_in_files import secret_looking

ROOT = Path(__file__).parents[2]
CLUSTER, LOCAL = ROOT / "cluster.yaml", ROOT / "cluster.local.yaml"
CONTAINERS = ROOT / "deploy/Containerfile"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = [name.rstrip("*") for name in PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]]
EVERY_FILE = [CLUSTER, LOCAL, *(path for path in (ROOT / "deploy").rglob("*") if path.is_file())]
ENVIRONMENT = {
    **FAST,
    **RECOVERY,
    **SOON_CUT_OFF,
    "RAY_SERVE_HAPROXY_LOG_TARGET": NOBODY,
    "RAY_AUTH_MODE": "token",
    "RAY_USAGE_STATS_ENABLED": "0",
}


def read(path):
    return yaml.safe_load(path.read_text())


def launched(config):
    """The config as `ray up` checks it."""
    prepared = prepare_config(copy.deepcopy(config))
    validate_config(prepared)
    return prepared


def commands(value):
    """Every shell command of a cluster file, wherever it stands."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from inner if key.endswith("commands") else commands(inner)


@pytest.fixture
def cluster():
    return read(CLUSTER)


@pytest.mark.parametrize("path", [CLUSTER, LOCAL], ids=lambda path: path.name)
def test_ray_takes_the_file_and_refuses_a_broken_one(path):
    assert launched(read(path))["cluster_name"] == "drehr"
    for broken in ({"idle_timeout_minute": 10}, {"upscaling_speed": "fast"}, {"provider": {"region": "us-east-1"}}):
        with pytest.raises((jsonschema.ValidationError, KeyError)):
            launched({**read(path), **broken})


def test_a_wrong_field_of_a_node_type_is_refused(cluster):
    cluster["available_node_types"]["shards"]["resource"] = {"CPU": 1}
    with pytest.raises(jsonschema.ValidationError):
        launched(cluster)


def unknown_to_ec2(cluster):
    """What EC2 would refuse in the node types, by the shapes of its own API."""
    shape = botocore.session.get_session().get_service_model("ec2").operation_model("RunInstances").input_shape
    for name, kind in cluster["available_node_types"].items():
        try:
            validate_parameters({**kind["node_config"], "MinCount": 1, "MaxCount": 1}, shape)
        except ParamValidationError as error:
            yield f"{name}: {error}"


def test_ec2_knows_every_field(cluster):
    assert not list(unknown_to_ec2(cluster))
    cluster["available_node_types"]["shards"]["node_config"]["IamInstanceProfile"] = "drehr-node"
    cluster["available_node_types"]["training"]["node_config"]["SpotPrice"] = {}
    assert len(list(unknown_to_ec2(cluster))) == 2


def found_on_aws(cluster, monkeypatch):
    """The resources that Ray would find for each type, had the file none."""
    monkeypatch.setattr(aws, "list_ec2_instances", lambda *_: list(INSTANCE_TYPES.values()))
    bare = copy.deepcopy(cluster)
    for kind in bare["available_node_types"].values():
        kind["resources"] = {}
    filled = aws.AWSNodeProvider.fillout_available_node_types_resources(bare)
    return {name: kind["resources"] for name, kind in filled["available_node_types"].items()}


def test_the_resources_are_those_of_the_machines(cluster, monkeypatch):
    """They are written down all the same: what plans or plays a cluster without AWS reads them too."""
    found = found_on_aws(cluster, monkeypatch)
    for name, kind in cluster["available_node_types"].items():
        written = dict(kind["resources"])
        if name == cluster["head_node_type"]:
            assert written == {"CPU": 0}
            continue
        memory, all_of_it = written.pop("memory"), found[name].pop("memory")
        assert all_of_it * 0.98 < memory <= all_of_it, name
        assert written == found[name], name


def test_the_cluster_starts_as_a_head_alone(cluster):
    kinds = launched(cluster)["available_node_types"]
    head = kinds.pop(cluster["head_node_type"])
    assert head["resources"]["CPU"] == head["max_workers"] == 0
    assert all(kind["min_workers"] == 0 < kind["max_workers"] for kind in kinds.values())
    assert sum(kind["max_workers"] for kind in kinds.values()) == cluster["max_workers"]


def gpu_needs(recipe):
    """What one process of a recipe that uses GPUs asks of a node, and how many of them there are."""
    settings = read(recipe)
    workers = settings.get("workers", {})
    if workers.get("use_gpu"):
        yield {"CPU": workers.get("cpus", 1), "GPU": 1}, workers["number"]
    engine = settings.get("engine") or settings.get("annotator", {}).get("engine", {})
    if engine.get("kind") == "vllm":
        yield {"CPU": 1, "GPU": engine.get("tensor_parallel", 1)}, 1


def places(cluster, need):
    """How many such processes the whole cluster holds."""
    kinds = cluster["available_node_types"].values()
    return sum(
        kind.get("max_workers", 0) * min(int(kind["resources"].get(name, 0) // amount) for name, amount in need.items())
        for kind in kinds
    )


def test_recipes_that_use_gpus_find_their_nodes(cluster):
    needs = [need for recipe in (ROOT / "recipes").glob("*.yaml") for need in gpu_needs(recipe)]
    assert max(need["GPU"] for need, _ in needs) == 4
    assert max(number for _, number in needs) == 8
    assert all(places(cluster, need) >= number for need, number in needs)
    del cluster["available_node_types"]["large_generation"]
    assert not all(places(cluster, need) >= number for need, number in needs)


def test_what_answers_searches_is_not_on_spot(cluster):
    spot = {
        name for name, kind in cluster["available_node_types"].items() if "InstanceMarketOptions" in kind["node_config"]
    }
    assert spot == set(cluster["available_node_types"]) - {"head", "shards"}


def unexplained(text):
    """Node types without a comment line of their own."""
    lines = text.splitlines()
    names = list(yaml.safe_load(text)["available_node_types"])
    for name in names:
        above = lines[: lines.index(f"  {name}:")][-2:]
        if [line.startswith("  # ") for line in above] != [False, True]:
            yield name


def test_every_node_type_is_explained_in_one_line():
    text = CLUSTER.read_text()
    assert not list(unexplained(text))
    assert list(unexplained(re.sub(r"  # Shards: .*\n", "", text))) == ["shards"]


def missing_files(text):
    """Files of the repository that commands and mounts name, and that are not there."""
    config = yaml.safe_load(text)
    mounted = config["file_mounts"]
    for local in mounted.values():
        if not local.startswith("~") and not (ROOT / local).exists():
            yield local
    for command in commands(config):
        for name in re.findall(r"(?:~/drehr/)?((?:constraints|deploy|recipes)/[\w./-]+)", command):
            if not (ROOT / name).is_file() or f"~/drehr/{name.partition('/')[0]}" not in mounted:
                yield name


@pytest.mark.parametrize("path", [CLUSTER, LOCAL], ids=lambda path: path.name)
def test_commands_and_mounts_name_files_that_exist(path):
    text = path.read_text()
    assert not list(missing_files(text))
    assert {f"~/drehr/{name}" for name in PACKAGES} <= set(yaml.safe_load(text)["file_mounts"])
    assert "constraints/gpus.txt" in list(missing_files(text.replace("constraints/gpu.txt", "constraints/gpus.txt")))
    assert list(missing_files(text.replace(": encoders\n", ": encoder\n"))) == ["encoder"]


def extras_of(command):
    """The extra of the project that a command installs, with the constraints that it does so by."""
    return re.findall(r"--constraint constraints/(\w+)\.txt '\.\[(\w+)\]'", command)


def test_nodes_with_gpus_and_nodes_without_install_their_own(cluster):
    kinds = cluster["available_node_types"]
    for name, kind in kinds.items():
        setup = kind.get("worker_setup_commands", cluster["worker_setup_commands"])
        wanted = "gpu" if "GPU" in kind["resources"] else "cpu"
        assert [pair for command in setup for pair in extras_of(command)] == [(wanted, wanted)], name
    assert {"cpu", "gpu"} <= set(PROJECT["project"]["optional-dependencies"])
    both = [pair for command in read(LOCAL)["setup_commands"] for pair in extras_of(command)]
    assert both == [("gpu", "gpu"), ("cpu", "cpu")]


def unparsable(command):
    return subprocess.run(["bash", "-n", "-c", command], capture_output=True).returncode != 0


@pytest.mark.parametrize("path", [CLUSTER, LOCAL], ids=lambda path: path.name)
def test_every_command_is_shell(path):
    every = list(commands(read(path)))
    assert len(every) > 4
    assert not [command for command in every if unparsable(command)]
    assert unparsable(every[0] + " && (")


def test_nodes_are_started_with_the_environment_of_the_service(tmp_path):
    for name, text in {"venv/bin/activate": "", ".drehr/environment": "export HF_TOKEN=theirs\n"}.items():
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(text)
    script = f". {shlex.quote(str(ROOT / 'deploy/node_environment.sh'))}; env -0"
    started = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1"}
    printed = subprocess.run(["bash", "-c", script], env=started, capture_output=True, text=True, check=True).stdout
    seen = dict(line.split("=", 1) for line in printed.strip("\0").split("\0"))
    assert {name: seen.get(name) for name in ENVIRONMENT} == ENVIRONMENT
    assert seen["HF_TOKEN"] == "theirs"
    assert seen[NODE_TYPES] == f"{tmp_path}/ray_bootstrap_config.yaml"
    assert "OMP_NUM_THREADS" not in seen
    for path in (CLUSTER, LOCAL):
        config = read(path)
        for role in ("head", "worker"):
            (start,) = (command for command in config[f"{role}_start_ray_commands"] if " start " in command)
            assert start.startswith(". ~/drehr/deploy/node_environment.sh; ray start"), path


def environments(text):
    """The variables of every ENV of a container file."""
    for block in re.findall(r"^ENV ((?:.*\\\n)*.*)", text, flags=re.MULTILINE):
        yield dict(pair.split("=", 1) for pair in shlex.split(block.replace("\\\n", " ")))


def faults_of_containers(text):
    """What a container file lacks: the environment, files that exist, the extra of its target, an ordinary user."""
    stages = re.split(r"^FROM ", text, flags=re.MULTILINE)[1:]
    targets = {stage.split("\n")[0].split(" AS ")[1]: stage for stage in stages}
    copied = [
        name for line in re.findall(r"^COPY (?!--)(.*) \S+$", targets["project"], flags=re.M) for name in line.split()
    ]
    yield from (name for name in copied if not (ROOT / name).exists())
    yield from (name for name in PACKAGES if name not in copied)
    for extra in ("cpu", "gpu"):
        stage = targets[extra]
        if list(environments(stage)) != [{**ENVIRONMENT, NODE_TYPES: ANY}]:
            yield f"{extra}: environment"
        if extras_of(stage) != [(extra, extra)] or f"constraints/{extra}.txt" not in stage:
            yield f"{extra}: packages"
        if stage.strip().splitlines()[-1] != "USER 1000" and "\nUSER 1000\n" not in stage.rsplit("RUN", 1)[1]:
            yield f"{extra}: user"


def test_the_container_file_has_what_the_nodes_have():
    text = CONTAINERS.read_text()
    assert not list(faults_of_containers(text))
    assert set(faults_of_containers(text.replace("USER 1000", "USER root"))) == {"cpu: user", "gpu: user"}
    assert list(faults_of_containers(text.replace("'.[gpu]'", "'.[cpu]'"))) == ["gpu: packages"]
    assert list(faults_of_containers(text.replace("COPY serving /serving\n", ""))) == ["serving"]
    assert set(faults_of_containers(text.replace("127.0.0.1:9", "127.0.0.1:514"))) == {
        "cpu: environment",
        "gpu: environment",
    }


@pytest.mark.parametrize("path", EVERY_FILE, ids=lambda path: path.name)
def test_no_file_holds_a_secret(path):
    assert not secret_looking(path.read_text())


@pytest.mark.parametrize(
    "line",
    [
        "RAY_REDIS_PASSWORD=correct-horse",
        "  redisPassword: {value: 'correct-horse'}\n  password: correct-horse",
        "export HF_TOKEN=hf_" + "a1" * 17,
        "aws_access_key_id: AKIA" + "A1" * 8,
        "auth_token: " + "0a" * 16,
        "redis://user:correct@redis:6379",
        "-----BEGIN OPENSSH PRIVATE KEY-----",
    ],
)
def test_a_secret_would_be_seen(line):
    assert secret_looking(line)


def understood(config):
    """What Serve makes of a config: it drops fields that it does not know."""
    return ServeDeploySchema.model_validate(config).model_dump(mode="json", exclude_unset=True)


def test_the_serve_config_is_one():
    config = read(ROOT / "deploy/serve.yaml")
    assert understood(config) == config
    misspelt = {**config, "applications": [{**config["applications"][0], "rout_prefix": "/"}]}
    assert understood(misspelt) != misspelt
    with pytest.raises(ValueError, match="import_path"):
        understood({**config, "applications": [{"name": "release-a"}]})
