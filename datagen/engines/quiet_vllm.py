"""Ray's vLLM stage with a closed mouth. To be imported where vLLM is about to run."""

import logging
from typing import Any

from ray.llm._internal.batch.stages.vllm_engine_stage import vLLMEngineStageUDF


class QuietEngine(vLLMEngineStageUDF):
    """Logs no line a batch, and none about a call that failed, which may quote the prompt."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        logging.getLogger("ray.llm").setLevel(logging.ERROR)
        super().__init__(*arguments, **named)
