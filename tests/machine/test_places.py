"""Every folder of ours on a shared machine is private, or refused if another user could have prepared it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from nwbpipe.errors import FileAccessError
from nwbpipe.machine import _folders
from nwbpipe.project.execute._devices import _lock_folder
from nwbpipe.provenance._cache import default_cache_folder
from nwbpipe.run import _logs
from nwbpipe.stores import Stage, scratch_folder

pytestmark = pytest.mark.skipif(os.name == "nt", reason="owners and modes of POSIX")


@pytest.fixture
def unset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Leave the user's variables unset, and put the system's folders into one of the test."""
    for name in ("SCRATCH", "LOGS", "CACHE"):
        monkeypatch.delenv(f"NWBPIPE_{name}", raising=False)
    monkeypatch.setattr(_folders.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(_folders, "user_cache_dir", lambda *_: str(tmp_path / "cache"))
    monkeypatch.setattr(_logs, "user_log_path", lambda *_, **__: tmp_path / "logs")
    return tmp_path


def places(folder: Path) -> list[tuple[Callable[[], Path], Path]]:
    user = os.getuid()
    return [
        (scratch_folder, folder / f"nwbpipe-{user}"),
        (_lock_folder, folder / f"nwbpipe-gpus-{user}"),
        (default_cache_folder, folder / "cache"),
        (_logs.log_folder, folder / "logs"),
    ]


def test_folders_are_made_private_and_open_ones_are_closed(unset: Path) -> None:
    for make, place in places(unset):
        assert make() == place
        assert place.stat().st_mode & 0o777 == 0o700
        place.chmod(0o777)
        assert make().stat().st_mode & 0o777 == 0o700


def test_prepared_folders_are_refused_and_left_alone(unset: Path) -> None:
    elsewhere = unset / "elsewhere"
    elsewhere.mkdir()
    for make, place in places(unset):
        place.symlink_to(elsewhere)
        with pytest.raises(FileAccessError, match="prepared by another user"):
            make()
        place.unlink()
        if os.getuid() == 0:
            place.mkdir()
            os.chown(place, 65534, 65534)
            with pytest.raises(FileAccessError, match="a folder of the user 65534"):
                make()
            place.rmdir()
    (unset / f"nwbpipe-{os.getuid()}").symlink_to(elsewhere)
    with pytest.raises(FileAccessError), Stage():
        pass
    assert not any(elsewhere.iterdir())


def test_a_shared_folder_that_the_user_names_holds_a_private_one(
    unset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = unset / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    for name in ("SCRATCH", "LOGS", "CACHE"):
        monkeypatch.setenv(f"NWBPIPE_{name}", str(shared))
    own = shared / f"nwbpipe-{os.getuid()}"
    assert scratch_folder() == default_cache_folder() == _logs.log_folder() == own
    assert own.stat().st_mode & 0o777 == 0o700
    with Stage() as stage:
        assert stage.folder.parent == own


def test_a_cache_that_can_not_be_made_is_done_without(unset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (unset / "file").write_text("")
    monkeypatch.setenv("NWBPIPE_CACHE", str(unset / "file" / "cache"))
    assert default_cache_folder() == unset / "file" / "cache"
