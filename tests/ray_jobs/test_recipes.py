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
