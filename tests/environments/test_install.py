"""What `tools install` and `tools remove` delete, and what they leave."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from nwbpipe import environments
from nwbpipe.environments import EnvironmentKind, Tool, _install, _mark
from nwbpipe.errors import RequestError, ToolFailedError, ToolMissingError

TINY = Tool("tinytool", ("tinytool>=1.0",))
NEWER = Tool("tinytool", ("tinytool>=7",))  # on no index


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("kind", ["folder", "file", "link to nothing"])
@pytest.mark.parametrize("call", [environments.install, environments.remove])
def test_what_nwbpipe_did_not_make_is_refused(
    own_tools: Path, wheels: Path, kind: str, call: Callable[[Tool], object]
) -> None:
    place = own_tools / "tinytool"
    own_tools.mkdir()
    if kind == "folder":
        (place / ".git").mkdir(parents=True)
        (place / "changes.py").write_text("a week of work")
    elif kind == "file":
        place.write_text("a week of work")
    else:
        place.symlink_to(own_tools / "unmounted")
    with pytest.raises(RequestError, match="was not made by nwbpipe") as caught:
        call(TINY)
    assert caught.value.problem.where == str(place)
    assert place.is_symlink() or (place / "changes.py" if kind == "folder" else place).read_text() == "a week of work"


def test_what_is_called_like_a_lock_is_not_opened(own_tools: Path, wheels: Path) -> None:
    (own_tools / "tinytool.lock").mkdir(parents=True)
    environments.install(TINY)
    assert environments.remove(TINY)
    assert list((own_tools / "tinytool.lock").iterdir()) == []


def test_an_installation_that_fails_leaves_the_environment_that_works(own_tools: Path, wheels: Path) -> None:
    python = environments.install(TINY)
    before = names(own_tools / "tinytool")
    with pytest.raises(ToolFailedError, match="tinytool"):
        environments.install(NEWER)
    assert environments.find(TINY).python == python
    assert names(own_tools / "tinytool") == before


def test_a_mark_that_cannot_be_written_leaves_the_environment_that_works(
    own_tools: Path, wheels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = environments.install(TINY)

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="No space left"):
        environments.install(TINY)
    assert environments.find(TINY).python == python


def test_a_first_installation_that_fails_leaves_nothing(own_tools: Path, wheels: Path) -> None:
    with pytest.raises(ToolFailedError):
        environments.install(NEWER)
    assert not (own_tools / "tinytool").exists()


def test_a_new_environment_takes_the_place_of_the_old_one(own_tools: Path, wheels: Path) -> None:
    old = environments.install(TINY)
    new = environments.install(TINY)
    assert environments.find(TINY).python == new != old
    assert not old.exists()
    assert len(names(own_tools / "tinytool")) == 3  # the environment, the mark and the file that says it is ours
    assert environments.remove(TINY)
    assert not (own_tools / "tinytool").exists()


def test_an_environment_of_the_layout_before_serves_until_it_is_replaced(own_tools: Path, wheels: Path) -> None:
    made = environments.install(TINY).parent.parent
    for path in made.iterdir():
        path.rename(own_tools / "tinytool" / path.name)
    made.rmdir()
    mark = own_tools / "tinytool" / "nwbpipe-tool.json"
    (own_tools / "tinytool" / "nwbpipe-made-this.txt").unlink()
    mark.write_text(json.dumps({"tool": "tinytool", "kind": "isolated"}))
    python = own_tools / "tinytool" / "bin" / "python"
    assert environments.find(TINY).python == python
    with pytest.raises(ToolFailedError):
        environments.install(NEWER)
    assert environments.find(TINY).version == "1.2"
    new = environments.install(TINY)
    assert environments.find(TINY).python == new
    assert not python.exists()
    assert len(names(own_tools / "tinytool")) == 3


@pytest.mark.skipif(os.name == "nt", reason="sends SIGKILL")
def test_after_a_kill_the_old_environment_serves_and_the_next_call_cleans_up(
    own_tools: Path, wheels: Path, tmp_path: Path
) -> None:
    python = environments.install(TINY)
    body = f"""
import pathlib, time
from nwbpipe.environments import Tool, _install
def build(tool, kind, environment, lock, engine, base):
    environment.mkdir()
    pathlib.Path({str(tmp_path / "building")!r}).touch()
    time.sleep(60)
_install._build = build
_install.install(Tool("tinytool", ("tinytool>=1.0",)))
"""
    process = subprocess.Popen([sys.executable, "-c", body])
    try:
        limit = time.monotonic() + 30
        while not (tmp_path / "building").exists() and time.monotonic() < limit:
            time.sleep(0.02)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert len(names(own_tools / "tinytool")) == 4
    assert environments.find(TINY).python == python
    new = environments.install(TINY)
    assert environments.find(TINY).python == new
    assert len(names(own_tools / "tinytool")) == 3


def test_a_first_installation_that_was_killed_can_be_repeated_or_removed(
    own_tools: Path, wheels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for call in (environments.install, environments.remove):
        partial = own_tools / "tinytool" / "isolated-00000000"
        partial.mkdir(parents=True)
        (own_tools / "tinytool" / "nwbpipe-made-this.txt").touch()
        with pytest.raises(ToolMissingError, match="not installed"):
            environments.find(TINY)
        assert call(TINY)
        assert not partial.exists()
        environments.remove(TINY)


def test_an_interrupt_leaves_the_environment_that_works(
    own_tools: Path, wheels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = environments.install(TINY)
    before = names(own_tools / "tinytool")

    def interrupt(tool: Tool, kind: EnvironmentKind, environment: Path, *_: object) -> None:
        environment.mkdir()
        raise KeyboardInterrupt

    monkeypatch.setattr(_install, "_build", interrupt)
    with pytest.raises(KeyboardInterrupt):
        environments.install(TINY)
    assert environments.find(TINY).python == python
    assert names(own_tools / "tinytool") == before


def test_an_interrupt_while_the_old_environment_is_deleted_leaves_the_new_one(
    own_tools: Path, wheels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = environments.install(TINY)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(_mark, "_delete_all_but", interrupt)
        with pytest.raises(KeyboardInterrupt):
            environments.install(TINY)
    assert environments.find(TINY).python != old
    assert environments.find(TINY).version == "1.2"
