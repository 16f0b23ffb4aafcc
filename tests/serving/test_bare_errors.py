import asyncio
import inspect
import traceback

import pytest

from serving.bare_errors import ReplicaError, bare
from serving.encoder_deployment import EncoderDeployment
from serving.ingest_deployment import IngestDeployment
from serving.release_deployment import ReleaseRoot
from serving.shard_deployment import ShardDeployment


def test_an_error_leaves_without_what_it_quotes():
    @bare
    async def failing(query):
        raise ValueError(f"cannot search {query}")

    query = "-".join(["can", "ary"])
    with pytest.raises(ReplicaError, match=r"^ValueError$") as caught:
        asyncio.run(failing(query))
    told = "".join(traceback.format_exception(caught.value))
    assert query not in told
    assert "cannot search {query}" not in told


def test_an_answer_is_passed_on():
    @bare
    async def answering(one, other=0):
        return one + other

    assert asyncio.run(answering(1, other=2)) == 3


@pytest.mark.parametrize("deployment", [EncoderDeployment, IngestDeployment, ReleaseRoot, ShardDeployment])
def test_every_call_to_a_replica_is_such(deployment):
    called = {
        name: method
        for name, method in inspect.getmembers(deployment, inspect.isfunction)
        if not name.startswith("_") and name != "reconfigure"
    }
    assert called
    assert [name for name, method in called.items() if not hasattr(method, "__wrapped__")] == []
