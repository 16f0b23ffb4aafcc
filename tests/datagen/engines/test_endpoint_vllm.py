"""The client against vLLM's own server with a tiny random model."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from importlib.util import find_spec

import httpx
import pytest

from datagen.engines.base import CallFailed, Completion, EngineDown, Request
from datagen.engines.endpoint import Endpoint, EndpointSettings
from ray_jobs.serve_environment import free_port

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(find_spec("vllm") is None, reason="vllm is not installed"),
]
MESSAGES = [
    {"role": "system", "content": "List the diagnoses. " * 10},
    {"role": "user", "content": "Admitted with pneumonia."},
]
SCHEMA = {
    "type": "object",
    "properties": {"names": {"type": "array", "items": {"type": "string", "maxLength": 8}, "maxItems": 2}},
    "required": ["names"],
    "additionalProperties": False,
}
START_S = 500


@pytest.fixture(scope="module")
def url(tiny_llama, tmp_path_factory):
    log = tmp_path_factory.mktemp("vllm") / "log"
    port = free_port()
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(tiny_llama)]
    command += ["--served-model-name", "tiny", "--host", "127.0.0.1", "--port", str(port), "--max-model-len", "4096"]
    command += ["--max-num-seqs", "4", "--enforce-eager", "--enable-prompt-tokens-details"]
    environment = {**os.environ, "VLLM_CPU_KVCACHE_SPACE": "1", "OMP_NUM_THREADS": "1", "VLLM_NO_USAGE_STATS": "1"}
    with log.open("wb") as output:
        server = subprocess.Popen(
            command, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        _wait_for(f"http://127.0.0.1:{port}/health", server, log)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        # vLLM's engine is a process of its own in the same group.
        os.killpg(server.pid, signal.SIGTERM)
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)


def _wait_for(health, server, log):
    until = time.monotonic() + START_S
    while time.monotonic() < until and server.poll() is None:
        try:
            if httpx.get(health).is_success:
                return
        except httpx.TransportError:
            time.sleep(1)
    pytest.fail(f"vLLM did not start:\n{log.read_text(errors='replace')[-3000:]}")


def ask(url, *requests, model="tiny"):
    """What each request returned or raised; all under way together."""

    async def together():
        client = Endpoint(EndpointSettings(url=url, model=model, tries=1))
        outcomes = await asyncio.gather(*map(client.complete, requests), return_exceptions=True)
        await client.close()
        return outcomes

    return asyncio.run(together())


def test_a_plain_answer_is_cut_where_asked_and_counted(url):
    [completion] = ask(url, Request(MESSAGES, 12, 0.0, None))
    assert isinstance(completion, Completion)
    assert completion.text
    assert completion.is_truncated
    assert completion.output_tokens == 12
    assert completion.prompt_tokens > 100


def test_an_instruction_asked_again_comes_from_the_prefix_cache(url):
    request = Request(MESSAGES, 2, 0.0, None)
    ask(url, request)
    [again] = ask(url, request)
    assert 0 < again.cached_tokens < again.prompt_tokens


def test_answers_follow_the_schema(url):
    for completion in ask(url, *[Request(MESSAGES, 2000, 1.0, SCHEMA)] * 6):
        assert isinstance(completion, Completion)
        assert not completion.is_truncated
        # vLLM lets bare control characters into strings, which JSON does not.
        assert len(json.loads(completion.text, strict=False)["names"]) <= 2


def test_a_prompt_beyond_the_model_is_refused(url):
    [failure] = ask(url, Request([{"role": "user", "content": "pneumonia " * 5000}], 10, 0.0, None))
    assert isinstance(failure, CallFailed)
    assert failure.reason == "refused_request"


def test_a_model_that_is_not_served_stops_the_job(url):
    [failure] = ask(url, Request(MESSAGES, 10, 0.0, None), model="other")
    assert isinstance(failure, EngineDown)
