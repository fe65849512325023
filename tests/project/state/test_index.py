from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path

import pytest

from nwbpipe.project.state import Index
from nwbpipe.project.state._index import read_local_stats


def test_an_entry_counts_while_its_files_are_unchanged(tmp_path: Path, monkeypatch) -> None:
    file = tmp_path / "file"
    file.write_text("a")
    index = Index(tmp_path / "nwbpipe.toml", "")
    later = time.time_ns() + 10**10  # by then the file is at rest; its ctime can't be set
    monkeypatch.setattr(time, "time_ns", lambda: later)
    index.store("kind", [("name", "context", read_local_stats([file, tmp_path / "absent"]), {"x": 1})])
    assert index.load("kind") == {"name": ("context", {"x": 1})}
    assert index.load("other") == {}
    (tmp_path / "absent").write_text("now it is there")
    assert index.load("kind") == {}
    (tmp_path / "absent").unlink()
    assert index.load("kind") != {}
    os.utime(file, (0, 0))
    assert index.load("kind") == {}


def test_what_has_just_changed_is_not_kept(tmp_path: Path) -> None:
    index = Index(tmp_path / "nwbpipe.toml", "")
    (tmp_path / "file").write_text("a")
    index.store("kind", [("name", "context", read_local_stats([tmp_path / "file"]), 1)])
    assert index.load("kind") == {}


def test_a_damaged_index_is_done_without_and_made_again(tmp_path: Path) -> None:
    index = Index(tmp_path / "nwbpipe.toml", "")
    index.path.parent.mkdir(parents=True)
    index.path.write_bytes(b"no database at all" * 100)
    assert index.load("kind") == {}
    index.store("kind", [("name", "context", {}, 1)])
    assert index.load("kind") == {"name": ("context", 1)}


def test_profiles_and_projects_have_an_index_each(tmp_path: Path) -> None:
    paths = {
        Index(tmp_path / "a.toml", "").path,
        Index(tmp_path / "a.toml", "p").path,
        Index(tmp_path / "b.toml", "").path,
    }
    assert len(paths) == 3
    index = Index(tmp_path / "a.toml", "")
    index.store("kind", [("name", "", {}, 1)])
    with sqlite3.connect(index.path) as database:
        assert database.execute("SELECT count(*) FROM kept").fetchone() == (1,)
    database.close()


def test_many_entries_are_read_in_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nwbpipe.project.state._index._PAGE", 2)
    index = Index(tmp_path / "nwbpipe.toml", "")
    index.store("kind", [(f"name {number}", "context", {}, number) for number in range(5)])
    index.store("other", [("name 1", "context", {}, "another")])
    assert [name for name, *_ in index.iterate("kind")] == [f"name {number}" for number in range(5)]
    chosen = index.load("kind", ["name 4", "name 9", "name 1"])
    assert chosen == {"name 4": ("context", 4), "name 1": ("context", 1)}
    assert index.load("kind", []) == {}
