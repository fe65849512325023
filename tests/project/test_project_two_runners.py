"""Several independent runners on one project in S3, each as on a machine of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from nwbpipe import files, read_records
from nwbpipe.project import Project
from tests.fixtures.kills import lines
from tests.fixtures.projects import table
from tests.fixtures.s3 import Bucket
from tests.project.test_project_s3 import in_s3

pytestmark = pytest.mark.usefixtures("test_processors")

STEPS = """
[steps.first]
processor = "count"
params = { label = "first", add = 2, seconds = SECONDS }
[steps.second]
processor = "count"
params = { label = "second", add = 3, seconds = SECONDS }
inputs.series = "first/Counted"
[executor]
workers = 1
retries = 0
"""


def begin(folder: Path, name: str, ttl_s: float = 30.0) -> subprocess.Popen[bytes]:
    """Begin a runner with scratch, cache and logs of its own."""
    places = {f"NWBPIPE_{one}": str(folder / name / one.lower()) for one in ("SCRATCH", "CACHE", "LOGS")}
    words = [sys.executable, "-m", "tests.fixtures.elsewhere", str(ttl_s), "run", "--project", str(folder)]
    return subprocess.Popen(words, env={**os.environ, **places}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def end(runner: subprocess.Popen[bytes]) -> None:
    output = runner.communicate(timeout=300)[0].decode()
    assert runner.returncode == 0, output


def check(bucket: Bucket, folder: Path, sessions: int) -> None:
    """All is done, each result is there once and right, and nobody holds a lease."""
    assert set(table(Project(folder)).values()) == {"done"}
    for number in range(sessions):
        url = f"s3://{bucket.name}/nwb/s{number}.nwb"
        records = read_records(url)
        assert sorted(record.step for record in records) == ["first", "second"]
        with files.open_remote(url) as file:
            truth = file["acquisition/lever/data"][()] + 5
            assert (file["processing/behavior/Counted_second/data"][()] == truth).all()
    assert bucket.client.list_objects_v2(Bucket=bucket.name, Prefix="state/leases/").get("Contents", []) == []
    assert bucket.uploads() == []


def computed(folder: Path) -> Counter[str]:
    """How often each was computed: the content of what was read tells the sessions apart."""
    found = [one for one in lines(folder / "counter") if one["what"] == "compute"]
    return Counter(f"{one['step']} {one['first']}" for one in found)


@pytest.mark.thorough
def test_two_runners_on_one_bucket_compute_each_run_once(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TESTS_COUNTER", str(tmp_path / "counter"))
    in_s3(bucket, tmp_path, 1, STEPS.replace("SECONDS", "0"))
    runners = [begin(tmp_path, name) for name in ("one", "two")]
    for runner in runners:
        end(runner)
    check(bucket, tmp_path, 1)
    assert list(computed(tmp_path).values()) == [1] * 2


@pytest.mark.long
@pytest.mark.parametrize("beside", [True, False])
def test_what_a_killed_runner_held_is_done_by_another(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, beside: bool
) -> None:
    monkeypatch.setenv("TESTS_COUNTER", str(tmp_path / "counter"))
    sessions = 3
    in_s3(bucket, tmp_path, sessions, STEPS.replace("SECONDS", "1.0"))
    killed = begin(tmp_path, "killed", 4.0)
    other = begin(tmp_path, "other", 4.0) if beside else None
    while not leases(bucket) or not (tmp_path / "counter").exists():
        assert killed.poll() is None
        time.sleep(0.05)
    time.sleep(1.5)
    assert killed.poll() is None
    killed.kill()
    killed.communicate()
    if other is not None:
        end(other)
    else:
        assert leases(bucket)  # nobody on another machine can tell that its owner is dead
        end(begin(tmp_path, "next", 4.0))
    check(bucket, tmp_path, sessions)
    counted = computed(tmp_path)
    assert len(counted) == 2 * sessions
    assert sum(counted.values()) <= 2 * sessions + 1  # what was interrupted, once more


def leases(bucket: Bucket) -> list[str]:
    found = bucket.client.list_objects_v2(Bucket=bucket.name, Prefix="state/leases/").get("Contents", [])
    return [one["Key"] for one in found]
