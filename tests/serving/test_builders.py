"""The applications as a Serve config file has them."""

from pathlib import Path

import pytest
import yaml
from in_process import build_tiny_release
from ray.serve import Application
from ray.serve.schema import ServeDeploySchema

from serving import builders

CONFIG = yaml.safe_load((Path(__file__).parents[2] / "deploy/serve.yaml").read_text())


@pytest.fixture(scope="module")
def release(tmp_path_factory, unused_encoder):
    return build_tiny_release(tmp_path_factory.mktemp("configured"), unused_encoder)


def arguments(number, release):
    return {**CONFIG["applications"][number]["args"], "release": {"path": str(release)}}


def test_the_config_file_is_one_that_serve_takes_and_builds(release):
    for number, application in enumerate(ServeDeploySchema.model_validate(CONFIG).applications):
        module, _, name = application.import_path.partition(":")
        assert module == "serving.builders"
        assert isinstance(getattr(builders, name)(arguments(number, release)), Application)
    assert CONFIG["logging_config"]["enable_access_log"] is False


def test_without_an_access_folder_nothing_is_served(release):
    without = {name: each for name, each in arguments(1, release).items() if name != "access"}
    with pytest.raises(ValueError, match=r"access.path: .* say who is let in"):
        builders.build_ingress(without)


def test_a_wrong_setting_is_named(release):
    with pytest.raises(ValueError, match=r"shard.replicas: Extra inputs are not permitted"):
        builders.build_release({**arguments(0, release), "shard": {"replicas": 3}})


def test_a_release_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ValueError, match="not a finished release"):
        builders.build_release(arguments(0, tmp_path))
