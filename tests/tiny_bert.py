"""An encoder that is small enough to do nothing well, fast."""

import torch
import transformers

from encoders.encoder import Encoder
from encoders.spec import EncoderSpec, resolve


def write_tiny_bert(folder):
    """A random BERT of 2 layers with the vocabulary of the bundled model, without dropout; the folder."""
    torch.manual_seed(0)
    config = transformers.BertConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    tokenizer = transformers.AutoTokenizer.from_pretrained(resolve("bundled"))
    spec = EncoderSpec(pooling="mean", max_query_tokens=32, max_passage_tokens=64, dimension=32)
    Encoder(transformers.BertModel(config), tokenizer, spec, "").save(folder)
    return folder
