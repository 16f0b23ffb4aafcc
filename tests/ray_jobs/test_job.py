import sys
from pathlib import Path

import pytest
from pydantic import BaseModel, Field

from ray_jobs.job import SettingsError, encoder_path, load_settings, main, require


class Inner(BaseModel):
    path: Path | None = None
    size: int = Field(default=3, gt=0)


class Outer(BaseModel):
    inner: Inner = Inner()
    names: list[str] = []
    needed: str


def recipe(tmp_path, text):
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    return path


def test_a_recipe_and_its_overrides_become_settings(tmp_path):
    path = recipe(tmp_path, "needed: a\ninner: {size: 4}\n")
    settings = load_settings(Outer, path, ["inner.size=5", "names=[x, y]", "inner.path=/data"])
    assert settings == Outer(needed="a", inner=Inner(size=5, path=Path("/data")), names=["x", "y"])


@pytest.mark.parametrize(
    ("text", "overrides", "message"),
    [
        ("needed: a\nsurplus: 1\n", [], "surplus: unknown key"),
        ("needed: a\ninner: {sise: 1}\n", [], "inner.sise: unknown key"),
        ("needed: a\n", ["inner.size=big"], "inner.size: Input should be a valid integer"),
        ("needed: a\n", ["inner.size=0"], "inner.size: Input should be greater than 0"),
        ("inner: {}\n", [], "needed: missing; give it in the recipe or with --set needed=..."),
        ("needed: a\n", ["inner.size"], "--set inner.size: write it as key.path=value"),
        ("needed: a\n", ["needed.size=1"], "--set needed.size: needed holds a value, not further keys"),
        ("needed: a\n", ["names=[x"], "--set names: the value is not YAML"),
        ("- a\n", [], "holds no settings"),
        ("a: [\n", [], "not YAML"),
    ],
)
def test_a_wrong_setting_is_one_line_naming_the_key(tmp_path, text, overrides, message):
    with pytest.raises(SettingsError) as caught:
        load_settings(Outer, recipe(tmp_path, text), overrides)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_recipe_is_named(tmp_path):
    with pytest.raises(SettingsError, match=r"nowhere.yaml: no such file"):
        load_settings(Outer, tmp_path / "nowhere.yaml")


def run_main(tmp_path, run, *arguments):
    main(Outer, run, ["--config", str(recipe(tmp_path, "needed: a\n")), *arguments])


def test_show_config_prints_the_settings_and_does_not_run(tmp_path, capsys):
    def run(settings: Outer) -> None:
        raise AssertionError

    run_main(tmp_path, run, "--show-config", "--set", "inner.size=7")
    assert capsys.readouterr().out == "inner:\n  path: null\n  size: 7\nnames: []\nneeded: a\n"


@pytest.mark.usefixtures("local_ray")
@pytest.mark.parametrize(
    ("error", "code"),
    [
        (FileNotFoundError("notes.path: no such file"), 2),
        (ValueError("notes.jsonl row 3: missing_value (text)"), 1),
        (KeyboardInterrupt(), 130),
    ],
)
def test_an_error_is_one_line_and_an_exit_code(tmp_path, capsys, error, code):
    def run(settings: Outer) -> None:
        raise error

    with pytest.raises(SystemExit) as stopped:
        run_main(tmp_path, run)
    assert stopped.value.code == code
    printed = capsys.readouterr().err
    assert printed.startswith("error: ")
    assert printed.count("\n") == 1


def test_a_wrong_setting_ends_with_code_2(tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        run_main(tmp_path, lambda settings: None, "--set", "surplus=1")
    assert stopped.value.code == 2
    assert capsys.readouterr().err == "error: surplus: unknown key\n"


@pytest.mark.usefixtures("local_ray")
@pytest.mark.parametrize("of", ["ray", "ray data"])
def test_bad_input_found_by_a_worker_is_the_job_s_own_error(tmp_path, capsys, of):
    import ray

    def read(rows: object = None) -> object:
        raise ValueError("part-3.jsonl row 7: not_json")

    def run(settings: Outer) -> None:
        if of == "ray":
            ray.get(ray.remote(read).remote())
        else:
            ray.data.range(3).map_batches(read).materialize()

    with pytest.raises(SystemExit) as stopped:
        run_main(tmp_path, run)
    assert stopped.value.code == 1
    assert capsys.readouterr().err == "error: part-3.jsonl row 7: not_json\n"


def test_the_module_says_what_it_is_for_in_its_help(capsys):
    from ray_jobs import prepare_corpus

    with pytest.raises(SystemExit):
        main(prepare_corpus.PrepareCorpusSettings, prepare_corpus.run, ["--help"])
    assert sys.modules["ray_jobs.prepare_corpus"].__doc__ in capsys.readouterr().out


def test_a_missing_input_is_named_by_setting_and_path(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"^benchmark.path: .*nowhere: no such file or folder"):
        require(store__path=tmp_path, guard__terms=None, benchmark__path=tmp_path / "nowhere")


def test_the_bundled_encoder_needs_no_path():
    assert encoder_path("bundled") is None
    assert encoder_path("runs/encoder") == Path("runs/encoder")
