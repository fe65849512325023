"""Relative paths: the only ones that files and records hold."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from nwbpipe.errors import RequestError

OURS = ".nwbpipe-"  # beginning of the names of what a store puts beside the files; never listed


def normalize_path(path: str, *, empty: bool = False) -> str:
    """Return a relative path in its plain form (``a/b``).

    Parameters
    ----------
    path : str
        With ``/`` between its parts.
    empty : bool
        Whether it may be empty: the root itself.

    Raises
    ------
    RequestError
        If it is absolute, leads upwards, or holds what no path may hold.
    """
    parts = PurePosixPath(path).parts
    if "\0" in path or "\\" in path or path.startswith("/") or ".." in parts or re.match(r"[A-Za-z]:", path):
        msg = "the path leads outside its store, or may"
        raise RequestError(
            msg, where=path, expected="a relative path without ..", hint="give the path below the store's root"
        )
    if not parts and not empty:
        msg = "the path is empty"
        raise RequestError(msg, expected="a path below the store's root", hint="name a file")
    return "/".join(parts)


def resolve_inside(root: Path, path: str) -> Path:
    """Return where a relative path is below a local root; symbolic links may not lead out of it.

    Raises
    ------
    RequestError
        If one does.
    """
    place = root / path
    if not place.resolve().is_relative_to(root.resolve()):
        msg = "a symbolic link leads out of the store"
        raise RequestError(
            msg,
            where=str(place),
            expected=f"a place below {root}",
            hint="declare the place that it leads to as a store, or as a further root of this one",
        )
    return place


def compile_pattern(text: str) -> re.Pattern[str]:
    """Return what matches the paths that a pattern means.

    ``*`` and ``?`` stand for names or parts of one, ``**`` for any number of folders. As in a shell, what begins
    with a dot is meant only by a pattern that says so.
    """
    parts = []
    for part in normalize_path(text).split("/"):
        if part == "**":
            parts.append(r"(?:(?!\.)[^/]+/)*")
            continue
        piece = re.sub(r"\\([*?])|\*|\?", _wildcard_regex, re.escape(part))
        parts.append(("" if part.startswith(".") else r"(?!\.)") + piece + "/")
    whole = "".join(parts)
    return re.compile(whole.removesuffix("/") if whole.endswith("/") else whole + "[^/]+", re.DOTALL)


def _wildcard_regex(found: re.Match[str]) -> str:
    return "[^/]*" if found[0].endswith("*") else "[^/]"


def literal_folder(text: str) -> str:
    """Return the folders at the beginning of a pattern that hold no wildcard."""
    fixed = []
    for part in normalize_path(text).split("/")[:-1]:
        if "*" in part or "?" in part:
            break
        fixed.append(part)
    return "/".join(fixed)
