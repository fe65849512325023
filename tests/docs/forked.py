"""Run commands and scripts in processes that are forked from one that has imported what they import.

A page has up to thirty commands, and each would import for two seconds.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import sys
from multiprocessing.forkserver import set_forkserver_preload
from pathlib import Path

_PRELOADED = (
    "nwbpipe.cli",
    "nwbpipe.extensions",
    "nwbpipe.converters",
    "nwbpipe.project",
    "neuroconv.datainterfaces",
    "tests.docs.warmed",
)
_TIMEOUT_S = 600
_OUTPUT = ".printed"


def run(
    words: list[str], folder: Path, environment: dict[str, str], timeout_s: float = _TIMEOUT_S
) -> tuple[int, str]:
    """Run ``nwbpipe WORDS…``, or a Python script, in a folder; return its exit code, and what it prints."""
    set_forkserver_preload(list(_PRELOADED))
    process = multiprocessing.get_context("forkserver").Process(target=_run_here, args=(words, folder, environment))
    process.start()
    process.join(timeout_s)
    if process.exitcode is None:
        process.kill()
        raise TimeoutError(" ".join(words))
    printed = folder / _OUTPUT
    text = printed.read_text(encoding="utf-8")
    printed.unlink()
    return process.exitcode, text.strip()


def _run_here(words: list[str], folder: Path, environment: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    with Path(os.devnull).open("rb") as nothing, Path(_OUTPUT).open("wb") as printed:
        os.dup2(nothing.fileno(), 0)
        os.dup2(printed.fileno(), 1)
        os.dup2(printed.fileno(), 2)
    if words[0] == "nwbpipe":
        from nwbpipe.cli import main

        sys.argv = words
        main(words[1:])
    else:
        sys.argv = words[1:]
        sys.path.insert(0, "")
        runpy.run_path(words[1], run_name="__main__")
