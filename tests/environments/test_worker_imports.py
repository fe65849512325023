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


def run_user(folder: Path) -> str:
    words = [sys.executable, _worker.__file__, "--check", "user", "-"]
    done = subprocess.run(words, env={"PYTHONPATH": str(folder)}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """A folder of installed packages."""
    pytest.importorskip("numba", reason="it comes with SpikeInterface: pip install nwbpipe[demo]")
    folder = tmp_path / "site-packages"
    (folder / "helper-1.0.dist-info").mkdir(parents=True)
    return folder


def test_compiled_code_is_kept_for_the_next_run(packages: Path) -> None:
    """A library may look for numba before it imports it, and may ask for no code to be kept."""
    (packages / "user.py").write_text(
        r"""
import importlib.util
assert importlib.util.find_spec("numba") is not None
import numba
@numba.jit(nopython=True, cache=False)
def double(x): return 2 * x
@numba.njit
def triple(x): return 3 * x
def make(function):
    @numba.njit
    def inner(x): return function(x)
    return inner
namespace = {"jit": numba.jit}
exec("@jit(nopython=True)\ndef no_file(x): return x", namespace)
assert (double(2), triple(2), make(double)(2), namespace["no_file"](2)) == (4, 6, 4, 2)
print("found", *(sum(function.stats.cache_hits.values()) for function in (double, triple)))
"""
    )
    assert "found 0 0" in run_user(packages)
    kept = sorted((packages / "__pycache__").glob("user.*.nb?"))
    assert len(kept) == 4
    assert "found 1 1" in run_user(packages)
    assert sorted((packages / "__pycache__").glob("user.*.nb?")) == kept


def test_code_that_another_file_was_compiled_into_is_not_kept_when_that_changes(packages: Path) -> None:
    """Numba looks at the file of a function alone."""
    (packages / "helper.py").write_text("import numba\n@numba.njit\ndef scale(x): return 2 * x\n")
    (packages / "user.py").write_text(
        "import numba\nfrom helper import scale\n@numba.njit\ndef f(x): return scale(x)\nprint('value', f(3))\n"
    )
    assert "value 6" in run_user(packages)
    (packages / "helper.py").write_text("import numba\n@numba.njit\ndef scale(x): return 50 * x\n")
    (packages / "helper-1.0.dist-info").rename(packages / "helper-1.1.dist-info")  # it was upgraded
    assert "value 150" in run_user(packages)


def test_no_code_is_kept_of_a_source_that_is_not_installed(packages: Path) -> None:
    checkout = packages.rename(packages.with_name("checkout"))
    (checkout / "user.py").write_text("import numba\n@numba.njit\ndef f(x): return x\nprint('value', f(3))\n")
    assert "value 3" in run_user(checkout)
    assert not list(checkout.glob("__pycache__/*.nb?"))


def test_what_cannot_be_imported_fails(tmp_path: Path) -> None:
    with pytest.raises(ModuleNotFoundError):
        _worker.check("no_such_module_at_all", "-")
