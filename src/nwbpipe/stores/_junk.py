"""Files that operating systems and editors leave in folders: no data, in any format."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_JUNK = re.compile(
    r"\._.*|\.DS_Store|\.AppleDouble|\.Spotlight-V100|\.Trashes|\.fseventsd|\.TemporaryItems"  # macOS
    r"|Thumbs\.db|ehthumbs\.db|desktop\.ini|\$RECYCLE\.BIN|System Volume Information"  # Windows
    r"|\.nfs[0-9a-f]+|\.fuse_hidden[0-9a-f]+|\.directory|\.Trash-\d+"  # Linux
    r"|.*~|\.#.*|#.*#|\..*\.sw[a-p]|\.~lock\..*#|~\$.*",  # editors
    re.IGNORECASE,
)
_lock = threading.Lock()
_depth = 0
_hidden: list[tuple[str, str]] = []
_originals: tuple[Callable[..., Any], Callable[..., Any]] | None = None


def is_junk(name: str) -> bool:
    """Return True if a file or folder of that name is left by an operating system or an editor.

    Parameters
    ----------
    name : str
        The last part of a path: ``.DS_Store``, ``._run1.meta``, ``Thumbs.db``, ``trials.csv~``.
    """
    return _JUNK.fullmatch(name) is not None


@contextmanager
def hide_junk(*also: Path) -> Iterator[None]:
    """Hide such files, and those named, from every listing of a folder while the block lasts.

    Readers search folders themselves, and take ``._run1.meta`` for a header. `os.listdir` and `os.scandir`, which
    `os.walk`, `glob` and `pathlib` use, leave junk out in the block, in all threads. A listing of an open folder
    (by its descriptor, as `shutil.rmtree` does) is complete.
    """
    global _depth, _originals
    hidden = [(os.fspath(path.parent), path.name) for path in also]
    with _lock:
        _hidden.extend(hidden)
        if _depth == 0:
            _originals = (os.listdir, os.scandir)
            os.listdir, os.scandir = _list_clean(os.listdir), _scan_clean(os.scandir)
        _depth += 1
    try:
        yield
    finally:
        with _lock:
            _depth -= 1
            for item in hidden:
                _hidden.remove(item)
            if _depth == 0 and _originals is not None:
                os.listdir, os.scandir = _originals
                _originals = None


def _is_hidden(folder: Any, name: str | bytes) -> bool:
    text = os.fsdecode(name)
    return is_junk(text) or (bool(_hidden) and (os.fsdecode("." if folder is None else folder), text) in _hidden)


def _list_clean(listdir: Callable[..., Any]) -> Callable[..., Any]:
    def clean(path: Any = None) -> Any:
        names = listdir() if path is None else listdir(path)
        return names if isinstance(path, int) else [name for name in names if not _is_hidden(path, name)]

    return clean


def _scan_clean(scandir: Callable[..., Any]) -> Callable[..., Any]:
    def clean(path: Any = None) -> Any:
        entries = scandir() if path is None else scandir(path)
        return entries if isinstance(path, int) else _CleanEntries(entries, path)

    return clean


class _CleanEntries:
    """An iterator of `os.scandir` without junk."""

    def __init__(self, entries: Any, folder: Any) -> None:
        self._entries, self._folder = entries, folder

    def __iter__(self) -> _CleanEntries:
        return self

    def __next__(self) -> Any:
        while _is_hidden(self._folder, (entry := next(self._entries)).name):
            pass
        return entry

    def __enter__(self) -> _CleanEntries:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._entries.close()
