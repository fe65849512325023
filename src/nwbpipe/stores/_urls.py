"""URLs of files that are not on this machine, and the stores that other packages offer for their schemes."""

from __future__ import annotations

import re
import sys
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

STORE_GROUP = "nwbpipe.stores"
SCHEMES = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "http", "https", "ftp", "file", "memory"}
#: Extras with which a store of that scheme can be written.
EXTRAS = {"az": "azure", "gs": "google", "gcs": "google"}
_WITH_TWO_SLASHES = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_WITH_ONE_SLASH = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/")  # `Path("s3://bucket/key")` drops the other


def is_remote(path: object) -> bool:
    """Return True if a path is a URL, of whatever kind; an open file is not."""
    if not isinstance(path, str | Path):
        return False
    text = str(path)
    if _WITH_TWO_SLASHES.match(text):
        return True
    match = _WITH_ONE_SLASH.match(text)
    return match is not None and is_scheme(match[1])


def is_scheme(name: str) -> bool:
    """Return True if ``name://`` begins a URL; else it is the address of a named store, such as ``raw://``."""
    return name in SCHEMES or name in store_entry_points()


def store_entry_points() -> dict[str, EntryPoint]:
    """Return the entry points of the group ``nwbpipe.stores``, by scheme."""
    return _find_entry_points(tuple(sys.path))


@lru_cache(maxsize=4)
def _find_entry_points(_path: tuple[str, ...]) -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=STORE_GROUP)}


def canonical_url(url: Path | str) -> str:
    """Return a URL in its usual form: `Path` drops one of two slashes."""
    return re.sub(r"^([A-Za-z][A-Za-z0-9+.-]+):/+", r"\1://", str(url))


def public_url(url: Path | str) -> str:
    """Return an address without a user name, a password or a signature in it."""
    return re.sub(r"//[^/@]*@", "//…@", str(url).partition("?")[0])
