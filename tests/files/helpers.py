"""Other processes that write, wait and are killed."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Says that it has come so far, then waits to be killed.
WAITING = 'print("waiting", flush=True); time.sleep(60)'

_IMPORTS = """
import os, pathlib, time
import h5py
from nwbpipe.files import create_atomically, hold_lock, transaction
"""


def script_of(text: str) -> str:
    """Return a whole script out of its indented body."""
    return _IMPORTS + textwrap.dedent(text)


@contextmanager
def child(text: str) -> Iterator[subprocess.Popen[str]]:
    """Run a script in another process, which does not outlive the block."""
    process = subprocess.Popen([sys.executable, "-c", script_of(text)], stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def output_of(text: str) -> str:
    """Run a script in another process to its end; return what it printed."""
    done = subprocess.run([sys.executable, "-c", script_of(text)], stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout


def wait_for_line(process: subprocess.Popen[str]) -> None:
    """Wait until the process has said that it waits."""
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "waiting"


def files_in(folder: Path) -> list[str]:
    """Names of all files in a folder, hidden ones too."""
    return sorted(path.name for path in folder.iterdir())


def no_leftovers(folder: Path) -> bool:
    """Whether no working copy was left."""
    return not [name for name in files_in(folder) if name.endswith(".partial")]


@contextmanager
def unprivileged(folder: Path) -> Iterator[None]:
    """Go on as a user without privileges who owns `folder` and all in it: the superuser may do anything."""
    if os.geteuid() != 0:
        yield
        return
    nobody = 65534
    for path in (folder, *folder.rglob("*")):
        os.chown(path, nobody, nobody)
    os.seteuid(nobody)
    try:
        yield
    finally:
        os.seteuid(0)
