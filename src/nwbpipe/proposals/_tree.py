"""List a folder of raw data: its files, what can't be read, and what has been recognised."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from nwbpipe.disk import kind_of
from nwbpipe.errors import NwbpipeError, RequestError
from nwbpipe.stores import is_junk

MAX_FILES = 200_000
_OURS = {"session.yaml", "nwbpipe.toml", ".nwbpipe"}
_STORES = (".zarr", ".sima")  # folders that are one thing


@dataclass
class RawTree:
    """The files of a folder of raw data.

    Attributes
    ----------
    root : Path
        The folder.
    files : list of Path
        Regular files below it, sorted; those that are left out are in `unreadable` or `ignored`.
    stores : list of Path
        Folders that are one array store: ``A.zarr``.
    unreadable : dict of Path to str
        What can't be read, with the reason.
    ignored : dict of Path to str
        Files that are no raw data: NWB files, specs.
    claimed : dict of Path to str
        Files that belong to a recognised stream, with its name, and those of `dismissed`.
    dismissed : dict of Path to str
        Files that are no stream, with the reason.
    """

    root: Path
    files: list[Path] = field(default_factory=list)
    stores: list[Path] = field(default_factory=list)
    unreadable: dict[Path, str] = field(default_factory=dict)
    ignored: dict[Path, str] = field(default_factory=dict)
    claimed: dict[Path, str] = field(default_factory=dict)
    dismissed: dict[Path, str] = field(default_factory=dict)

    def free(self, *suffixes: str) -> list[Path]:
        """Return the files that nothing has claimed; those of some endings (in lower case), if any are given."""
        return [
            path
            for path in self.files
            if path not in self.claimed and (not suffixes or path.name.lower().endswith(suffixes))
        ]

    def in_folder(self, folder: Path) -> list[Path]:
        """Return the files directly in a folder."""
        return [path for path in self.files if path.parent == folder]

    def below(self, folder: Path) -> list[Path]:
        """Return the files anywhere below a folder."""
        return [path for path in self.files if path.is_relative_to(folder)]

    def claim(self, paths: Iterable[Path], owner: str) -> None:
        """Note what files belong to; the first owner stays."""
        for path in paths:
            self.claimed.setdefault(path, owner)

    def dismiss(self, paths: Iterable[Path], reason: str) -> None:
        """Note why files are no stream; those that belong to one stay with it."""
        for path in paths:
            if path not in self.claimed:
                self.claimed[path] = self.dismissed[path] = reason

    @contextmanager
    def note_errors(self, path: Path) -> Iterator[None]:
        """Note a file that a look at it fails on, and go on with the others: files come from strangers."""
        try:
            yield
        except NwbpipeError as error:
            self.unreadable[path] = error.problem.what
        except Exception as error:  # readers raise nearly anything on a damaged file
            text = " ".join(str(error).split())[:150]
            self.unreadable[path] = f"can't be read ({type(error).__name__}: {text})"

    def shorten(self, path: Path) -> str:
        """Return a path relative to the folder."""
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else path.name


def list_tree(root: Path) -> RawTree:
    """List a folder; links that lead out of it, pipes and files without permission are noted, not opened.

    Raises
    ------
    RequestError
        It is not a folder, or holds more files than a session.
    """
    if not root.is_dir():
        raise RequestError("there is no such folder", where=str(root), expected="a folder of raw data")
    tree = RawTree(root)
    real_root = root.resolve()
    for folder, status in _walk(tree, root, real_root):
        if len(tree.files) >= MAX_FILES:
            raise RequestError(
                "the folder holds more files than a session",
                where=str(root),
                expected=f"at most {MAX_FILES} files",
                hint="name the folder of one session; for many: nwbpipe new --project FOLDER",
            )
        _add_file(tree, folder, status)
    tree.files.sort()
    tree.stores.sort()
    return tree


def _walk(tree: RawTree, root: Path, real_root: Path) -> Iterator[tuple[Path, os.stat_result]]:
    def note(error: OSError) -> None:
        tree.unreadable[Path(str(error.filename))] = error.strerror or "can't be read"

    for folder, names, files in os.walk(root, onerror=note):
        parent = Path(folder)
        subfolders = []
        for name in sorted(names):
            path = parent / name
            if name.startswith(".") or is_junk(name) or name in _OURS:
                continue
            if path.is_symlink() and not path.resolve().is_relative_to(real_root):
                tree.unreadable[path] = "a link that leads out of the folder"
            elif name.lower().endswith(_STORES):
                tree.stores.append(path)
            else:
                subfolders.append(name)
        names[:] = subfolders
        for name in files:
            path = parent / name
            if is_junk(name) or name.startswith("."):
                continue
            if path.is_symlink() and not path.resolve().is_relative_to(real_root):
                tree.unreadable[path] = "a link that leads out of the folder"
                continue
            try:
                yield path, path.stat()
            except OSError as error:
                tree.unreadable[path] = error.strerror or "can't be read"


def _add_file(tree: RawTree, path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        tree.unreadable[path] = kind_of(status.st_mode)
    elif path.name in _OURS or path.suffix.lower() == ".nwb":
        tree.ignored[path] = "an NWB file" if path.suffix.lower() == ".nwb" else "of nwbpipe"
    elif not status.st_size:
        tree.unreadable[path] = "empty"
    elif not os.access(path, os.R_OK):
        tree.unreadable[path] = "no permission to read it"
    else:
        tree.files.append(path)
