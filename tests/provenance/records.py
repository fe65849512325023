"""Run records for tests."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import h5py

from nwbpipe.provenance import ObjectRecord, RunRecord, parameters_hash
from nwbpipe.provenance._write_records import write_text

START = datetime(2024, 5, 1, 10, 0, tzinfo=UTC)


def make_record(step: str = "suite2p_fast", minute: int = 0, **changes: Any) -> RunRecord:
    parameters = {"tau": 0.7, "nested": {"unit": "µm", "list": [1, 2.5, None, True]}}
    values: dict[str, Any] = {
        "key": "ab" * 32,
        "run_id": uuid.uuid4().hex,
        "step": step,
        "processor": "suite2p",
        "revision": 2,
        "tool": "suite2p",
        "tool_version": "1.1.0",
        "parameters": parameters,
        "parameters_hash": parameters_hash(parameters),
        "inputs": (
            ObjectRecord("movie", "/acquisition/é", str(uuid.uuid4()), "TwoPhotonSeries", "cd" * 32),
            ObjectRecord("movie", "/acquisition/b", str(uuid.uuid4()), "TwoPhotonSeries", ""),
        ),
        "outputs": (ObjectRecord("rois", "/processing/ophys/x", str(uuid.uuid4()), "PlaneSegmentation", "ef" * 32),),
        "started": START + timedelta(minutes=minute),
        "ended": START + timedelta(minutes=minute, seconds=12.345678),
        "host": "rig",
        "python": "3.11.9",
        "packages": {"numpy": "2.3.0", "torch": "2.13.0"},
        "seed": 2**40,
        "compute_digest": "01" * 32,
        "software": "nwbpipe 0.1.0",
        "resources": {"cpu_seconds": 1.5, "peak_memory_bytes": 2**33},
        "sources": ({"path": "raw/a.tif", "size": 12, "sha256": "23" * 32},),
    }
    return RunRecord(**(values | changes))


def change_object(group: h5py.Group, kind: str, **changes: str) -> None:
    """Change the first input or output in a record's group, and nothing else, as another program might."""
    first, *others = json.loads(group[f"{kind}s"][()])
    write_text(group, f"{kind}s", json.dumps([first | changes, *others]))
