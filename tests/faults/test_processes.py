"""Real processes: killed, short of space, many at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


def drive(*arguments: object) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "tests.faults.driver", *map(str, arguments)]
    variables = {name: value for name, value in os.environ.items() if name != "NWBPIPE_TRANSACTION"}
    done = subprocess.run(command, cwd=ROOT, env=variables, stdout=subprocess.PIPE, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_kill_at_every_call(tmp_path: Path, tally: Counter[str]) -> None:
    for report in drive("kill", tmp_path):
        assert report["failures"] == []
        assert min(report["cases"]["old"], report["cases"]["new"]) > 5
        tally["kill -9"] += sum(report["cases"].values())


@pytest.mark.parametrize(("copy", "least"), [(0, 50), (1, 20)])
def test_limited_file_size(tmp_path: Path, tally: Counter[str], copy: int, least: int) -> None:
    (report,) = drive("full_disk", tmp_path, copy)
    assert report["failures"] == []
    assert report["cases"]["old"] > least
    assert report["cases"]["new"] > 0
    tally["RLIMIT_FSIZE"] += sum(report["cases"].values())


@pytest.mark.parametrize(("writers", "deaths"), [(2, 0), (8, 0), (8, 5)])
def test_writers_at_once(tmp_path: Path, tally: Counter[str], writers: int, deaths: int, long: bool) -> None:
    (report,) = drive("writers", tmp_path, writers, 30 if long else 6, deaths)
    assert report["failures"] == []
    tally["writers at once"] += report["cases"]["commits"]
