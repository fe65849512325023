"""Every interface that is listed meets files that are none of its format: nothing runs, connects or writes."""

from __future__ import annotations

import inspect
import json
import os
import pickle
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from nwbpipe.converters.interfaces import interface_class, interface_names
from nwbpipe.errors import NwbpipeError
from tests.converters.interfaces.test_foreign_code import MARK, Evil, convert
from tests.faults.fuzzing import Broken, held_to_promise

ROOT = Path(__file__).resolve().parents[3]
_LINKED = {"ExternalVideoInterface"}  # is never opened without its option `video`
_SUFFIXES = (".bin", ".npy", ".h5", ".pickle", ".csv", ".mat", ".tif", ".rhd", ".nwb")


@pytest.fixture(scope="module")
def garbage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("garbage")
    for suffix in _SUFFIXES:
        (folder / f"x{suffix}").write_bytes(pickle.dumps(Evil(), 0))
    (folder / "params.py").write_text(f"import os; os.system('touch {MARK}')\n")
    with zipfile.ZipFile(folder / "x.npz", "w") as archive:
        archive.writestr("a.npy", pickle.dumps(Evil()))
    return folder


def _guess_arguments(name: str, folder: Path) -> dict[str, Any]:
    """Return a file or the folder for each argument that names one."""
    arguments: dict[str, Any] = {}
    for key, parameter in inspect.signature(interface_class(name)).parameters.items():
        if key.endswith(("file_path", "video_file_path")):
            arguments[key] = folder / "x.h5"
        elif key.endswith("file_paths"):
            arguments[key] = [folder / "x.bin"]
        elif key.endswith("folder_path"):
            arguments[key] = folder
        elif parameter.default is parameter.empty and key in ("sampling_frequency", "sampling_rate"):
            arguments[key] = 30.0
    return arguments


def find_broken_promises(garbage: Path, folder: Path) -> list[str]:
    """Give every interface the files, and return what went wrong; `folder` is to stay empty."""
    os.chdir(folder)
    tempfile.gettempdir()  # tries the folder once, by a file
    broken: list[str] = []
    for name in sorted({*interface_names()} - _LINKED):
        arguments = _guess_arguments(name, garbage)
        for _ in range(2):  # the first time imports, and some packages write caches
            try:
                with held_to_promise(folder):
                    convert(garbage, name, **arguments)
            except NwbpipeError:
                problem = ""
            except Broken as error:
                problem = f"{name}: {error}"
            except Exception as error:  # a guard that trips over them: an error of nwbpipe is due
                problem = f"{name}: {type(error).__name__}: {error}"
            else:
                problem = ""
        if problem:
            broken.append(problem)
    return broken


def test_no_interface_runs_what_it_can_not_read(garbage: Path, tmp_path: Path) -> None:
    """In a process of its own, which writes no bytecode: imports of a fresh environment are none of its business."""
    code = f"import json; from pathlib import Path; from {__name__} import find_broken_promises as find; "
    code += f"print(); print(json.dumps(find(Path({str(garbage)!r}), Path({str(tmp_path)!r}))))"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    done = subprocess.run(
        [sys.executable, "-B", "-W", "ignore", "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == []
    assert list(tmp_path.iterdir()) == []
