"""Whether what a job asks for can ever be placed, and the words in which it is said."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from encoders.workers import WorkerSettings
from ray_jobs import room
from ray_jobs.job import SettingsError
from ray_jobs.resources import counted, shown
from ray_jobs.room import ANY, Cluster, nodes_to_come, require_room, require_workers
from serving.encoder_deployment import EncoderSettings
from serving.replicas import ReplicaSettings

SMALL, LARGE = {"CPU": 4, "memory": 16e9}, {"CPU": 8, "GPU": 1, "memory": 64e9, "accelerator_type:H100": 1}
H100 = WorkerSettings(cpus=2, use_gpu=True, accelerator_type="H100", memory_gb=32)


@pytest.mark.parametrize(
    ("bundles", "fits"),
    [
        ([SMALL, LARGE], True),
        ([SMALL] * 3, True),
        ([SMALL] * 4, False),
        ([{"CPU": 5}], True),
        ([{"CPU": 5}, {"CPU": 4}], True),
        ([{"CPU": 5}, {"CPU": 5}], False),
        ([{"memory": 17e9}, {"memory": 16e9}], True),
        ([{"TPU": 1}], False),
        ([H100.resources()], True),
        ([H100.resources()] * 2, False),
        ([{"CPU": 0.1}] * 120, True),
        ([{"CPU": 0.1}] * 121, False),
    ],
)
def test_bundles_fit_on_the_nodes_together_or_not(bundles, fits):
    assert Cluster([SMALL, LARGE]).has_room_for(bundles) is fits


def test_nodes_that_an_autoscaler_may_add_count():
    assert not Cluster([SMALL]).has_room_for([LARGE])
    assert Cluster([SMALL], [LARGE]).has_room_for([LARGE])


def test_node_types_of_the_cluster_file_may_come_as_often_as_it_says(tmp_path):
    file = tmp_path / "cluster.yaml"
    types = {
        "head": {"resources": {"CPU": 0}},
        "small": {"resources": SMALL},
        "large": {"resources": LARGE, "max_workers": 1},
    }
    config = {"max_workers": 3, "head_node_type": "head", "available_node_types": types}
    file.write_text(yaml.safe_dump(config, sort_keys=False))
    assert nodes_to_come(str(file), {"small": 1, "head": 1}) == [SMALL, SMALL, LARGE]
    types["small"]["resources"] = {}
    file.write_text(yaml.safe_dump(config, sort_keys=False))
    assert nodes_to_come(str(file), {}) is None, "what machines of one's own have is not in the file"


def test_machines_of_one_s_own_that_have_not_joined_may_have_anything(tmp_path):
    file = tmp_path / "cluster.yaml"
    types = {"local.cluster.node": {"resources": {}}}
    provider = {"type": "local", "worker_ips": ["10.0.0.2", "10.0.0.3"]}
    config = {"provider": provider, "head_node_type": "local.cluster.node", "available_node_types": types}
    file.write_text(yaml.safe_dump(config))
    assert nodes_to_come(str(file), {"local.cluster.node": 2}) is None
    assert nodes_to_come(str(file), {"local.cluster.node": 3}) == []


def test_where_nobody_knows_what_may_come_nothing_is_refused():
    assert nodes_to_come(None, {}) == []
    assert nodes_to_come(ANY, {}) is None
    assert Cluster([SMALL], None).has_room_for([LARGE])


cpus = st.integers(1, 8)


@given(st.lists(cpus, max_size=6), st.lists(cpus, max_size=6))
def test_what_fits_is_never_more_than_there_is(nodes, bundles):
    cluster = Cluster([{"CPU": each} for each in nodes])
    if cluster.has_room_for([{"CPU": each} for each in bundles]):
        assert sum(bundles) <= sum(nodes)
        assert max(bundles, default=0) <= max(nodes, default=0)


@given(st.lists(cpus, min_size=1, max_size=6))
def test_as_many_fit_as_there_are_nodes_of_the_size(nodes):
    assert Cluster([{"CPU": each} for each in nodes]).has_room_for([{"CPU": each} for each in nodes])


def test_what_can_never_be_placed_is_refused_with_what_is_asked_and_what_is_there(monkeypatch):
    monkeypatch.setattr(room, "JOINING_S", 0)
    monkeypatch.setattr(Cluster, "here", lambda: Cluster([SMALL, SMALL], [LARGE]))
    with pytest.raises(SettingsError) as refused:
        require_workers("training (workers)", H100.model_copy(update={"number": 3}))
    assert str(refused.value) == (
        "training (workers) can never start: it asks for 3 x (2 CPU, 1 GPU, 32.0 GB memory, H100) at once, and "
        "the cluster has 2 x (4 CPU, 16.0 GB memory); it may grow by 1 x (8 CPU, 1 GPU, 64.0 GB memory, H100)"
    )


def test_nodes_that_are_starting_are_waited_for(monkeypatch):
    seen = iter([Cluster([]), Cluster([SMALL])])
    monkeypatch.setattr(room, "LOOK_EVERY_S", 0)
    monkeypatch.setattr(Cluster, "here", lambda: next(seen))
    require_room("training", [{"CPU": 4}])
    assert next(seen, None) is None


def test_training_that_can_do_with_fewer_workers_starts_with_them(monkeypatch):
    monkeypatch.setattr(room, "JOINING_S", 0)
    monkeypatch.setattr(Cluster, "here", lambda: Cluster([SMALL]))
    require_workers("training", WorkerSettings(number=8, cpus=4, min_number=1))
    with pytest.raises(SettingsError):
        require_workers("training", WorkerSettings(number=8, cpus=4))


def test_resources_are_named_as_recipes_set_them():
    assert shown({"CPU": 2.0, "memory": 1.5e9, "object_store_memory": 7, "node:10.0.0.1": 1}) == "2 CPU, 1.5 GB memory"
    assert shown({}) == counted([]) == "nothing"
    assert counted([{"CPU": 1}, {"GPU": 1}, {"CPU": 1}]) == "2 x (1 CPU) and 1 x (1 GPU)"


def test_a_ray_that_runs_is_described(local_ray):
    (node,) = Cluster.here().up
    assert node["CPU"] == 8
    assert Cluster.here().to_come == []


def test_workers_ask_ray_for_what_the_recipe_says():
    assert H100.resources() == {"CPU": 2, "GPU": 1, "memory": 32e9, "accelerator_type:H100": 0.001}
    own = {"num_cpus": 2, "num_gpus": 1, "memory": 32e9, "resources": {"accelerator_type:H100": 0.001}}
    assert H100.actor_options() == own
    assert WorkerSettings().actor_options() == {"num_cpus": 1, "num_gpus": 0, "resources": {}}


def test_replicas_ask_ray_for_what_the_recipe_says():
    options = ReplicaSettings(num_cpus=2, memory_gb=8, min_replicas=2, max_replicas=3, max_replicas_per_node=1)
    assert options.deployment_options() == {
        "ray_actor_options": {"num_cpus": 2, "num_gpus": 0, "memory": 8e9},
        "autoscaling_config": {"min_replicas": 2, "max_replicas": 3},
        "max_replicas_per_node": 1,
    }
    assert EncoderSettings(use_gpu=True).deployment_options()["ray_actor_options"] == {"num_cpus": 0.5, "num_gpus": 1}


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: ReplicaSettings(min_replicas=2), "min_replicas is more than max_replicas"),
        (lambda: WorkerSettings(min_number=3), "workers.min_number is more than workers.number"),
        (lambda: WorkerSettings(accelerator_type="H100"), "workers.accelerator_type is a kind of GPU"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(make, reason):
    with pytest.raises(ValueError, match=reason):
        make()
