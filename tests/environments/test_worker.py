"""What the worker does for a tool that can't be imported as it is: a torchvision beside another torch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from nwbpipe.environments import _worker

TORCH = """
defined = []
class Library:
    def __init__(self, name, kind): assert (name, kind) == ("torchvision", "DEF")
    def define(self, text): defined.append(text.partition("(")[0])
class library: Library = Library
class cuda:
    is_available = staticmethod(lambda: False)
class backends: pass
"""
TORCHVISION = """
import torch
from torchvision import part
if "nms" not in torch.defined:
    raise RuntimeError(MESSAGE)
"""
USER = """
import torch, torchvision, pathlib
pathlib.Path(__file__).with_name("defined").write_text(" ".join(torch.defined))
"""


def check(folder: Path, message: str, torch: str = TORCH) -> subprocess.CompletedProcess[str]:
    (folder / "torchvision").mkdir()
    (folder / "torchvision" / "__init__.py").write_text(f"MESSAGE = {message!r}\n{TORCHVISION}")
    (folder / "torchvision" / "part.py").write_text("")
    (folder / "torch.py").write_text(torch)
    (folder / "user.py").write_text(USER)
    return subprocess.run(
        [sys.executable, _worker.__file__, "--check", "user", "torch"],
        env={"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_operators_that_are_missing_are_named(tmp_path: Path) -> None:
    done = check(tmp_path, "operator torchvision::nms does not exist")
    answer = json.loads(done.stdout.splitlines()[-1].removeprefix("@check "))
    assert answer["device"] == "cpu"
    assert (tmp_path / "defined").read_text() == "nms qnms"
    assert "its operators are left out" in done.stdout


def test_a_torchvision_that_fits_is_left_alone(tmp_path: Path) -> None:
    done = check(tmp_path, "", TORCH.replace("defined = []", "defined = ['nms']"))
    assert done.returncode == 0
    assert (tmp_path / "defined").read_text() == "nms"


def test_another_failure_stays_one(tmp_path: Path) -> None:
    done = check(tmp_path, "no space left")
    assert done.returncode != 0
    assert "no space left" in done.stderr


def test_what_cannot_be_imported_fails(tmp_path: Path) -> None:
    with pytest.raises(ModuleNotFoundError):
        _worker.check("no_such_module_at_all", "-")
