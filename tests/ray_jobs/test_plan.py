"""The plan of a road: arithmetic on rates that say where they come from."""

import importlib.util
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from benchmarks.plan_check import Done, Size, compare
from ray_jobs import plan
from ray_jobs.job import SettingsError, load_settings, main
from ray_jobs.plan_rates import packaged_rates
from ray_jobs.planning import VARIANTS, PlanSettings, Stage, make_plan
from ray_jobs.train_encoder import TrainEncoderSettings

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "recipes" / "plan.yaml"
TABLE = packaged_rates()
variants = st.sampled_from(sorted(VARIANTS))


def settings(**changes):
    return PlanSettings.model_validate({"notes": 10_000, "words_per_note": 1500, "variant": "small", **changes})


def hours(**changes):
    return sum(line.hours for line in make_plan(settings(**changes)).road)


def line_of(job, **changes):
    made = make_plan(settings(**changes))
    (line,) = (line for line in (*made.road, *made.serving) if line.job == job)
    return line


def output_of(capsys, *overrides):
    words = [word for override in overrides for word in ("--set", override)]
    try:
        main(PlanSettings, plan.run, ["--config", str(RECIPE), *words], on_ray=False)
        code = 0
    except SystemExit as ended:
        code = ended.code
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_the_output_is_a_table_of_jobs_and_where_each_rate_comes_from(capsys):
    code, output, _ = output_of(capsys, "notes=331794", "variant=large", "generation.engine=vllm")
    assert code == 0
    jobs = ("prepare", "stage 1 records", "stage 2 records (vLLM, 8b)", "train stage 1", "train stage 2")
    lines = output.splitlines()
    for job in (*jobs, "build_index", "the road, once", "serve", "serving"):
        assert any(line.startswith(job) for line in lines), job
    assert "331,794 notes" in lines[0]
    assert next(line for line in lines if line.startswith("train stage 1")).endswith("train_large, published")
    assert next(line for line in lines if line.startswith("prepare")).endswith("prepare, measured")
    assert any(line.startswith("- vllm_8b: 1,642 tokens/s a GPU, published") for line in lines)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["variant=huge"], "variant: Input should be 'bundled', 'small' or 'large'"),
        (["rates.preparing=3"], "rates.preparing: no such rate; there are "),
        (["rates.prepare=0"], "rates.prepare: must be greater than 0"),
        (["rates.prepare=.inf"], "rates.prepare: must be greater than 0, and finite"),
        (["node_types.disk.cores=3"], "node_types.disk"),
        (["nodes=2", "deadline_hours=3"], "give nodes or deadline_hours, not both"),
        (["deadline_hours=0.0001"], "deadline_hours: 0.0001 is less than"),
        (["generation.engine=vllm", "node_types.generation.gpus=0"], "node_types.generation.gpus: this plan needs"),
    ],
)
def test_a_wrong_setting_is_one_line_and_exit_code_2(capsys, overrides, message):
    code, output, error = output_of(capsys, *overrides)
    assert (code, output) == (2, "")
    assert message in error
    assert error.count("\n") == 1


def test_a_rate_that_nobody_has_is_asked_for_by_its_setting(capsys):
    asked = ["generation.engine=vllm", "generation.model=70b"]
    code, _, error = output_of(capsys, *asked)
    assert code == 2
    assert "--set rates.vllm_70b=<tokens/s a GPU>" in error
    assert error.count("\n") == 1
    code, output, _ = output_of(capsys, *asked, "rates.vllm_70b=400")
    assert code == 0
    assert "- vllm_70b: 400 tokens/s a GPU, yours" in output


@pytest.mark.parametrize("name", sorted(TABLE.rates))
def test_every_rate_says_where_it_comes_from(name):
    rate = TABLE.rates[name]
    assert rate.unit
    assert rate.machine
    if rate.kind == "published":
        assert rate.value is None or "arXiv" in rate.source or ".com" in rate.source
        return
    command = "python -m "
    if rate.source.startswith(command):
        assert importlib.util.find_spec(rate.source.removeprefix(command))
    else:
        headings = [line for line in (ROOT / "docs" / "benchmarks.md").read_text().splitlines() if line.startswith("#")]
        assert any(rate.source in heading for heading in headings)


def test_the_variants_have_the_hyper_parameters_of_their_recipes():
    recipes = {"bundled": ("train_encoder", "train_encoder")}
    for variant, facts in VARIANTS.items():
        names = recipes.get(variant, (f"{variant}_stage1", f"{variant}_stage2"))
        for name, stage in zip(names, (facts.stage1, facts.stage2), strict=True):
            training = load_settings(TrainEncoderSettings, ROOT / "recipes" / f"{name}.yaml").training
            assert stage == Stage(training.epochs, training.batch_size, training.num_pos)


@examples(deadline=None)
@given(variants, st.integers(1, 10**8), st.integers(0, 10**8), st.floats(1, 10_000))
def test_more_notes_never_take_less(variant, notes, more, words):
    few, many = (
        make_plan(settings(notes=each, variant=variant, words_per_note=words)) for each in (notes, notes + more)
    )
    for one, other in zip((*few.road, *few.serving), (*many.road, *many.serving), strict=True):
        assert one.cost_usd <= other.cost_usd
        assert one.hours <= other.hours
        assert one.nodes <= other.nodes


@examples(deadline=None)
@given(variants, st.integers(1, 500))
def test_more_nodes_are_faster_and_never_cheaper(variant, nodes):
    one, other = (make_plan(settings(variant=variant, nodes=each)).road for each in (nodes, nodes + 1))
    for few, many in zip(one, other, strict=True):
        assert many.hours < few.hours
        assert many.cost_usd >= few.cost_usd * (1 - 1e-9)


@examples(deadline=None)
@given(variants, st.floats(0.001, 1))
def test_a_deadline_gives_the_fewest_nodes_that_keep_it(variant, share):
    least = hours(variant=variant, nodes=1_000_000)
    deadline = least + share * (hours(variant=variant) - least)
    nodes = make_plan(settings(variant=variant, deadline_hours=deadline)).road[0].nodes
    assert hours(variant=variant, nodes=nodes) <= deadline
    assert nodes == 1 or hours(variant=variant, nodes=nodes - 1) > deadline


def test_a_deadline_that_one_node_misses_gives_more_nodes():
    assert make_plan(settings(deadline_hours=hours() / 2)).road[0].nodes > 1


def test_a_rate_twice_as_high_halves_what_is_not_start():
    start = TABLE["start_prepare"] / 3600
    before = line_of("prepare").hours - start
    after = line_of("prepare", rates={"prepare": 2 * TABLE["prepare"]}).hours - start
    assert after == pytest.approx(before / 2)


def test_the_words_of_a_note_give_its_chunks():
    assert make_plan(settings(notes=3, words_per_note=40)).chunks == 3
    assert make_plan(settings(notes=3, words_per_note=190)).chunks == 6
    assert make_plan(settings(notes=10, chunks_per_note=2.05)).chunks == 21


def test_serving_memory_grows_with_replicas_and_depends_on_the_kind_of_index():
    def memory(**serving):
        line = line_of("serve", notes=1_000_000, serving={"shards": 4, **serving})
        return line.memory_gb * line.nodes

    assert memory(replicas=4) == pytest.approx(2 * memory(replicas=2))
    assert memory(kind="rabitq") < memory(kind="pq4") < memory(kind="sq8") < memory(kind="exact")
    rows, of_row = 17_000_000, 2 * 768 + 768 / 6 + TABLE["row_bytes"]
    assert memory(replicas=1) == pytest.approx(rows * of_row / 1e9)


def test_more_memory_than_nodes_have_takes_more_nodes():
    line = line_of("serve", notes=30_000_000, variant="large")
    assert line.nodes > 2
    assert line.memory_gb <= TABLE.node_types["shards"].memory_gb


def test_too_large_a_shard_is_said(capsys):
    _, output, _ = output_of(capsys, "variant=bundled", "notes=10000000", "serving.shards=1")
    assert "of 64: too much" in output


def test_stage_steps_and_prices_can_be_set():
    full, some = (line_of("train stage 1", stage1=stage).hours for stage in ({}, {"max_steps": 10}))
    assert some < full
    free = line_of("train stage 1", node_types={"training": {"usd_per_hour": 0}})
    assert free.cost_usd == 0


def test_the_recipe_plans_both_variants_of_the_paper():
    for variant in ("small", "large"):
        made = make_plan(load_settings(PlanSettings, RECIPE, [f"variant={variant}"]))
        assert made.chunks == pytest.approx(5_500_000, rel=0.05)


def test_unknown_keys_are_refused():
    with pytest.raises(SettingsError, match="servings: unknown key"):
        load_settings(PlanSettings, RECIPE, ["servings.shards=3"])
    assert yaml.safe_load(RECIPE.read_text())["variant"] == "small"


def test_rates_of_two_small_runs_predict_a_larger_one_on_a_machine_without_noise():
    sizes = [Size(60, 4, 1), Size(240, 16, 2), Size(800, 40, 3)]

    def done(size):
        chunks, trained = 10 * size.patients, 32 * size.steps
        seconds = {"prepare": 1 + chunks / 5000, "match": 2 + chunks / 800, "generate": 3 + chunks / 300}
        training = {"train 1": 9 + trained / 7, "train 2": 9 + trained / 2 / 7}
        return Done(5 * size.patients, chunks, {**seconds, **training, "index": 5 + chunks / 36})

    one, other, last = map(done, sizes)
    figures = compare(sizes, [one, other], last)
    assert figures["ratio"] == pytest.approx(1, abs=0.002)
    assert all(planned == pytest.approx(took, rel=0.01) for planned, took in figures["jobs"].values())
