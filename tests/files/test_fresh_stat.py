"""A look at a file on NFS opens its folder, then the file; elsewhere `stat` does."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nwbpipe.files import _fresh_stat, exists_now, read_stat

FILE = "a.nwb"


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names that were opened, relative to the test's folder."""
    (tmp_path / FILE).write_bytes(b"x")
    names: list[str] = []
    real = os.open

    def note(path: str | Path, *words: int) -> int:
        names.append(os.path.relpath(path, tmp_path))
        return real(path, *words)

    monkeypatch.setattr(os, "open", note)
    return names


@pytest.fixture
def on_nfs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device = tmp_path.stat().st_dev
    monkeypatch.setattr(_fresh_stat, "_nfs_devices", lambda: frozenset([device]))


def test_other_disks_are_not_opened(tmp_path: Path, opened: list[str]) -> None:
    assert read_stat(tmp_path / FILE) == (tmp_path / FILE).stat()
    assert not exists_now(tmp_path / "none")
    assert opened == []


@pytest.mark.usefixtures("on_nfs")
def test_nfs_is_asked_for_names_and_then_for_the_file(tmp_path: Path, opened: list[str]) -> None:
    assert read_stat(str(tmp_path / FILE)) == (tmp_path / FILE).stat()
    assert opened == [".", FILE]
    assert read_stat(tmp_path).st_ino == tmp_path.stat().st_ino


@pytest.mark.usefixtures("on_nfs")
def test_a_name_that_the_client_thinks_missing_is_looked_for_at_the_server(tmp_path: Path, opened: list[str]) -> None:
    assert not exists_now(tmp_path / "none")
    assert opened == [".", "none"]
    opened.clear()
    with pytest.raises(FileNotFoundError):
        read_stat(tmp_path / "no" / "folder" / "s.nwb")
    assert opened == ["no/folder", "no", ".", "no", "no/folder", "no/folder/s.nwb"]


@pytest.mark.usefixtures("on_nfs")
def test_a_pipe_is_not_opened(tmp_path: Path, opened: list[str]) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert read_stat(tmp_path / "pipe").st_ino == (tmp_path / "pipe").stat().st_ino
    assert opened == []


def test_the_disks_of_nfs_are_read_from_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(
        "22 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw\n40 22 0:50 / /lab\\040data rw - nfs s:/x rw,vers=3\n"
        "41 22 0:51 / /home rw - nfs4 s:/home rw\nof another form\n"
    )
    monkeypatch.setattr(_fresh_stat, "_TABLE", table)
    monkeypatch.setattr(_fresh_stat, "_mounted", (float("-inf"), frozenset()))
    assert _fresh_stat._nfs_devices() == {os.makedev(0, 50), os.makedev(0, 51)}
    table.write_text("")
    assert len(_fresh_stat._nfs_devices()) == 2  # for some seconds
