"""Notes that come in while the service is searched: how fast, and what searches notice.

    python -m benchmarks.ingest [--chunks 20000] [--seconds 30] [--batch 100]

The service of `benchmarks.served` with two shards. One writer sends the notes of another synthetic hospital, `batch` in
a request, and after each asks with `min_version` for what it wrote: notes a second to searchable are those between the
first request and the last answer that had them. Beside it 4 clients search, dense, each new query; the same 4 do so
alone before, and while `build_index` makes the next release of the grown store.

The last line is JSON: `notes_per_second`, `chunks_per_second`, `searchable_p50_ms` and `searchable_p99_ms` (from sending
a batch to the search that has it), `p99_alone_ms`, `p99_ingesting_ms`, `p99_building_ms`, and the medians.
"""

import argparse
import asyncio
import json
import shutil
import time
from collections.abc import Iterator
from itertools import batched
from pathlib import Path
from typing import Any, NamedTuple

