"""Run with a tool's Python: print its version and its packages as JSON. Standard library only, Python 3.9."""

from __future__ import annotations

import json
import platform
import re
from importlib.metadata import distributions
from typing import Any


def describe() -> dict[str, Any]:
    """Return the version of Python and of each package, by canonical name."""
    packages: dict[str, str] = {}
    for distribution in distributions():
        name = distribution.metadata["Name"]
        if name:
            packages.setdefault(re.sub(r"[-_.]+", "-", name).lower(), distribution.version)
    return {"python": platform.python_version(), "packages": dict(sorted(packages.items()))}


if __name__ == "__main__":
    print(json.dumps(describe()))
