"""vLLM engines inside Ray Data (`ray.data.llm`): each on one GPU or over several; they share the calls."""

import json
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import Any, Literal

import pyarrow as pa
import ray
from pydantic import BaseModel, ConfigDict, Field
from ray.data import Dataset

from datagen.engines.base import Completion, EngineDown
from datagen.generation.answers import answer_row, to_table
from datagen.tasks.base import Task

CALLS_AT_ONCE = 128
"""Calls that an engine is given together; it works on several such batches at a time, so it never waits for one."""
BATCHES_AT_ONCE = 16
OFFLINE_LIMITS = {"max_num_seqs": 256, "max_num_batched_tokens": 8192}
"""What vLLM takes for offline work (more on the largest GPUs); an engine that Ray starts would take 128 and 2048."""
ENGINE_ENVIRONMENT = {
    "VLLM_NO_USAGE_STATS": "1",  # vLLM reports on its use over the network otherwise
    "VLLM_LOGGING_LEVEL": "ERROR",
    "PYTHONWARNINGS": "ignore",
}
REFUSALS = ("ValueError", "VLLMValidationError")
"""What vLLM raises for a prompt that it will not take, mostly one that is too long."""
STAGE_CPUS = 0.1
"""The stages around an engine take turns with it; a whole CPU for each would keep a small machine from starting."""
ENGINE_CPUS = 4 * STAGE_CPUS
"""Of an engine without a GPU."""


class VllmSettings(BaseModel):
    """Which model runs where."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["vllm"] = "vllm"
    model: str
    """Name on the hub or folder."""
    device: Literal["gpu", "cpu"] = "gpu"
    tensor_parallel: int = Field(default=1, ge=1)
    """GPUs that share one engine's weights."""
    pipeline_parallel: int = Field(default=1, ge=1)
    engines: int | None = Field(default=None, ge=1)
    """How many; by default as many as the GPUs now in the cluster are enough for (with device cpu: one)."""
    accelerator_type: str | None = None
    """As Ray names it (H100, A100, ...), where the cluster has several."""
    max_model_len: int = Field(default=4096, ge=128)
    """Tokens of prompt and answer together."""
    chat_template: dict[str, Any] = {}
    """Further variables of the model's chat template, such as enable_thinking: false."""
    arguments: dict[str, Any] = {}
    """Further engine arguments as vLLM names them."""
    gpu_hour_price: float | None = Field(default=None, ge=0)
    """For the cost report."""


def ask_vllm(calls: Dataset, task: Task, settings: VllmSettings, temperature: float) -> Dataset:
    """The answers (`ANSWER_SCHEMA`) to the calls (`CALL_SCHEMA`), one row each.

    Raises EngineDown where vLLM is not installed or no engine fits the cluster's GPUs.
    """
    sampling: dict[str, Any] = {"temperature": temperature, "max_tokens": task.max_tokens}
    if task.schema is not None:
        sampling["structured_outputs"] = {"json": json.dumps(task.schema)}
    request = partial(_request, task=task, sampling=sampling)
    return vllm_answers(vllm_processor(settings, request)(calls), task, settings)


def vllm_answers(completed: Dataset, task: Task, settings: VllmSettings) -> Dataset:
    """The answers, of what the engines completed."""
    to_answers = partial(_answers, task=task, max_model_len=settings.max_model_len)
    return completed.map_batches(to_answers, batch_format="pyarrow", batch_size=None, **_stage(settings))


def vllm_processor(
    settings: VllmSettings, request: Callable[[dict[str, Any]], dict[str, Any]], tokenise: bool = True
) -> Callable[[Dataset], Dataset]:
    """The Ray Data stages around the engines; `request` makes `messages` and `sampling_params` of a row.

    `tokenise`: prompts are tokenised in a stage of their own, else by the engine.
    """
    if find_spec("vllm") is None:
        raise EngineDown("engine.kind vllm: vLLM is not installed on this machine; install the extra `gpu`")
    from ray.data.llm import build_processor, vLLMEngineProcessorConfig

    from datagen.engines.quiet_vllm import QuietEngine

    config = vLLMEngineProcessorConfig(
        model_source=settings.model,
        engine_kwargs={
            "tensor_parallel_size": settings.tensor_parallel,
            "pipeline_parallel_size": settings.pipeline_parallel,
            "max_model_len": settings.max_model_len,
            "enable_prefix_caching": True,
            "disable_log_stats": True,
            "use_tqdm_on_load": False,
            **OFFLINE_LIMITS,
            **settings.arguments,
        },
        batch_size=CALLS_AT_ONCE,
        # They are counted with every token and exported by each node's agent.
        log_engine_metrics=False,
        max_concurrent_batches=BATCHES_AT_ONCE,
        # A pool that grows would wait for each engine to load before it asks for the next.
        concurrency=(_engines(settings), _engines(settings)),
        accelerator_type=settings.accelerator_type,
        should_continue_on_error=True,
        runtime_env={"env_vars": ENGINE_ENVIRONMENT},
        chat_template_stage={"num_cpus": STAGE_CPUS, "chat_template_kwargs": settings.chat_template},
        tokenize_stage={"enabled": tokenise, "num_cpus": STAGE_CPUS},
        detokenize_stage=False,
        placement_group_config=_placed(settings),
    )
    stage = _stage(settings)
    processor = build_processor(config, request, preprocess_map_kwargs=stage, postprocess_map_kwargs=stage)
    name = "vLLMEngineStage"
    # A copy: to assign would work out the stage's resources anew, from what is no longer there.
    processor.stages[name] = processor.get_stage_by_name(name).model_copy(update={"fn": QuietEngine})
    return processor


def _placed(settings: VllmSettings) -> dict[str, Any] | None:
    """Bundles of an engine where Ray's own will not do: those of tensor parallelism would be spread over machines."""
    if settings.device == "cpu":
        return {"bundles": [{"CPU": ENGINE_CPUS}]}
    if settings.tensor_parallel > 1 and settings.pipeline_parallel == 1:
        return {"bundles": [{"GPU": 1, "CPU": 1}] * settings.tensor_parallel, "strategy": "STRICT_PACK"}
    return None


def _stage(settings: VllmSettings) -> dict[str, Any]:
    """Few tasks at a time: each takes milliseconds a batch, and a process of its own."""
    return {"num_cpus": STAGE_CPUS, "concurrency": 1 + _engines(settings)}


def gpus_of(settings: VllmSettings) -> int:
    """The GPUs that all engines take together."""
    return int(sum(bundle.get("GPU", 0) for bundle in reserved(settings)))


def reserved(settings: VllmSettings) -> list[dict[str, float]]:
    """What the engines reserve with Ray, machine by machine. Raises EngineDown where none fits the cluster's GPUs."""
    if settings.device == "cpu":
        return [{"CPU": ENGINE_CPUS}] * _engines(settings)
    kind = {f"accelerator_type:{settings.accelerator_type}": 0.001} if settings.accelerator_type else {}
    return [{"GPU": settings.tensor_parallel, **kind}] * (settings.pipeline_parallel * _engines(settings))


def _engines(settings: VllmSettings) -> int:
    if settings.engines or settings.device == "cpu":
        return settings.engines or 1
    kind = f"accelerator_type:{settings.accelerator_type}"
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    gpus = int(sum(node.get("GPU", 0) for node in nodes if not settings.accelerator_type or kind in node))
    needed = settings.tensor_parallel * settings.pipeline_parallel
    if gpus < needed:
        raise EngineDown(
            f"engine: one takes {needed} GPUs (tensor_parallel x pipeline_parallel) and the cluster has {gpus}; "
            "give engine.engines where the cluster will grow, or engine.device=cpu"
        )
    return gpus // needed


def _request(row: dict[str, Any], task: Task, sampling: dict[str, Any]) -> dict[str, Any]:
    return {"messages": task.messages(row["text"], row["variant"], row["query"]), "sampling_params": sampling}


def _answers(completed: pa.Table, task: Task, max_model_len: int) -> pa.Table:
    return to_table(
        [answer_row(task, row, _outcome(row, task.max_tokens, max_model_len)) for row in completed.to_pylist()]
    )


def _outcome(row: dict[str, Any], max_tokens: int, max_model_len: int) -> Completion | str:
    if error := row["__inference_error__"]:  # whose words may quote the prompt
        return "refused_request" if error.startswith(REFUSALS) else "server_error"
    prompt, output = row["num_input_tokens"], row["num_generated_tokens"]
    is_truncated = output >= max_tokens or prompt + output >= max_model_len
    return Completion(row["generated_text"], is_truncated, prompt, output, 0)
