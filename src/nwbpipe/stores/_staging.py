"""A folder for tools and readers that demand one: links to what is local, copies of what is remote.

The folder lives in scratch as long as its owner: a lock of the operating system's says that the owner lives. Whoever
stages next removes what dead owners left.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock, Timeout

from nwbpipe.disk import remove_file, remove_folder
from nwbpipe.errors import FileAccessError, NwbpipeError
from nwbpipe.machine import locate_private_folder, make_private_folder, temporary_folder
from nwbpipe.stores._cache import CachedFile
from nwbpipe.stores._local import LocalStore
from nwbpipe.stores._paths import normalize_path, resolve_inside
from nwbpipe.stores._store import Store
from nwbpipe.stores.s3 import public_url

VARIABLE = "NWBPIPE_SCRATCH"
_PREFIX = "stage-"


def scratch_folder() -> Path:
    """Folder of unfinished work: ``NWBPIPE_SCRATCH``, or the user's own in the temporary folder; it is made.

    Raises
    ------
    FileAccessError
        It can't be made, or another user could have prepared it.
    """
    path, is_named = _name_scratch()
    return make_private_folder(path, variable=VARIABLE, named=is_named)


def _name_scratch() -> tuple[Path, bool]:
    """Return the folder of unfinished work, and whether the user named it."""
    named = os.environ.get(VARIABLE)
    return (Path(named), True) if named else (temporary_folder("nwbpipe"), False)


class Stage:
    """A folder of one's own, with files of stores in it, removed at the end.

    As a context manager; the name is fixed from the beginning, the folder is made on entry.

    Parameters
    ----------
    scratch : Path, optional
        Where to make it; default `scratch_folder()`.
    progress : callable, optional
        Called with a fraction (0 to 1) and a text while something is downloaded.

    Attributes
    ----------
    folder : Path
        The folder.
    origins : dict
        URL, tag and size of what was downloaded, by its path in the folder.

    Examples
    --------
    >>> import tempfile
    >>> from nwbpipe.stores import open_store
    >>> raw, out = open_store("memory://stage-doc/raw"), open_store("memory://stage-doc/out")
    >>> _ = raw.write_bytes("m1/a.txt", b"text")
    >>> with Stage(scratch=Path(tempfile.mkdtemp())) as stage:
    ...     folder = stage.place(raw, "m1")
    ...     _ = (folder / "result.txt").write_text((folder / "a.txt").read_text().upper())
    ...     stage.capture("m1/result.txt", out, "m1.txt")
    ['m1.txt']
    >>> out.read_bytes("m1.txt")
    b'TEXT'
    """

    def __init__(self, *, scratch: Path | None = None, progress: Callable[[float, str], None] | None = None) -> None:
        path, is_named = _name_scratch()
        self._is_default = scratch is None
        self._scratch = scratch or locate_private_folder(path, named=is_named)
        self.folder = self._scratch / f"{_PREFIX}{os.getpid()}-{secrets.token_hex(6)}"
        self._progress = progress
        self._held: list[CachedFile] = []
        self._placed: set[str] = set()
        self.origins: dict[Path, tuple[str, str, int]] = {}
        self._lock = FileLock(self._scratch / f"{self.folder.name}.lock")

    def __enter__(self) -> Stage:
        try:
            if self._is_default:
                scratch_folder()
            self._scratch.mkdir(parents=True, exist_ok=True, mode=0o700)
            remove_leftovers(self._scratch)
            self._lock.acquire(timeout=0)
            self.folder.mkdir(mode=0o700)
        except OSError as error:
            msg = f"no folder can be made in scratch: {error.strerror or error}"
            raise FileAccessError(
                msg, where=str(self._scratch), hint="set NWBPIPE_SCRATCH to a folder with space and permission"
            ) from error
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._held:
            file.close()
        remove_folder(self.folder)
        self._lock.release()
        remove_file(Path(self._lock.lock_file))

    def place(self, store: Store, path: str, name: str | None = None) -> Path:
        """Make a file of a store, or all files below a folder of it, be in this folder; return where.

        Local files are linked (symbolic links; copied where the system allows none); remote ones are downloaded
        once, into the cache, and linked from there. Folders are real ones, so that a tool may write beside its
        input.

        Parameters
        ----------
        store, path
            What to place.
        name : str, optional
            Relative path in the folder; `path` itself by default.

        Raises
        ------
        FileAccessError
            If it is not there, or can't be read, or there is no space.
        """
        plain, target = normalize_path(path), normalize_path(path if name is None else name)
        if self._is_file(store, plain):
            self._place_one(store, plain, target)
        else:
            entries = list(store.list(plain))
            if not entries:
                raise FileAccessError(
                    "no such file or folder", where=public_url(store.location(plain)), hint="check the path"
                )
            for number, entry in enumerate(entries):
                self._report(number / len(entries), entry.path)
                self._place_one(store, entry.path, target + entry.path[len(plain) :])
        return self.folder / target

    def capture(self, name: str, store: Store, path: str, *, if_absent: bool = False) -> list[str]:
        """Copy what a tool left in the folder back into a store; return the paths there.

        Parameters
        ----------
        name : str
            A file in the folder; or a folder, of which all but what was placed there is taken.
        store, path
            Where to.
        if_absent : bool
            Only if it is not there: see `Store.write_bytes`.

        Raises
        ------
        FileAccessError
            If it is not there, or can't be written.
        ConflictError
            If `if_absent` does not hold.
        RequestError
            If a link in it leads out of the folder.
        """
        plain = normalize_path(name)
        source = resolve_inside(self.folder, plain)
        if source.is_file():
            store.put_file(source, path, if_absent=if_absent)
            return [normalize_path(path)]
        if not source.is_dir():
            raise FileAccessError("the tool did not leave it", where=str(source), expected="a file or folder")
        folder_store = LocalStore(self.folder)
        paths = [item.path for item in folder_store.list(plain) if item.path not in self._placed]
        for item in paths:
            store.put_file(
                resolve_inside(self.folder, item), normalize_path(path) + item[len(plain) :], if_absent=if_absent
            )
        return [normalize_path(path) + item[len(plain) :] for item in paths]

    # ------------------------------------------------------------------------------------------------------

    def _is_file(self, store: Store, path: str) -> bool:
        local = store.local_path(path)
        if local is not None:
            return local.is_file()
        try:
            store.stat(path)
        except NwbpipeError:
            return False
        return True

    def _place_one(self, store: Store, path: str, target: str) -> None:
        destination = resolve_inside(self.folder, target)
        destination.parent.mkdir(parents=True, exist_ok=True)
        self._placed.add(target)
        local = store.local_path(path)
        if local is None:
            cached = CachedFile(store.open_ranged(path), public_url(store.location(path)))
            self._held.append(cached)
            _link_file(cached.fetch_whole(lambda done: self._report(done, path)), destination, hard=True)
            self.origins[destination] = (store.location(path), cached.tag, cached.size)
        else:
            _link_file(local.resolve(), destination, hard=False)

    def _report(self, fraction: float, text: str) -> None:
        if self._progress is not None:
            self._progress(fraction, text)


def _link_file(source: Path, place: Path, *, hard: bool) -> None:
    """Link a file.

    A tool that resolves a symbolic link finds the original, with what lies beside it there. What is in the cache has
    nothing beside it, hence the hard link.
    """
    with contextlib.suppress(OSError):
        if hard:
            os.link(source, place)
            return
    try:
        place.symlink_to(source)
    except FileExistsError:
        raise
    except OSError:  # Windows, without the right to make links
        shutil.copyfile(source, place)


def remove_leftovers(scratch: Path) -> list[Path]:
    """Remove the folders in scratch whose owners are dead; return them."""
    removed = []
    for lock_path in scratch.glob(f"{_PREFIX}*.lock"):
        lock = FileLock(lock_path)
        try:
            lock.acquire(timeout=0)
        except (Timeout, OSError):
            continue
        folder = lock_path.with_suffix("")
        if remove_folder(folder):
            removed.append(folder)
        remove_file(lock_path)
        lock.release()
    return removed
