"""The checkpoints of a run of Ray Train on its storage, kept usable whatever a full disk or a kill left of them.

Ray copies a checkpoint into its folder, then writes a snapshot that names those it keeps over the one before, then
deletes what that no longer names. A copy that broke off stays as a folder that no snapshot names; a snapshot that broke
off hides all checkpoints.
"""

import json
import shutil
from pathlib import Path


class RayCheckpoints:
    """Of the run in one folder."""

    def __init__(self, run: Path) -> None:
        self._run = run
        self._snapshot = run / "checkpoint_manager_snapshot.json"
        self._kept = run / "snapshot_before.json"

    def whole(self) -> set[str]:
        """The names of those that a run would go on from."""
        return _named(self._snapshot) or set()

    def keep_snapshot(self) -> None:
        """A copy of the snapshot; call it before Ray writes the next. What the copy names is not deleted until then."""
        if _named(self._snapshot) is not None:
            aside = self._kept.with_suffix(".new")
            shutil.copyfile(self._snapshot, aside)
            aside.replace(self._kept)

    def mend(self) -> None:
        """Put a whole snapshot back and remove what it does not name. No worker may be running."""
        if _named(self._snapshot) is None:
            self._snapshot.unlink(missing_ok=True)
            if _named(self._kept) is not None:
                shutil.copyfile(self._kept, self._snapshot)
        for folder in self._run.glob("checkpoint_*/"):
            if folder.name not in self.whole():
                shutil.rmtree(folder)


def _named(snapshot: Path) -> set[str] | None:
    """The checkpoints that a snapshot names; None where it is not there or not whole."""
    try:
        state = json.loads(snapshot.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    latest = state["latest_checkpoint_result"]
    return {each["checkpoint_dir_name"] for each in [*state["checkpoint_results"], *([latest] if latest else [])]}
