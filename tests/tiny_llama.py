"""Tiny Llamas with a byte-level tokenizer and a chat template, as model folders that vLLM loads."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<eos>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SPECIAL_TOKENS = ["<eos>", "<|system|>", "<|user|>", "<|assistant|>"]
TEXT = "the patient was admitted with pneumonia and acute kidney injury and discharged home on antibiotics " * 4


def write_tiny_llama(
    folder: Path,
    answer: Sequence[str] = (),
    texts: Sequence[str] = (TEXT,),
    tokens: int = 600,
    layers: int = 2,
    size: int = 64,
) -> Path:
    """What it writes is noise, but decoding constrained to a schema gives valid JSON.

    With an `answer`, it writes these pieces, one token each, to whatever it is asked. Its tokenizer is trained on the
    `texts`.
    """
    import torch
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=tokens, special_tokens=SPECIAL_TOKENS, initial_alphabet=alphabet)
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_tokens([AddedToken(piece, normalized=False) for piece in answer])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<eos>", pad_token="<eos>")
    fast.chat_template = CHAT_TEMPLATE
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(fast),
        hidden_size=size,
        intermediate_size=2 * size,
        num_hidden_layers=layers,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=4096,
        eos_token_id=fast.eos_token_id,
    )
    model: Any = LlamaForCausalLM(config)
    if answer:
        _say(model, [fast.vocab[token] for token in ["<|assistant|>", *answer, "<eos>"]])
    model.to(torch.bfloat16).save_pretrained(folder)
    return folder


def _say(model: Any, tokens: list[int]) -> None:
    """After each of the tokens the next one: the layers add nothing, and the output matrix looks the next one up."""
    import torch

    with torch.no_grad():
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
        model.lm_head.weight.zero_()
        for place, (token, following) in enumerate(pairwise(tokens)):
            model.model.embed_tokens.weight[token] = torch.eye(model.config.hidden_size)[place]
            model.lm_head.weight[following, place] = 10.0
