"""What engines reserve, and where Ray may put them."""

import pytest

from datagen.engines.vllm import VllmSettings, _placed, gpus_of, reserved

KIND = {"accelerator_type:L40S": 0.001}


def settings(**fields):
    return VllmSettings(model="m", accelerator_type="L40S", **fields)


def test_an_engine_of_one_gpu_goes_wherever_there_is_one():
    assert _placed(settings(engines=3)) is None
    assert reserved(settings(engines=3)) == [{"GPU": 1, **KIND}] * 3


def test_the_gpus_of_a_tensor_parallel_engine_are_in_one_machine():
    four = settings(engines=2, tensor_parallel=4)
    assert _placed(four) == {"bundles": [{"GPU": 1, "CPU": 1}] * 4, "strategy": "STRICT_PACK"}
    assert reserved(four) == [{"GPU": 4, **KIND}] * 2
    assert gpus_of(four) == 8


def test_the_stages_of_a_pipeline_may_be_in_several():
    staged = settings(engines=1, tensor_parallel=2, pipeline_parallel=2)
    assert _placed(staged) is None
    assert reserved(staged) == [{"GPU": 2, **KIND}] * 2


@pytest.mark.parametrize(("kind", "engines"), [("L40S", 2), ("H100", 1), (None, 3)])
def test_without_a_number_there_are_as_many_as_the_gpus_of_their_kind(monkeypatch, kind, engines):
    nodes = [({"GPU": 2.0, "accelerator_type:L40S": 1}, True), ({"GPU": 1.0, "accelerator_type:H100": 1}, True)]
    nodes.append(({"GPU": 8.0, "accelerator_type:L40S": 1}, False))
    known = [{"Resources": resources, "Alive": alive} for resources, alive in nodes]
    monkeypatch.setattr("ray.nodes", lambda: known)
    assert len(reserved(VllmSettings(model="m", accelerator_type=kind))) == engines
