"""What the worker changes in libraries as a tool imports them: a torchvision beside another torch, numba."""

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


def test_compiled_code_is_kept_for_the_next_run(tmp_path: Path) -> None:
    """A library may look for numba before it imports it, and may ask for no code to be kept."""
    pytest.importorskip("numba", reason="it comes with SpikeInterface: pip install nwbpipe[demo]")
    (tmp_path / "user.py").write_text(
        r"""
import importlib.util
assert importlib.util.find_spec("numba") is not None
import numba
@numba.jit(nopython=True, cache=False)
def double(x): return 2 * x
@numba.njit
def triple(x): return 3 * x
namespace = {"jit": numba.jit}
exec("@jit(nopython=True)\ndef no_file(x): return x", namespace)
assert (double(2), triple(2), namespace["no_file"](2)) == (4, 6, 2)
print("found", *(sum(function.stats.cache_hits.values()) for function in (double, triple)))
"""
    )
    words = [sys.executable, _worker.__file__, "--check", "user", "-"]
    for found in ("found 0 0", "found 1 1"):
        done = subprocess.run(words, env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert found in done.stdout
    assert len(list((tmp_path / "__pycache__").glob("user.*.nbi"))) == 2


def test_what_cannot_be_imported_fails(tmp_path: Path) -> None:
    with pytest.raises(ModuleNotFoundError):
        _worker.check("no_such_module_at_all", "-")
