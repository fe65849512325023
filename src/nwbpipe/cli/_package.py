"""Write a lab's own package: the processor and the interface that the documentation shows, with their tests."""

from __future__ import annotations

import keyword
import re
from pathlib import Path

from nwbpipe.cli._pages import read_modules
from nwbpipe.errors import OverwriteError, RequestError

_MODULE = re.compile(r"\blab_(rms_compute|rms|encoder)\b")
_PROJECT = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "{distribution}"
version = "0.1.0"
description = "Processors and interfaces of our lab, for nwbpipe"
requires-python = ">=3.11"
dependencies = ["nwbpipe"]

[project.optional-dependencies]
dev = ["pytest>=8"]

# What nwbpipe finds once the package is installed; install it again after a new entry.
[project.entry-points."nwbpipe.processors"]
rms = "{name}.rms:Rms"

[project.entry-points."nwbpipe.interfaces"]
LabEncoderInterface = "{name}.encoder:LabEncoderInterface"

[tool.hatch.build.targets.wheel]
packages = ["src/{name}"]

[tool.pytest.ini_options]
testpaths = ["tests"]
"""
_README = """\
# {distribution}

Processors and interfaces of our lab, for nwbpipe. Begin with these two, and replace them:

- `src/{name}/rms.py`, a processor, and its computation `rms_compute.py` (`nwbpipe help write processor`)
- `src/{name}/encoder.py`, a data interface (`nwbpipe help write interface`)

        python -m pip install -e ".[dev]"
        python -m pytest
        nwbpipe processors rms
        nwbpipe interfaces LabEncoderInterface
"""
_WORKFLOW = """\
name: CI
on: [push, pull_request]
permissions: {contents: read}
jobs:
  test:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - uses: actions/setup-python@v5
        with: {python-version: "3.11"}
      - run: python -m pip install -e ".[dev]"
      - run: python -m pytest
"""


def write_package(folder: Path, name: str) -> None:
    """Write a package with a processor, an interface, tests and CI into a folder that is empty or new.

    Raises
    ------
    RequestError
        If the name can't be that of a Python package.
    OverwriteError
        If the folder holds something.
    """
    if not re.fullmatch(r"[a-z]([a-z0-9_]*[a-z0-9])?", name) or keyword.iskeyword(name) or name == "nwbpipe":
        expected = "small letters, digits and underscores between them, beginning with a letter; no word of Python"
        raise RequestError("that can't be the name of a package", expected=expected, found=name)
    if folder.is_dir() and any(folder.iterdir()):
        raise OverwriteError("the folder is not empty", where=str(folder), hint="choose another folder, or name")
    files = {
        "pyproject.toml": _PROJECT.format(name=name, distribution=name.replace("_", "-")),
        "README.md": _README.format(name=name, distribution=name.replace("_", "-")),
        ".github/workflows/ci.yml": _WORKFLOW,
        ".gitignore": "__pycache__/\n*.egg-info/\n.venv/\ndist/\n",
        f"src/{name}/__init__.py": '"""Processors and interfaces of our lab, for nwbpipe."""\n',
    }
    for page in ("how-do-i-write-a-processor", "how-do-i-write-an-interface"):
        for file, text in read_modules(page).items():
            home = "tests/" if file.startswith("test_") else f"src/{name}/"
            files[home + file.replace("lab_", "")] = _MODULE.sub(rf"{name}.\1", text)
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
