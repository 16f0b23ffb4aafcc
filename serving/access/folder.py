"""The access folder, read again whenever a file in it changes: keys, policies, cohorts and the patient table."""

import asyncio
import logging
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from serving.access.keys import KEYS, ApiKey, read_keys
from serving.access.policies import (
    COHORTS,
    PATIENTS,
    POLICIES,
    Allowed,
    allowed_patients,
    read_cohorts,
    read_policies,
)
from serving.problems import ProblemError

LOOK_EVERY_S = 1.0
MAX_AGE_S = 4.0
"""Without a look at the folder for so long nobody is let in: what was revoked since would not be known."""
logger = logging.getLogger("ray.serve")
Signature = tuple[tuple[str, int, int, int], ...]


@dataclass(frozen=True)
class Rules:
    """All that the folder says at one time."""

    id: str
    """Another one whenever the folder is read again."""
    keys: Mapping[str, ApiKey]
    policies: Mapping[str, Allowed]
    cohorts: Mapping[str, frozenset[str]]


def read_rules(folder: Path) -> Rules:
    """Raises ValueError naming the file and what is wrong in it."""
    cohorts = read_cohorts(folder)
    return Rules(uuid.uuid4().hex, read_keys(folder), allowed_patients(folder, read_policies(folder), cohorts), cohorts)


class AccessFolder:
    """`rules()` are those of at most MAX_AGE_S ago, while `watch()` runs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._rules: Rules | None = None
        self._signature: Signature | None = None
        self._looked = float("-inf")

    def rules(self) -> Rules:
        """What holds now. Raises ProblemError (503) while the folder cannot be read or holds a mistake."""
        if self._rules is None or monotonic() - self._looked > MAX_AGE_S:
            raise ProblemError(503, "access_unknown", "who may see what cannot be read now", retry_after_s=5)
        return self._rules

    async def watch(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await asyncio.to_thread(self.look)
            await asyncio.sleep(LOOK_EVERY_S)

    def look(self) -> None:
        """Read the folder if it has changed. A mistake in it shuts everybody out until it is mended."""
        begun = monotonic()
        try:
            signature = _signature(self._folder)
            if signature != self._signature:
                self._rules, self._signature = read_rules(self._folder), signature
        except Exception as error:
            # A mistake can lie in a file of patient ids: the log has where, the message may hold what.
            logger.error("%s: cannot be read (%s); nobody is let in", self._folder, type(error).__name__)
            self._rules, self._signature = None, None
        self._looked = begun


def _signature(folder: Path) -> Signature:
    """Changes whenever a file is written, replaced, added or removed."""
    files = [folder / name for name in (KEYS, POLICIES, PATIENTS)] + sorted((folder / COHORTS).glob("*.txt"))
    stats = [(str(file), file.stat()) for file in files if file.exists()]
    return tuple((name, stat.st_mtime_ns, stat.st_size, stat.st_ino) for name, stat in stats)
