"""What the process imports and reads that the pages' commands are forked from: see `forked`.

It converts and checks the session that the pages talk about, as they do.
"""

from __future__ import annotations

import importlib
import os
import tempfile
from pathlib import Path

SESSION = "TESTS_DOCUMENTED_SESSION"
_IMPORTED = (
    "duckdb",
    "pyarrow.parquet",
    "scipy.ndimage",
    "scipy.signal",
    "xarray",
    "jinja2",
    "PIL.Image",
    "ndx_pose",
)


def warm(folder: Path) -> None:
    """Read what commands on the session in a folder read."""
    import nwbpipe

    with tempfile.TemporaryDirectory() as scratch:
        for name in ("LOGS", "SCRATCH", "CACHE"):
            os.environ[f"NWBPIPE_{name}"] = str(Path(scratch) / name.lower())
        nwbpipe.convert(folder / "raw" / "session.yaml", Path(scratch) / "session.nwb", progress=False)
        nwbpipe.check(Path(scratch) / "session.nwb")
    for name in _IMPORTED:
        importlib.import_module(name)


if SESSION in os.environ:
    warm(Path(os.environ[SESSION]))
