import math

import pytest
from pydantic import ValidationError

from encoders.training.settings import LoraSettings, TrainingSettings


@pytest.mark.parametrize(
    "setting",
    [{"learning_rate": math.inf}, {"clip_norm": math.nan}, {"provenance_weights": {"match": math.inf}}],
    ids=str,
)
def test_a_setting_that_is_no_number_is_refused(setting):
    with pytest.raises(ValidationError, match="finite number"):
        TrainingSettings(**setting)


def test_a_temperature_at_which_masked_pairs_would_count_is_refused():
    with pytest.raises(ValidationError, match="temperature"):
        TrainingSettings(temperature=1e-4)


def test_adapters_of_a_run_that_has_none_are_refused():
    with pytest.raises(ValidationError, match=r"training\.lora is of no use with training\.tuning full"):
        TrainingSettings(lora=LoraSettings(r=8))
