"""Run with a tool's Python: print its version and its packages as JSON. Standard library only, Python 3.9."""

from __future__ import annotations

import json
import platform
import re
import sys
from importlib.metadata import distributions
from pathlib import Path
from typing import Any


def describe() -> dict[str, Any]:
    """Return the version of Python, the version of each package by canonical name, and torch's version of CUDA.

    No package is imported: that would take seconds.
    """
    return {"python": platform.python_version(), "packages": list_packages(sys.path), "cuda": torch_cuda()}


def list_packages(folders: list[str]) -> dict[str, str]:
    """Return the version of each package in folders of packages, by canonical name."""
    packages: dict[str, str] = {}
    for distribution in distributions(path=folders):
        name = distribution.metadata["Name"]
        if name:
            packages.setdefault(re.sub(r"[-_.]+", "-", name).lower(), distribution.version)
    return dict(sorted(packages.items()))


def torch_cuda() -> str | None:
    """Return the version of CUDA that the installed torch is built for; None without torch, or without CUDA."""
    for entry in sys.path:
        file = Path(entry or ".") / "torch" / "version.py"
        if file.is_file():
            match = re.search(r"^cuda\b[^=]*= *['\"]([\d.]+)['\"]", file.read_text(encoding="utf-8"), re.MULTILINE)
            return match.group(1) if match else None
    return None


if __name__ == "__main__":
    print(json.dumps(describe()))
