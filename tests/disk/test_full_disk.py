"""A full disk is one error with a code, and HDF5 closes in peace; a new file keeps its owner and attributes."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from nwbpipe.disk import copy_attributes, explain_full_disk, find_full_disk
from nwbpipe.errors import FileAccessError
from nwbpipe.files import _sink as sink
from nwbpipe.files import create_atomically, open_for_writing, repack


@pytest.fixture
def full_after(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that lets the disk be full after some bytes."""

    def set_limit(limit: int) -> None:
        write = os.pwrite

        def pwrite(descriptor: int, data: Any, offset: int) -> int:
            if offset + len(data) > limit:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return write(descriptor, data, offset)

        monkeypatch.setattr(sink.os, "pwrite", pwrite)

    return set_limit


def write_all_kinds(file: h5py.File) -> None:
    for number in range(30):
        group = file.create_group(f"g{number}")
        group.attrs["text"] = "x" * 3000
        group["small"] = np.arange(1000)
    file.create_dataset("large", data=np.random.default_rng(0).normal(size=200_000), chunks=(50_000,))
    file.create_dataset("texts", data=["abc"] * 5000, dtype=h5py.string_dtype())


@pytest.mark.parametrize("paged", [False, True])
@pytest.mark.parametrize("limit", [0, 100, 4096, 40_000, 150_000, 300_000, 1_000_000])
def test_a_full_disk_is_an_error_and_nothing_is_left(
    tmp_path: Path, full_after: Any, limit: int, paged: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    options = {"fs_strategy": "page", "fs_page_size": 65536} if paged else {}
    full_after(limit)
    with (
        pytest.raises(FileAccessError, match="no space is left") as caught,
        create_atomically(tmp_path / "a.nwb") as path,
        open_for_writing(path, "w", **options) as file,
    ):
        write_all_kinds(file)
    assert str(tmp_path) in str(caught.value)
    assert [name.name for name in tmp_path.iterdir() if not name.name.endswith(".lock")] == []
    assert "Exception ignored" not in capfd.readouterr().err


def test_what_is_written_with_room_is_as_h5py_writes_it(tmp_path: Path) -> None:
    for name, opened in (("a", open_for_writing(tmp_path / "a", "w")), ("b", h5py.File(tmp_path / "b", "w"))):
        with opened as file:
            write_all_kinds(file)
        with h5py.File(tmp_path / name) as file:
            assert (file["large"][:] == np.random.default_rng(0).normal(size=200_000)).all()
            assert file["g29"].attrs["text"] == "x" * 3000
    with open_for_writing(tmp_path / "a", "r+") as file:
        file["more"] = 1
    with h5py.File(tmp_path / "a") as file:
        assert file["more"][()] == 1
        assert len(file["texts"]) == 5000


def test_an_error_of_the_block_is_raised_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="nothing"), open_for_writing(tmp_path / "a", "w") as file:
        file["nothing"]


def test_hdf5_tells_a_full_disk_in_its_text_alone(tmp_path: Path) -> None:
    text = "Can't synchronously write data (file write failed: time = now, errno = 28, error message = 'No space')"
    assert find_full_disk(OSError(text)) == errno.ENOSPC
    assert find_full_disk(OSError(errno.ENOENT, "no such file")) is None
    with pytest.raises(FileAccessError, match="no space is left"), explain_full_disk(tmp_path):
        raise OSError(text)
    with pytest.raises(PermissionError), explain_full_disk(tmp_path):
        raise PermissionError(errno.EACCES, "no")


@pytest.mark.skipif(not hasattr(os, "setxattr"), reason="no extended attributes on this system")
@pytest.mark.parametrize("mechanism", ["repack", "overwrite"])
def test_a_new_file_keeps_mode_owner_and_attributes(tmp_path: Path, mechanism: str) -> None:
    path = tmp_path / "a.nwb"
    with h5py.File(path, "w") as file:
        file["x"] = 1
    os.setxattr(path, "user.note", b"of the lab")
    if os.geteuid() == 0:
        os.chown(path, 65534, 65534)
    path.chmod(0o640)
    before = path.stat()
    if mechanism == "repack":
        repack(path)
    else:
        with create_atomically(path, overwrite=True) as building:
            building.write_bytes(b"new")
    after = path.stat()
    assert after.st_ino != before.st_ino
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert os.getxattr(path, "user.note") == b"of the lab"


@pytest.mark.skipif(not hasattr(os, "setxattr"), reason="no extended attributes on this system")
def test_what_the_system_refuses_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.touch()
    new.touch()
    os.setxattr(old, "user.note", b"x")

    def refuse(*_: Any) -> None:
        raise PermissionError(errno.EPERM, "no")

    monkeypatch.setattr(os, "setxattr", refuse)
    assert copy_attributes(old, new) == ["the attribute user.note"]
