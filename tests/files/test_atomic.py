"""A file is created whole or not at all, and writers of one file wait for each other."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest

from nwbpipe.errors import FileAccessError, LockedFileError, OverwriteError
from nwbpipe.files import create_atomically, hold_lock
from tests.files.helpers import WAITING, child, files_in, no_leftovers, output_of, unprivileged, wait_for_line


def test_it_appears_when_the_block_ends(tmp_path: Path) -> None:
    target = tmp_path / "a.nwb"
    with create_atomically(target) as building:
        building.write_bytes(b"whole")
        assert building.parent == tmp_path
        assert not target.exists()
    assert target.read_bytes() == b"whole"
    assert no_leftovers(tmp_path)


def test_nothing_is_left_of_an_exception(tmp_path: Path) -> None:
    target = tmp_path / "a.nwb"
    with pytest.raises(RuntimeError, match="half-way"), create_atomically(target) as building:  # noqa: PT012
        building.write_bytes(b"half")
        raise RuntimeError("half-way")
    assert not target.exists()
    assert no_leftovers(tmp_path)


def test_an_existing_file_is_kept_unless_asked(tmp_path: Path) -> None:
    target = tmp_path / "a.nwb"
    target.write_bytes(b"old")
    with pytest.raises(OverwriteError), create_atomically(target):
        pytest.fail("the block must not run")
    assert target.read_bytes() == b"old"


@pytest.mark.parametrize("has_links", [True, False])
def test_a_file_that_came_meanwhile_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_links: bool) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError("no hard links here")

    if not has_links:
        monkeypatch.setattr(os, "link", refuse)
    target = tmp_path / "a.nwb"
    with pytest.raises(OverwriteError, match="meanwhile"), create_atomically(target) as building:  # noqa: PT012
        building.write_bytes(b"new")
        target.write_bytes(b"of another program")
    assert target.read_bytes() == b"of another program"
    with create_atomically(tmp_path / "b.nwb") as building:
        building.write_bytes(b"new")
    assert (tmp_path / "b.nwb").read_bytes() == b"new"
    assert no_leftovers(tmp_path)


def test_an_existing_file_stands_until_the_new_one_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "a.nwb"
    target.write_bytes(b"old")
    with create_atomically(target, overwrite=True) as building:
        building.write_bytes(b"new")
        assert target.read_bytes() == b"old"
    assert target.read_bytes() == b"new"


def test_an_exception_keeps_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "a.nwb"
    target.write_bytes(b"old")
    with pytest.raises(RuntimeError), create_atomically(target, overwrite=True) as building:  # noqa: PT012
        building.write_bytes(b"half")
        raise RuntimeError
    assert target.read_bytes() == b"old"
    assert no_leftovers(tmp_path)


def test_kill_leaves_the_old_file_and_the_next_call_clears_up(tmp_path: Path) -> None:
    target = tmp_path / "a[1].nwb"  # a name that is a pattern, too
    target.write_bytes(b"old")
    script = f"""
        with create_atomically({str(target)!r}, overwrite=True) as building:
            building.write_bytes(b"half")
            {WAITING}
    """
    with child(script) as process:
        wait_for_line(process)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert target.read_bytes() == b"old"
    assert [name for name in files_in(tmp_path) if name.endswith(".partial")], "the kill came too late to test"
    with create_atomically(target, overwrite=True) as building:
        building.write_bytes(b"new")
    assert target.read_bytes() == b"new"
    assert no_leftovers(tmp_path)


def test_leftovers_of_other_files_are_not_touched(tmp_path: Path) -> None:
    other = tmp_path / ".b.nwb.1-abc.partial"
    other.write_bytes(b"someone else's")
    with create_atomically(tmp_path / "a.nwb") as building:
        building.write_bytes(b"whole")
    assert other.exists()


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileAccessError, match="does not exist") as caught, create_atomically(tmp_path / "no" / "a"):
        pytest.fail("the block must not run")
    assert str(tmp_path / "no") in str(caught.value)


def test_a_folder_that_may_not_be_written_is_named(foreign_folder: Path) -> None:
    with unprivileged(foreign_folder):
        foreign_folder.chmod(0o500)
        with pytest.raises(FileAccessError) as caught, create_atomically(foreign_folder / "a.nwb"):
            pytest.fail("the block must not run")
    assert "permission" in str(caught.value).lower()
    assert str(foreign_folder) in str(caught.value)


def test_a_file_that_was_not_built_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileAccessError), create_atomically(tmp_path / "a.nwb"):
        pass
    assert not (tmp_path / "a.nwb").exists()


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.nwb").write_bytes(b"old")
    link = tmp_path / "link.nwb"
    link.symlink_to(tmp_path / "real" / "a.nwb")
    with create_atomically(link, overwrite=True) as building:
        building.write_bytes(b"whole")
    assert link.is_symlink()
    assert (tmp_path / "real" / "a.nwb").read_bytes() == b"whole"


def test_the_lock_of_a_living_process_is_respected(tmp_path: Path) -> None:
    target = tmp_path / "a.nwb"
    script = f"""
        with hold_lock(pathlib.Path({str(target)!r})):
            {WAITING}
    """
    with child(script) as process:
        wait_for_line(process)
        with pytest.raises(LockedFileError, match="another process") as caught, hold_lock(target, timeout=0.1):
            pytest.fail("two writers at once")
        assert str(target) in str(caught.value)
        process.send_signal(signal.SIGKILL)
        process.wait()
        # The lock ended with its holder.
        with hold_lock(target, timeout=5):
            pass


def test_writers_wait_for_each_other(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("")

    def write(text: str) -> None:
        with create_atomically(target, overwrite=True, lock_timeout=30) as building:
            building.write_text(target.read_text() + text)

    writers = [threading.Thread(target=write, args=(f"{number}\n",)) for number in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert sorted(target.read_text().split()) == [str(number) for number in range(8)]


def test_no_other_program_takes_the_lock_for_a_session(tmp_path: Path) -> None:
    path = tmp_path / "a.nwb"
    with create_atomically(path) as building:
        building.write_bytes(b"new")
    assert [one.name for one in sorted(tmp_path.iterdir())] == [".a_nwb.lock", "a.nwb"]
    assert list(tmp_path.glob("*.nwb*")) == [path]  # what nwbinspector looks at


def test_a_full_disk_keeps_the_old_file(tmp_path: Path) -> None:
    """A limit on the size of files stands in for the full disk."""
    target = tmp_path / "a.nwb"
    target.write_bytes(b"old")
    script = f"""
        import resource, signal
        from nwbpipe.errors import FileAccessError
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        try:
            with create_atomically({str(target)!r}, overwrite=True) as building:
                building.write_bytes(bytes(5000))
        except FileAccessError as error:
            print(error)
    """
    assert "ulimit -f" in output_of(script)
    assert target.read_bytes() == b"old"
    assert no_leftovers(tmp_path)


def test_a_replaced_file_keeps_its_permissions(tmp_path: Path) -> None:
    target = tmp_path / "a.nwb"
    target.write_bytes(b"old")
    target.chmod(0o640)
    with create_atomically(target, overwrite=True) as building:
        building.write_bytes(b"new")
    assert target.read_bytes() == b"new"
    assert target.stat().st_mode & 0o777 == 0o640
