"""Which files are changed in place and which by copy; and what a file opened through the view can do."""

from __future__ import annotations

import os
from pathlib import Path

import h5py
import numpy as np
import pytest

from nwbpipe.errors import FileAccessError
from nwbpipe.files import _change_in_place, repack, transaction
from nwbpipe.files._network_disk import NETWORK, Mount, read_mount


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "sub-é [1].h5"  # a name that HDF5 must be given as it is
    with h5py.File(path, "w") as file:
        file["raw"] = np.arange(1000)
        file["x"] = "ours"
    return path


def in_place(path: Path) -> bool:
    """Commit; say whether it was still the same file afterwards."""
    before = path.stat().st_ino
    with transaction(path) as file:
        file["new"] = 1
    with h5py.File(path) as file:
        assert file["new"][()] == 1
    return path.stat().st_ino == before


def test_an_ordinary_file_is_changed_in_place(path: Path) -> None:
    assert in_place(path)


def test_the_copy_on_request(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NWBPIPE_TRANSACTION", "copy")
    assert not in_place(path)


def test_a_file_with_another_name_is_copied(path: Path, tmp_path: Path) -> None:
    backup = tmp_path / "backup.h5"
    os.link(path, backup)
    before = backup.read_bytes()
    assert not in_place(path)
    assert backup.read_bytes() == before


def test_a_file_that_gives_freed_space_away_is_copied(path: Path) -> None:
    with h5py.File(path, "w", fs_strategy="fsm", fs_persist=True) as file:
        file["raw"] = np.arange(1000)
    assert not in_place(path)


def test_a_file_with_virtual_data_is_copied(path: Path, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "source.h5", "w") as file:
        file["raw"] = np.arange(10)
    layout = h5py.VirtualLayout(10, int)
    layout[:] = h5py.VirtualSource("source.h5", "raw", 10)
    with h5py.File(path, "r+") as file:
        file.create_virtual_dataset("virtual", layout)
    assert not in_place(path)
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file["virtual"], np.arange(10))


@pytest.mark.parametrize(("size", "expected"), [(512, True), (1024, True), (2**20, False)])
def test_a_user_block(path: Path, size: int, expected: bool) -> None:
    with h5py.File(path, "w", userblock_size=size) as file:
        file["raw"] = 1
    with path.open("rb+") as raw:
        raw.write(b"MATLAB")
    assert in_place(path) == expected
    assert path.read_bytes().startswith(b"MATLAB")


def test_network_file_systems_get_the_copy(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_mount(path).kind not in ("", *NETWORK)
    monkeypatch.setattr(_change_in_place, "read_mount", lambda target: Mount("nfs4", frozenset(), "/"))
    assert not in_place(path)


def test_a_file_system_without_flock_gets_the_copy(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> bool:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(_change_in_place.SYSTEM, "lock", refuse, raising=False)
    assert not in_place(path)


def test_external_links_lead_to_their_files(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The link's path exists in the file itself, too: that must not be taken for it."""
    (tmp_path / "below").mkdir()
    for place, value in (("theirs.h5", "theirs"), ("below/theirs.h5", "below")):
        with h5py.File(tmp_path / place, "w") as file:
            file["x"] = value
    with h5py.File(path, "r+") as file:
        file["beside"] = h5py.ExternalLink("theirs.h5", "/x")
    monkeypatch.chdir("/")

    def check(finished: h5py.File) -> None:
        assert finished["beside"].asstr()[()] == "theirs"
        assert finished["below"].asstr()[()] == "below"

    with transaction(path, check=check) as file:
        assert file["beside"].asstr()[()] == "theirs"
        assert file.filename == str(path)
        file["below"] = h5py.ExternalLink("below/theirs.h5", "/x")
        assert file["below"].asstr()[()] == "below"
    assert h5py._hl.base.dlapl is None, "h5py is left as it was"
    with h5py.File(path) as file:
        check(file)


def test_references_keep_pointing(path: Path) -> None:
    with transaction(path) as file:
        file["reference"] = file["raw"].ref
    with transaction(path) as file:
        assert file[file["reference"][()]].name == "/raw"


@pytest.mark.skipif(not hasattr(os, "listxattr"), reason="extended attributes of Linux")
def test_repack_keeps_mode_owner_and_attributes(path: Path) -> None:
    path.chmod(0o640)
    os.setxattr(path, "user.lab", b"rig 2")
    if os.geteuid() == 0:
        os.chown(path, 65534, 65534)
    before = path.stat()
    repack(path)
    after = path.stat()
    assert after.st_ino != before.st_ino
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert os.getxattr(path, "user.lab") == b"rig 2"


def test_repack_keeps_what_another_program_puts_there_meanwhile(path: Path) -> None:
    other = path.with_name("other.h5")
    with h5py.File(other, "w") as file:
        file["theirs"] = 1
    with pytest.raises(FileAccessError, match="another program changed the file"):
        repack(path, check=lambda _new: os.replace(other, path))  # noqa: PTH105
    with h5py.File(path) as file:
        assert list(file) == ["theirs"]
