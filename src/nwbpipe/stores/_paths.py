"""Relative paths: the only ones that files and records hold."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from functools import cache, lru_cache
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
    full_path = root / path
    if not full_path.resolve().is_relative_to(root.resolve()):
        msg = "a symbolic link leads out of the store"
        raise RequestError(
            msg,
            where=str(full_path),
            expected=f"a place below {root}",
            hint="declare the place that it leads to as a store, or as a further root of this one",
        )
    return full_path


def match_path(path: str, pattern: str) -> bool:
    """Return True if a relative path matches a pattern.

    ``*``, ``?`` and ``[abc]`` stand for parts of one name, ``**`` for any number of folders. As in a shell, a name
    that begins with a dot is matched only by a pattern that says so.
    """
    names, parts = path.split("/"), _split_pattern(pattern)

    @cache  # or many ** would try each division of a long path
    def match(at: int, part: int) -> bool:
        if at == len(names) or part == len(parts):
            return at == len(names) and part == len(parts)
        if parts[part] == "**":
            visible = next((n for n in range(at, len(names)) if names[n].startswith(".")), len(names) - 1)
            if part + 1 == len(parts):
                return any(match_name(n, "*") and n + 1 == len(names) for n in range(at, visible + 1))
            return any(match(n, part + 1) for n in range(at, visible + 1))
        return match_name(at, parts[part]) and match(at + 1, part + 1)

    def match_name(at: int, pattern: str) -> bool:
        hidden = names[at].startswith(".") and not pattern.startswith(".")
        return not hidden and fnmatchcase(names[at], pattern)

    return match(0, 0)


@lru_cache
def _split_pattern(pattern: str) -> tuple[str, ...]:
    return tuple(normalize_path(pattern).split("/"))


def literal_folder(text: str) -> str:
    """Return the folders at the beginning of a pattern that hold no wildcard."""
    fixed = []
    for part in normalize_path(text).split("/")[:-1]:
        if set(part) & set("*?["):
            break
        fixed.append(part)
    return "/".join(fixed)
