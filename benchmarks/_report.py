"""Tables in Markdown, with medians and spread; the machine they were measured on."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from statistics import median


def note(text: str = "") -> None:
    print(text, flush=True)


def machine() -> None:
    """Say where the figures come from."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("nwbpipe", "neuroconv", "pynwb", "h5py", "numpy"))
    load = f"; load average at the start {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    python = f"Python {platform.python_version()}"
    note(
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, {_memory()}, {python}; {packages}{load}."
    )


def _memory() -> str:
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return "memory unknown"
    return f"{total / 1e9:.0f} GB of memory"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a Markdown table, each row as it comes."""
    for row in (header, ["---"] * len(header)):
        note("| " + " | ".join(row) + " |")
    for row in rows:
        note("| " + " | ".join(row) + " |")


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Median, and the range in brackets where there is more than one."""
    text = f"{median(values):.{digits}f}"
    return f"{text} ({min(values):.{digits}f}–{max(values):.{digits}f}, n={len(values)})" if len(values) > 1 else text
