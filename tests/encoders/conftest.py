"""A tiny random BERT and a small set of training records, tokenised."""

import json

import pytest
import torch
import transformers

from encoders.base import BaseChanges, prepare_base
from encoders.encoder import Encoder
from encoders.spec import LatentAttentionSize
from encoders.training.data import TrainingData
from encoders.training.settings import TrainingSettings
from encoders.training.tables import stage_records, write_tables
from tests.tiny_llama import write_tiny_llama

TERMS = {
    "D1": ["heart failure", "cardiac failure", "chf"],
    "D2": ["pneumonia", "lung infection"],
    "D3": ["renal failure", "kidney failure"],
    "R1": ["furosemide", "lasix"],
}
ABOVE = {"D1": "P1", "D3": "P1"}
TERMS_ABOVE = {"P1": ["organ failure"]}


DECODERS = {"llama": transformers.LlamaModel, "mistral": transformers.MistralModel, "qwen3": transformers.Qwen3Model}


@pytest.fixture(scope="session", params=DECODERS)
def tiny_decoder(request, tmp_path_factory):
    """A folder with a random language model of two layers and a byte-level tokenizer; no encoder yet."""
    return write_tiny_decoder(request.param, tmp_path_factory.mktemp(f"tiny_{request.param}"))


def write_tiny_decoder(architecture, folder):
    write_tiny_llama(folder)
    config = transformers.AutoConfig.from_pretrained(folder).to_dict()
    kept = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
    made = DECODERS[architecture].config_class(
        **{name: config[name] for name in kept}, num_key_value_heads=1, head_dim=16, eos_token_id=config["eos_token_id"]
    )
    torch.manual_seed(0)
    DECODERS[architecture](made).save_pretrained(folder)
    return folder


AS_ENCODERS = {
    "llama": BaseChanges(pooling="last_token", append_eos=True, query_prefix="Find: ", pools_prefixes=False),
    "mistral": BaseChanges(pooling="mean", attention="bidirectional"),
    "qwen3": BaseChanges(pooling="last_token"),
}
LENGTHS = {"max_query_tokens": 64, "max_passage_tokens": 64}


@pytest.fixture(scope="session")
def architectures(tmp_path_factory, tiny_encoder, records):
    """By name, the folders of a tiny encoder and of the records tokenised for it."""
    encoders = {"bert": tiny_encoder}
    for name, changes in AS_ENCODERS.items():
        encoders[name] = tmp_path_factory.mktemp(f"as_encoder_{name}") / "encoder"
        decoder = write_tiny_decoder(name, tmp_path_factory.mktemp(f"decoder_{name}"))
        prepare_base(str(decoder), changes.model_copy(update=LENGTHS), encoders[name])
    encoders["latent"] = write_latent(encoders["mistral"], tmp_path_factory.mktemp("latent"))
    lines, found = (records / "records.jsonl").read_text().splitlines(), {}
    for name, encoder in encoders.items():
        tables = tmp_path_factory.mktemp(f"tables_{name}")
        rows = stage_records(lines, [""] * len(lines), str(encoder), 32)
        write_tables(rows, str(encoder), TrainingSettings(), tables)
        found[name] = encoder, tables
    return found


def write_latent(encoder, folder):
    """The encoder with random latent attention in front of its pooling, as NV-Embed has it."""
    plain = Encoder.load(str(encoder))
    size = LatentAttentionSize(latents=6, heads=2, head_dimension=5)
    torch.manual_seed(0)
    spec = plain.spec.model_copy(update={"latent_attention": size})
    Encoder(plain.transformer, plain.tokenizer, spec, "").save(folder)
    return folder


@pytest.fixture(scope="session")
def records(tmp_path_factory):
    """24 records over four concepts, every one with its own text."""
    folder = tmp_path_factory.mktemp("records")
    concepts = list(TERMS)
    with (folder / "records.jsonl").open("w") as file:
        for i in range(24):
            held = [concepts[i % 4], concepts[(i + 1) % 4]]
            entities = [(term, concept) for concept in held for term in TERMS[concept][: 1 + i % 2]]
            provenance = ["match" if term == TERMS[concept][0] else "synonym" for term, concept in entities]
            above = sorted({ABOVE[concept] for concept in held if concept in ABOVE})
            if i % 5 == 1:
                added = [(TERMS_ABOVE[concept][0], concept) for concept in above]
                entities, provenance = entities + added, provenance + ["hypernym"] * len(added)
            if i % 3 == 0 and "R1" not in held:
                entities, provenance = [*entities, ("furosemide", "R1")], [*provenance, "relation"]
            record = {
                "idx": f"n{i:02d}_0",
                "text": f"note {i} tells of {', '.join(term for term, _ in entities)} " + "and more " * (i % 5),
                "entities": [term for term, _ in entities],
                "concepts": [concept for _, concept in entities],
                "provenance": provenance,
                "true_concepts": held + above,
            }
            file.write(json.dumps(record) + "\n")
    return folder


@pytest.fixture(scope="session")
def training_folder(architectures):
    return architectures["bert"][1]


@pytest.fixture
def training_data(training_folder):
    return TrainingData(training_folder)
