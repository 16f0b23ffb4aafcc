"""Ray's vLLM stage, saying less. To be imported where vLLM is about to run."""

import logging
from collections.abc import AsyncIterator
from typing import Any

from ray.llm._internal.batch.stages.vllm_engine_stage import vLLMEngineRequest, vLLMEngineStageUDF
from vllm.sampling_params import RequestOutputKind

UNREAD = ("messages", "prompt", "tokenized_prompt", "prompt_token_ids", "generated_tokens", "params", "metrics")
"""What a completed row carries beside its answer: lists of a thousand numbers, and the note once more."""


class QuietEngine(vLLMEngineStageUDF):
    """Logs no line a batch, and none about a call that failed, which may quote the prompt.

    An answer is handed on when it is whole, as vLLM's offline engine does, and not once more with every token.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        logging.getLogger("ray.llm").setLevel(logging.ERROR)
        super().__init__(*arguments, **named)
        prepare = self.llm._prepare_llm_request

        async def prepare_whole(row: dict[str, Any]) -> vLLMEngineRequest:
            request = await prepare(row)
            request.params.output_kind = RequestOutputKind.FINAL_ONLY
            return request

        self.llm._prepare_llm_request = prepare_whole  # type: ignore[method-assign]

    async def __call__(self, batch: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        async for completed in super().__call__(batch):
            for row in completed.get(self.data_column, ()):
                for key in UNREAD:
                    row.pop(key, None)
            yield completed
