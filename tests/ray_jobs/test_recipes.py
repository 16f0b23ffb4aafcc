import importlib
import inspect
from pathlib import Path

import pytest

from ray_jobs.job import SettingsError, load_settings
from ray_jobs.judge import JudgeSettings
from ray_jobs.train_encoder import TrainEncoderSettings

RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.yaml"))


def job_of(recipe):
    """The job that the recipe's own first comment runs."""
    return recipe.read_text().split("python -m ", 1)[1].split()[0]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_is_valid_for_the_job_that_it_names(recipe):
    module = importlib.import_module(job_of(recipe))
    (settings_type, *_) = [parameter.annotation for parameter in inspect.signature(module.run).parameters.values()]
    load_settings(settings_type, recipe)


def test_every_job_has_a_recipe():
    jobs = {path.stem for path in (Path(__file__).parents[2] / "ray_jobs").glob("*.py") if "main(" in path.read_text()}
    jobs -= {"job"}
    assert {job_of(recipe).removeprefix("ray_jobs.") for recipe in RECIPES} == jobs


def test_judge_expands_no_queries():
    with pytest.raises(SettingsError, match=r"pool: .*expanded:bm25: this job expands no queries"):
        load_settings(JudgeSettings, RECIPES[0].with_name("judge.yaml"), ["pool=['expanded:bm25']"])


def test_patience_asks_for_a_dev_benchmark():
    with pytest.raises(SettingsError, match=r"give dev_benchmark\.path"):
        load_settings(TrainEncoderSettings, RECIPES[0].with_name("train_encoder.yaml"), ["training.dev.patience=2"])


def test_siblings_ask_for_a_graph():
    siblings = ["training.hard_negatives.sources=[siblings]"]
    with pytest.raises(SettingsError, match=r"siblings: give built_graph\.path"):
        load_settings(TrainEncoderSettings, RECIPES[0].with_name("train_encoder.yaml"), siblings)


PUBLISHED = {
    "small_stage1": {"epochs": 3, "batch_size": 8 * 32, "num_pos": 128, "tuning": "full"},
    "small_stage2": {"epochs": 1, "batch_size": 8 * 32, "num_pos": 16, "tuning": "full"},
    "large_stage1": {"epochs": 1, "batch_size": 8 * 16, "num_pos": 32, "tuning": "lora", "precision": "bf16"},
    "large_stage2": {"epochs": 1, "batch_size": 8 * 16, "num_pos": 16, "tuning": "lora", "precision": "bf16"},
}
"""DR.EHR's hyper-parameters (arXiv 2507.18583) on 8 GPUs."""
OF_ALL = {
    "loss": "multi_similarity_as_published",
    "false_negative_mask": False,
    "learning_rate": 1e-4,
    "warmup": 0.1,
    "chunk_tokens": 160,
    "term_tokens": 16,
    "phrases": 0,
    "hard_negatives": None,
    "base_weight": 0,
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_recipes_of_both_variants_have_the_paper_s_hyper_parameters(name):
    settings = load_settings(TrainEncoderSettings, RECIPES[0].with_name(f"{name}.yaml"))
    expected = {**OF_ALL, **PUBLISHED[name]}
    assert {key: getattr(settings.training, key) for key in expected} == expected
    assert settings.workers.number == 8
    lora = settings.training.lora
    assert (lora.r, lora.alpha, lora.dropout) == (16, 32, 0.1)
    assert {"q_proj", "v_proj"} <= set(lora.targets)
    bases = {"small_stage1": "hub:BAAI/bge-base-en-v1.5", "large_stage1": "hub:nvidia/NV-Embed-v2"}
    before = name.replace("stage2", "stage1")
    assert settings.base == bases.get(name, str(Path(f"runs/{before}").resolve()))
