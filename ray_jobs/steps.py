"""A step writes one folder: aside first, its manifest last, then renamed into place.

The manifest holds a fingerprint of the step's settings and of everything it read. A step whose fingerprint already
stands in its output is finished and is skipped; a changed setting changes the fingerprint of exactly the steps that
depend on it, through the fingerprints of their inputs.
"""

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel

from corpus.store import Store

MANIFEST = "manifest.json"


class Step(NamedTuple):
    """Where a step works: `folder` becomes the output; `scratch` outlives an interruption, for it to go on from."""

    folder: Path
    scratch: Path
    earlier: Path | None = None
    """The finished output that is being mended."""


def run_step(
    name: str,
    output: Path,
    settings: Mapping[str, BaseModel | Any],
    inputs: Mapping[str, Path | str],
    work: Callable[[Step], dict[str, Any]],
    mend: bool = False,
) -> dict[str, Any]:
    """Run `work` on a new folder that becomes `output`, unless `output` is already its finished result.

    With `mend` it must be, and `work` makes a better one from it. Raises ValueError where it is not.

    An interrupted run finds the scratch folder of the same fingerprint as it left it; another fingerprint never does.

    `settings` are those that change the result, no paths among them; `inputs` are files, folders or names that it
    reads. `work` returns what the manifest and the last line say of the result.
    """
    output = absolute(output)
    fingerprint = _digest(
        {
            "step": name,
            "settings": {key: _plain(value) for key, value in settings.items()},
            "inputs": {key: input_fingerprint(value) for key, value in inputs.items()},
        }
    )
    aside = output.with_name(f"{output.name}.unfinished")
    if (read_manifest(aside) or {}).get("fingerprint") == fingerprint:
        _replace(aside, output)  # An earlier run was ended between its last write and the renaming.
    manifest = read_manifest(output)
    mended = (manifest or {}).get("mended", 0) + mend
    # A mended output is another one to mend: what was done for the one before must not be taken for it.
    scratch = output.with_name(f"{output.name}.scratch-{fingerprint}" + (f"-{mended}" if mend else ""))
    finished = manifest is not None and manifest.get("fingerprint") == fingerprint
    if mend and not finished:
        raise ValueError(f"{output}: not the finished result of these settings and inputs; run the job without mending")
    if manifest and finished and not mend:
        print(f"{name}: already done, in {output}", flush=True)
        _remove(scratch)
        return manifest["result"]
    print(f"{name}: started", flush=True)
    begun = time.monotonic()
    for stale in [aside, *output.parent.glob(f"{output.name}.removed*")]:
        shutil.rmtree(stale, ignore_errors=True)
    aside.mkdir(parents=True)
    scratch.mkdir(exist_ok=True)
    result = work(Step(aside, scratch, output if mend else None))
    manifest = {"step": name, "fingerprint": fingerprint, "mended": mended, "result": result}
    whole = aside / f"{MANIFEST}.new"
    whole.write_text(json.dumps(manifest, indent=2) + "\n")
    whole.replace(aside / MANIFEST)
    _replace(aside, output)
    # Those of other settings too, but not before: who mistypes a setting loses nothing of the run that it is not.
    for done in output.parent.glob(f"{output.name}.scratch-*"):
        _remove(done)
    print(f"{name}: {_counts(result)} in {time.monotonic() - begun:.0f} s, written to {output}", flush=True)
    return result


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest of a finished step, or None where there is no whole one."""
    try:
        return json.loads((folder / MANIFEST).read_text())
    except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError):
        return None


def input_fingerprint(source: Path | str) -> str:
    """A step's own fingerprint for its folder, with the state of a store; a plain name for itself.

    Of other files it is size and time of change.
    """
    path = Path(source)
    if not path.exists():
        if isinstance(source, str):
            return source
        raise FileNotFoundError(f"{path}: not there; run the job that writes it first")
    manifest = read_manifest(path) or {}
    if own := manifest.get("fingerprint"):
        mended, store = manifest.get("mended"), Store(path)
        # A served store changes after the step that wrote it.
        parts = (own, mended, store.state if store.notes_path.exists() else None)
        return "-".join(str(part) for part in parts if part)
    found = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    return _digest([(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in found])


def package_data(package: str) -> str:
    """A digest of the data files packaged with `package`: facts and rules count as inputs of the steps they shape."""
    found = sorted(file for file in Path(str(files(package))).rglob("*") if file.suffix in (".yaml", ".txt", ".json"))
    return _digest([(file.name, file.read_text("utf-8")) for file in found])


def absolute(path: Path) -> Path:
    """`path` from the root. Raises ValueError for a relative output under `ray job submit`.

    There the working folder is an upload that goes with the job, and so would the results.
    """
    if not path.is_absolute() and "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ:
        raise ValueError(f"{path}: under `ray job submit` name an absolute output path that every node shares")
    return path.resolve()


def _remove(folder: Path) -> None:
    """By another name first: a folder that is removed takes a while, and half of one must not look like scratch."""
    if folder.exists():
        removed = folder.with_name(f"{folder.name.replace('.scratch-', '.removed-')}")
        shutil.rmtree(removed, ignore_errors=True)
        folder.rename(removed)
        shutil.rmtree(removed)


def _replace(aside: Path, output: Path) -> None:
    old = output.with_name(f"{output.name}.replaced")
    shutil.rmtree(old, ignore_errors=True)
    if output.exists():
        output.rename(old)
    aside.rename(output)
    shutil.rmtree(old, ignore_errors=True)


def _plain(value: BaseModel | Any) -> Any:
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else value


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def _counts(result: dict[str, Any]) -> str:
    return ", ".join(f"{value:,} {key.replace('_', ' ')}" for key, value in result.items() if isinstance(value, int))
