"""List the locked packages with their versions and licences: ``python -m tests.licences`` (``make licences``)."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

_LOCK = Path(__file__).parents[1] / "locks" / "dev.txt"


def find_licence(name: str) -> str:
    """Return the licence that an installed package states; nothing if it is not installed."""
    try:
        info = metadata(name)
    except PackageNotFoundError:
        return "not installed"
    classifiers = [text.rpartition(" :: ")[2] for text in info.get_all("Classifier") or () if "License ::" in text]
    stated = info.get("License-Expression") or "; ".join(classifiers) or info.get("License") or "unknown"
    return " ".join(stated.split())[:80]


def main() -> None:
    """Print a table."""
    for name, version in re.findall(
        r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", _LOCK.read_text(encoding="utf-8"), re.MULTILINE
    ):
        print(f"{name:<36} {version:<16} {find_licence(name)}")


if __name__ == "__main__":
    main()
