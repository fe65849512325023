"""Session files of a chosen size."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np


def make_session() -> Any:
    """Return an NWBFile without data."""
    from pynwb import NWBFile
    from pynwb.file import Subject

    nwbfile = NWBFile("a benchmark", "bench", datetime(2024, 5, 1, 10, tzinfo=UTC), session_id="bench")
    nwbfile.subject = Subject(subject_id="bench", species="Mus musculus", sex="F", age="P90D")
    return nwbfile


def write_session(path: Path, size: int) -> Path:
    """Write a session file whose one series holds about `size` bytes."""
    from pynwb import NWBHDF5IO, TimeSeries

    nwbfile = make_session()
    data = np.random.default_rng(0).integers(-100, 100, (max(size // 768, 1), 384), dtype=np.int16)
    nwbfile.add_acquisition(TimeSeries(name="signal", description="noise", data=data, unit="V", rate=30000.0))
    with NWBHDF5IO(path, "w") as io:
        io.write(nwbfile)
    return path
