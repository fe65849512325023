"""Garbage in `state://` holds nothing up: what anybody may have written there is checked before it is believed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nwbpipe.errors import DamagedFileError
from nwbpipe.project.state import Leases, RunObject, RunStore
from nwbpipe.stores import open_store

GOOD: dict[str, Any] = RunObject(
    "a" * 32, "k", "m/s", "first", "done", "2024-05-01T10:00:00+00:00", "2024-05-01T10:00:05+00:00", "local",
    usage={"cpu_seconds": 1.5, "peak_memory_bytes": 10},
).as_dict()  # fmt: skip
PATH = "runs/done/m/s/first/20240501100000-a.json"
DEEP = b"[" * 100_000


@pytest.mark.parametrize(
    "change",
    [
        {"usage": {"cpu_seconds": "NaN"}}, {"usage": {"cpu_seconds": float("nan")}}, {"usage": None},
        {"error": "text"}, {"error": {"code": 1, "text": []}}, {"started": "yesterday"},
        {"started": 5}, {"ended": "2024-05-01T10:00:05"},
        {"outcome": "good"}, {"log": None}, {"session": ["m"]}, {"format": "1"}, {"format": None}, {"format": 99},
        {"step": {}}, {"host": 3},
    ],
)  # fmt: skip
def test_a_run_object_of_odd_values_is_damaged(change: dict[str, Any], tmp_path: Path) -> None:
    runs = RunStore(open_store(str(tmp_path)))
    runs.store.write_bytes(PATH, json.dumps(GOOD | change).encode())
    with pytest.raises(DamagedFileError, match="run object"):
        runs.read(PATH)
    assert list(runs.iter_runs()) == []


@pytest.mark.parametrize("data", [b"", b"null", b"[]", b"{}", b"\xff", DEEP, b'{"format": 1, "a": ' + DEEP])
def test_garbage_is_no_run_object(data: bytes, tmp_path: Path) -> None:
    runs = RunStore(open_store(str(tmp_path)))
    runs.store.write_bytes(PATH, data)
    runs.store.write_bytes(PATH.replace("-a", "-b"), json.dumps(GOOD).encode())
    with pytest.raises(DamagedFileError):
        runs.read(PATH)
    assert [run.seconds for run in runs.iter_runs()] == [5.0]


@pytest.mark.parametrize(
    "content",
    [
        {"ttl_s": "x"}, {"ttl_s": None}, {"ttl_s": [1]}, {"ttl_s": 1e300}, {"ttl_s": -1}, {"ttl_s": True},
        {"pid": "x"}, {"pid_since": "x", "pid": 1}, {"machine": []}, {"session": {}, "step": []},
        {"since": "now"}, None, [], 5, "x",
    ],
)  # fmt: skip
def test_a_lease_of_odd_values_is_void(content: Any, tmp_path: Path) -> None:
    leases = Leases(open_store(str(tmp_path)))
    leases.store.write_bytes("leases/k.json", json.dumps(content).encode())
    leases.store.write_bytes("leases/deep.json", DEEP)
    leases.store.write_bytes("leases/long.json", json.dumps({"session": "x" * 100_000}).encode())
    assert leases.list_active() == []
    lease = leases.take("k", session="m/s", step="first")
    assert lease is not None
    assert [active["step"] for active in leases.list_active()] == ["first"]
    leases.close()
