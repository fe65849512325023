"""Links, pipes and folders that someone prepared at the names that nwbpipe uses."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable
from pathlib import Path

import h5py
import pytest

from nwbpipe.disk import create_file, mark_of, open_regular, read_regular, remove_file, remove_folder
from nwbpipe.errors import FileAccessError, NwbpipeError
from nwbpipe.files import create_atomically, hold_lock, recover, repack, repair_file, transaction


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return a folder of the user's with a file in it, outside of the one with the session file."""
    home = tmp_path / "home"
    home.mkdir()
    (home / ".bashrc").write_text("export EDITOR=vi\n")
    return home


@pytest.fixture
def session(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    with h5py.File(folder / "a.nwb", "w") as file:
        file["x"] = 1
    return folder / "a.nwb"


def change(path: Path) -> None:
    with transaction(path) as file:
        file["y"] = 2


def create(path: Path) -> None:
    with create_atomically(path, overwrite=True) as building:
        building.write_bytes(b"new")


def lock(path: Path) -> None:
    with hold_lock(path):
        pass


ACTS: list[Callable[[Path], object]] = [change, repack, create, repair_file, recover, lock]


@pytest.mark.parametrize("act", ACTS, ids=lambda act: act.__name__)
@pytest.mark.parametrize("name", [".a.nwb.journal", ".a_nwb.lock"])
@pytest.mark.parametrize("leads_to", [".bashrc", ".ssh_authorized_keys", "pipe"])
def test_nothing_is_written_through_a_prepared_link(
    session: Path, home: Path, act: Callable[[Path], object], name: str, leads_to: str
) -> None:
    os.mkfifo(home / "pipe")
    session.with_name(name).symlink_to(home / leads_to)
    before = session.read_bytes()
    with contextlib.suppress(NwbpipeError):
        act(session)
        before = b""
    assert before in (b"", session.read_bytes())
    assert sorted(path.name for path in home.iterdir()) == [".bashrc", "pipe"]
    assert (home / ".bashrc").read_text() == "export EDITOR=vi\n"


@pytest.mark.parametrize("mechanism", ["", "copy"])
def test_a_commit_beside_prepared_working_names_goes_on(
    session: Path, home: Path, mechanism: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NWBPIPE_TRANSACTION", mechanism)
    session.with_name(".a.nwb.x.partial").mkdir()
    session.with_name(".a.nwb.1-0123456789abcdef.partial").symlink_to(home / ".bashrc")
    change(session)
    repack(session)
    assert repair_file(session) == ()
    assert session.with_name(".a.nwb.x.partial").is_dir()
    with h5py.File(session) as file:
        assert file["y"][()] == 2
    assert (home / ".bashrc").read_text() == "export EDITOR=vi\n"


def test_an_output_that_is_a_link_to_nothing_is_refused(tmp_path: Path, home: Path) -> None:
    (tmp_path / "out.nwb").symlink_to(home / "new")
    with pytest.raises(FileAccessError, match="not a regular file"):
        create(tmp_path / "out.nwb")
    assert not (home / "new").exists()


def test_a_name_of_255_bytes_is_an_error_with_a_code(tmp_path: Path) -> None:
    path = tmp_path / ("a" * 251 + ".nwb")
    with h5py.File(path, "w") as file:
        file["x"] = 1
    for act in (change, repack, create, lock):
        with pytest.raises(FileAccessError, match="shorter name"):
            act(path)
    recover(path)


# The functions ------------------------------------------------------------------------------------------------


def test_a_new_file_is_private_and_takes_no_name_that_is_there(tmp_path: Path) -> None:
    os.close(create_file(tmp_path / "new"))
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o600
    (tmp_path / "link").symlink_to(tmp_path / "nothing")
    for name in ("new", "link"):
        with pytest.raises(FileExistsError):
            create_file(tmp_path / name)
    assert not (tmp_path / "nothing").exists()


def test_special_files_are_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # a socket's path is short
    os.mkfifo("pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        Path("zero").symlink_to("/dev/zero")
        Path("file").write_bytes(b"12345")
        Path("link").symlink_to("file")
        for name, kind in {"pipe": "a named pipe", "socket": "a socket", "zero": "a device", ".": "a folder"}.items():
            with pytest.raises(FileAccessError, match=kind):
                open_regular(name)
    assert read_regular("link", 3) == b"1234"
    with pytest.raises(FileAccessError, match="a symbolic link"):
        open_regular("link", follow=False)


def test_only_the_file_that_was_made_is_removed(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    ours.write_text("ours")
    made = mark_of(ours)
    ours.rename(tmp_path / "moved")
    ours.write_text("theirs")
    assert not remove_file(ours, made)
    theirs.mkdir()
    (theirs / "data").write_text("raw")
    ours.unlink()
    ours.symlink_to(theirs)
    assert not remove_file(ours)
    assert not remove_folder(ours)
    assert not remove_folder(theirs, made)
    assert (theirs / "data").exists()
    assert remove_folder(theirs, mark_of(theirs))
    assert remove_file(tmp_path / "moved", made)
    assert not remove_folder(theirs)
    assert not remove_file(tmp_path / "gone")
