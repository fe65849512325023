"""A project whose session files, raw files and state are in S3."""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import nwbpipe
from nwbpipe import files, stores
from nwbpipe.errors import FileAccessError
from nwbpipe.project import Project, Watcher
from nwbpipe.stores import S3Store
from tests.converters import raw
from tests.fixtures.projects import STEPS, Inline, make_project, table
from tests.fixtures.s3 import Bucket
from tests.project.test_project_conversion import TOML, spec

pytestmark = pytest.mark.usefixtures("test_processors")


def in_s3(bucket: Bucket, folder: Path, sessions: int = 2, steps: str = STEPS) -> Project:
    """A project whose files and state are in the bucket."""
    if sessions:
        make_project(folder, sessions, steps)
        for path in (folder / "nwb").iterdir():
            bucket.put(path, f"nwb/{path.name}")
    text = (folder / "nwbpipe.toml").read_text()
    for name in ("nwb", "state", "raw"):
        text = text.replace(f'{name} = "{name}"', f'{name} = "s3://{bucket.name}/{name}"')
    (folder / "nwbpipe.toml").write_text(text)
    return Project(folder)


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Counts listings of stores, and objects that are opened for their content."""
    seen: Counter[str] = Counter()
    listed, opened = S3Store.list, stores.s3.RemoteObject.__init__

    def count_lists(self: Any, *arguments: Any, **options: Any) -> Any:
        seen[f"list {self.root.rpartition('/')[2]}"] += 1
        return listed(self, *arguments, **options)

    def count_opens(self: Any, *arguments: Any) -> None:
        seen["open"] += 1
        opened(self, *arguments)

    monkeypatch.setattr(S3Store, "list", count_lists)
    monkeypatch.setattr(stores.s3.RemoteObject, "__init__", count_opens)
    return seen


def lost(*_: Any) -> bytes:
    raise FileAccessError("S3 can't be reached")


def test_session_files_in_s3_are_planned_processed_and_verified(
    bucket: Bucket, tmp_path: Path, requests: Counter[str]
) -> None:
    project = in_s3(bucket, tmp_path, steps=STEPS.partition("[steps.second]")[0])
    assert set(table(project).values()) == {"missing"}
    assert project.run(executor=Inline()).done == 2
    assert set(table(project).values()) == {"done"}
    url = f"s3://{bucket.name}/nwb/s1.nwb"
    with files.open_remote(url) as file:
        truth = file["acquisition/lever/data"][()] * 3
        np.testing.assert_array_equal(file["processing/behavior/Scaled_first/data"][()], truth)
    assert [one.outcome for one in project.runs()] == ["done"] * 2
    assert all(one.ok for one in project.verify("m1/s0", "first", threads=1))
    assert "m1/s1" in str(project.lineage())

    # Another process, and nothing has changed: one listing of each store, and no session file is opened.
    requests.clear()
    assert set(table(Project(tmp_path)).values()) == {"done"}
    assert requests == {"list nwb": 1, "list state": 2}  # failures and leases

    # What can't be read for a moment is not remembered.
    with sqlite3.connect(project.planner.index.path) as database:
        database.execute("DELETE FROM kept WHERE kind = 'status'")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stores.s3.RemoteObject, "read_at", lost)
        assert set(table(Project(tmp_path)).values()) == {"blocked"}
    assert set(table(Project(tmp_path)).values()) == {"done"}

    # A change behind its back is noticed, of that session alone.
    local = bucket.get(tmp_path / "s0.nwb", "nwb/s0.nwb")
    with h5py.File(local, "r+") as file:
        file["acquisition/lever/data"][0, 0] = 99.0
    bucket.put(local, "nwb/s0.nwb")
    states = table(Project(tmp_path))
    assert (states["m1/s0 first"], states["m1/s1 first"]) == ("stale", "done")
    assert Project(tmp_path).run(executor=Inline()).done == 1

    # As from a machine that has no index and no cache.
    project.planner.index.path.unlink()
    assert set(table(Project(tmp_path)).values()) == {"done"}


@pytest.mark.long
def test_raw_files_specs_and_session_files_in_s3(bucket: Bucket, tmp_path: Path) -> None:
    folder = tmp_path / "one"
    folder.mkdir()
    raw.write_recording(folder, seconds=0.02)
    raw.write_trials(folder / "trials.csv")
    spec(folder)
    for path in folder.iterdir():
        bucket.put(path, f"raw/one/{path.name}")
    (tmp_path / "nwbpipe.toml").write_text(TOML)
    project = in_s3(bucket, tmp_path, 0)
    assert project.state("M042/s1", "convert")[0].reason == "not converted yet"
    assert project.run(executor=Inline()).done == 3
    url = f"s3://{bucket.name}/nwb/sub-M042/ses-s1.nwb"
    assert set(table(Project(tmp_path)).values()) == {"done"}
    sources = next(record.sources for record in nwbpipe.read_records(url) if record.step == "convert")
    assert "raw://one/trials.csv" in {one["path"] for one in sources}

    # Where the raw files are makes no difference.
    (tmp_path / "raw").mkdir()
    folder.rename(tmp_path / "raw/one")
    text = (tmp_path / "nwbpipe.toml").read_text()
    (tmp_path / "nwbpipe.toml").write_text(text.replace(f'raw = "s3://{bucket.name}/raw"', 'raw = "raw"'))
    assert set(table(Project(tmp_path)).values()) == {"done"}
    (tmp_path / "nwbpipe.toml").write_text(text)
    folder = tmp_path / "raw/one"

    # Only metadata: an edit of the object.
    bucket.put(spec(folder, sex="M"), "raw/one/session.yaml")
    assert Project(tmp_path).state("M042/s1", "convert")[0].reason == "metadata changed: subject.sex 'F' → 'M'"
    assert Project(tmp_path).run(executor=Inline()).done == 1
    # A source changed: it is built anew, and the results of the other one are carried over.
    (folder / "trials.csv").write_text((folder / "trials.csv").read_text() + "9.0,10.0,9.5,0.25,miss\n")
    bucket.put(folder / "trials.csv", "raw/one/trials.csv")
    assert Project(tmp_path).state("M042/s1", "convert")[0].reason == "raw data changed: raw://one/trials.csv"
    inline = Inline()
    assert Project(tmp_path).run(executor=inline).done == 1
    assert [job.step for job in inline.jobs] == ["convert"]
    assert set(table(Project(tmp_path)).values()) == {"done"}
    with files.open_remote(url) as file:
        assert file["general/subject/sex"].asstr()[()] == "M"
        assert len(file["intervals/trials/start_time"]) == 4
        truth = file["acquisition/ElectricalSeries_probe/data"][()] * 4
        np.testing.assert_array_equal(file["processing/behavior/Scaled_second/data"][()], truth)

    # Raw data that were taken away leave it done.
    for name in [one.name for one in folder.iterdir() if one.name != "session.yaml"]:
        bucket.client.delete_object(Bucket=bucket.name, Key=f"raw/one/{name}")
    (state,) = Project(tmp_path).state("M042/s1", "convert")
    assert (state.state, state.reason.partition(":")[0]) == ("done", "raw files are elsewhere now")


def test_what_arrives_in_s3_is_converted_when_it_is_at_rest(
    bucket: Bucket, tmp_path: Path, requests: Counter[str]
) -> None:
    folder = tmp_path / "one"
    folder.mkdir()
    raw.write_trials(folder / "trials.csv")
    bucket.put(raw.write_spec(folder, {"trials": raw.trials()}), "raw/one/session.yaml")
    bucket.put(folder / "trials.csv", "raw/one/trials.csv")
    (tmp_path / "nwbpipe.toml").write_text(TOML.partition("[steps.first]")[0])
    project = in_s3(bucket, tmp_path, 0)
    watcher = Watcher(project, settle_s=0.8, interval_s=0.1, executor=Inline())
    assert (watcher.run_once().arriving, watcher.run_once().arriving) == (1, 1)
    raw.write_trials(folder / "trials.csv", (1.0, 3.0))  # it is still being uploaded
    bucket.put(folder / "trials.csv", "raw/one/trials.csv")
    time.sleep(0.8)
    requests.clear()
    assert watcher.run_once().arriving == 1
    assert requests == {"list raw": 1}  # however many sessions and files there are
    time.sleep(0.8)
    health = watcher.run_once()
    assert (health.line, health.summary and health.summary.done) == (
        "healthy: 1 sessions, 0 arriving; 1 done",
        1,
    )
    with files.open_remote(f"s3://{bucket.name}/nwb/sub-M042/ses-s1.nwb") as file:
        assert len(file["intervals/trials/start_time"]) == 2
    requests.clear()
    watcher.options["executor"] = None  # none is begun: there is nothing to do
    assert watcher.run_once().line == health.line
    assert requests == {"list raw": 1, "list nwb": 1, "list state": 2}
