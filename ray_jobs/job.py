"""The one shape of every job: `python -m ray_jobs.<job> --config RECIPE [--set key.path=value ...] [--show-config]`.

A wrong setting or a missing file is one line on stderr and exit code 2; bad data is one line and exit code 1.
"""

import argparse
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import AfterValidator, BaseModel, ValidationError

from datagen.engines.base import EngineDown
from encoders.spec import BUNDLED, HUB
from ray_jobs.cluster_watch import cluster_watched
from ray_jobs.serve_environment import serve_environment

Settings = TypeVar("Settings", bound=BaseModel)

LOCAL_LOGICAL_CPUS = 16
"""Stages, training workers and service replicas each ask for a CPU or a part of one; on a small machine they share."""


class SettingsError(Exception):
    """A recipe, or a `--set`, that the job cannot run with."""


def _from_the_root(path: Path) -> Path:
    # Workers run in folders of their own. Under `ray job submit` a relative output is refused by its step.
    return path if "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ else Path(os.path.abspath(path))


class Folder(BaseModel):
    """A folder that a job reads or writes."""

    path: Annotated[Path, AfterValidator(_from_the_root)]


def encoder_path(name: str) -> Path | None:
    """The folder that an encoder name stands for; None for what is not looked for among folders."""
    return None if name == BUNDLED or name.startswith(HUB) else Path(name)


def _found_from_anywhere(name: str) -> str:
    folder = encoder_path(name)
    return str(_from_the_root(folder)) if folder else name


EncoderName = Annotated[str, AfterValidator(_found_from_anywhere)]
"""`bundled`, an encoder folder, or `hub:` and the name of a model on the hub."""


def require(**paths: Path | None) -> None:
    """Refuse to start a long job on an input that is not there. Keys are settings, `__` between their parts.

    Raises FileNotFoundError naming the setting and the path.
    """
    for key, path in paths.items():
        if path and not path.exists():
            raise FileNotFoundError(f"{key.replace('__', '.')}: {path}: no such file or folder")


def main(
    settings_type: type[Settings],
    run: Callable[[Settings], None],
    argv: Sequence[str] | None = None,
    on_ray: bool = True,
) -> None:
    """Parse the command line, run the job (on Ray, unless it has no use for it) and exit with its code."""
    job = sys.modules[run.__module__]
    parser = argparse.ArgumentParser(description=job.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, required=True, metavar="RECIPE", help="a YAML file from recipes/")
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY.PATH=VALUE")
    parser.add_argument("--show-config", action="store_true", help="print the settings as YAML and stop")
    arguments = parser.parse_args(argv)
    try:
        settings = load_settings(settings_type, arguments.config, arguments.overrides)
        if arguments.show_config:
            print(yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False), end="")
            return
        with ray_session() if on_ray else nullcontext():
            run(settings)
    except KeyboardInterrupt:
        _stop("interrupted; run the same command again to go on from the last finished step", 130)
    except Exception as error:
        cause = _found_by_a_worker(error)
        if isinstance(cause, SettingsError | FileNotFoundError):
            _stop(cause, 2)
        if isinstance(cause, ValueError | EngineDown):
            _stop(cause, 1)
        raise


def load_settings(settings_type: type[Settings], recipe: Path, overrides: Sequence[str] = ()) -> Settings:
    """The recipe with the overrides applied, validated. Raises SettingsError naming the key or the path."""
    try:
        values = yaml.safe_load(recipe.read_text()) or {}
    except OSError:
        raise SettingsError(f"--config: {recipe}: no such file") from None
    except yaml.YAMLError as error:
        raise SettingsError(f"--config: {recipe}: not YAML: {_one_line(error)}") from None
    if not isinstance(values, dict):
        raise SettingsError(f"--config: {recipe}: holds no settings (keys with values)")
    for override in overrides:
        _override(values, override)
    try:
        return settings_type.model_validate(values, extra="forbid")
    except ValidationError as error:
        raise SettingsError("; ".join(map(_describe, error.errors()))) from None


@contextmanager
def ray_session() -> Iterator[None]:
    """A Ray to run on: the cluster that RAY_ADDRESS names, else a local one that ends with the block."""
    import ray
    from ray.data import DataContext, ExecutionResources

    # Ray Data's own wrapping forgets what it wraps on its way here.
    DataContext.get_current().raise_original_map_exception = True
    if ray.is_initialized():
        yield
        return
    # Lance warns at every fork; Ray only ever forks to exec.
    warnings.filterwarnings("ignore", message="lance is not fork-safe")
    # Ray Data starts 32 actors a read, for the footers of large data sets; what jobs read with it is one file each.
    os.environ.setdefault("RAY_DATA_PARQUET_FOOTER_NUM_ACTORS", "1")
    address = os.environ.get("RAY_ADDRESS")
    folder = tempfile.TemporaryDirectory(prefix="drehr-", ignore_cleanup_errors=True)
    if not address:
        # No machine of a local Ray is ever taken away with notice.
        os.environ.setdefault("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")
        serve_environment(Path(folder.name))
    cpus = max(LOCAL_LOGICAL_CPUS, os.cpu_count() or 1)
    local: dict[str, Any] = {} if address else {"num_cpus": cpus, "include_dashboard": True}
    # "local" even where another Ray runs on this machine.
    ray.init(address=address or "local", logging_level=logging.ERROR, **local)
    # Jobs print their own progress and errors; Ray Data's may quote a row.
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    DataContext.get_current().enable_progress_bars = False
    if not address:
        # More readers than cores only start more processes.
        cores = max(2, os.cpu_count() or 1)
        DataContext.get_current().execution_options.resource_limits = ExecutionResources(cpu=cores)
    try:
        # Here, on a Ray of its own, no machine comes or goes.
        with cluster_watched(partial(print, flush=True)) if address else nullcontext():
            yield
    finally:
        ray.shutdown()
        folder.cleanup()


def _found_by_a_worker(error: BaseException) -> BaseException:
    """The error that a worker raised, out of what Ray wraps around it: bad input is the job's own error."""
    from ray.exceptions import RayError

    while isinstance(error, RayError) and (inner := getattr(error, "cause", None) or error.__cause__) is not None:
        error = inner
    return error


def _override(values: dict[str, Any], override: str) -> None:
    path, separator, text = override.partition("=")
    if not separator or not path:
        raise SettingsError(f"--set {override}: write it as key.path=value")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise SettingsError(f"--set {path}: the value is not YAML: {_one_line(error)}") from None
    *parents, last = path.split(".")
    for key in parents:
        values = values.setdefault(key, {})
        if not isinstance(values, dict):
            raise SettingsError(f"--set {path}: {key} holds a value, not further keys")
    values[last] = value


def _describe(error: Any) -> str:
    key = ".".join(map(str, error["loc"])) or "settings"
    if error["type"] == "extra_forbidden":
        return f"{key}: unknown key"
    if error["type"] == "missing":
        return f"{key}: missing; give it in the recipe or with --set {key}=..."
    return f"{key}: {error['msg']}"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _stop(reason: object, code: int) -> None:
    # Ray Data adds to a worker's exception how to have it retried.
    reason = str(reason).partition("\nFailed to apply UDF")[0]
    print(f"error: {_one_line(Exception(reason))}", file=sys.stderr)
    sys.exit(code)
