"""Which files a reader may open: those of its source, and those of the programs. A raw file may name any other."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterable
from functools import cache
from pathlib import Path

_SYSTEM = ("/usr", "/lib", "/lib64", "/etc", "/proc", "/sys", "/dev", "/System", "/Library")


class ReadScope:
    """The files that may be opened for reading.

    Parameters
    ----------
    sources : iterable of Path
        Raw files and folders. What lies below their folders may be read, and files directly in a folder above them
        (``settings.xml``).
    roots : iterable of Path
        Folders that must not be left by a link, nor upwards.
    """

    def __init__(self, sources: Iterable[Path], roots: Iterable[Path]) -> None:
        self._folders = tuple({str(path if path.is_dir() else path.parent) for path in sources})
        self._roots = tuple({text for root in roots for text in (str(root), os.path.realpath(root))})

    def holds(self, path: str) -> bool:
        """Return True if a reader may open a path."""
        path = os.path.abspath(path)  # noqa: PTH100 - links stay as they are
        if path.startswith(("/proc/", "/dev/")):  # links there lead to any file: /proc/self/root
            path = os.path.realpath(path)
            if path.endswith("/environ"):
                return False
        if _is_below(path, _program_folders(tuple(sys.path))):
            return True
        if not _is_below(path, self._folders):
            folder = os.path.dirname(path)  # noqa: PTH120 - called for each file that is opened
            if not any(_is_below(source, (folder,)) for source in self._folders) or not _is_below(path, self._roots):
                return False
        return _is_below(os.path.realpath(path), self._roots) or not os.path.exists(path)  # noqa: PTH110

    def __or__(self, other: ReadScope) -> ReadScope:
        """Return the scope of several sources."""
        scope = ReadScope((), ())
        scope._folders = (*self._folders, *other._folders)
        scope._roots = (*self._roots, *other._roots)
        return scope


def _is_below(path: str, folders: Iterable[str]) -> bool:
    return any(path == folder or path.startswith(folder.rstrip("/\\") + os.sep) for folder in folders)


@cache
def _program_folders(import_path: tuple[str, ...]) -> tuple[str, ...]:
    """Return the folders of Python, of its packages, of the system, and of their caches."""
    home = Path.home()
    folders = {
        *(path for path in import_path if path and Path(path).is_absolute()),
        *(sys.prefix, sys.base_prefix, sys.exec_prefix, *sysconfig.get_paths().values(), *_SYSTEM),
        os.environ.get("XDG_CACHE_HOME") or str(home / ".cache"),
        *(str(home / ".config" / name) for name in ("matplotlib", "dask", "nwbpipe")),
        *(os.environ[name] for name in ("NWBPIPE_CACHE", "SystemRoot") if os.environ.get(name)),
        str(Path(__file__).parents[2]),
    }
    return tuple(folder for folder in folders if folder not in ("/", str(home)))
