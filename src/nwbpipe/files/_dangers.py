"""What a stranger's HDF5 file would make its reader do: found in its structure, before any value is read.

HDF5 fetches values from elsewhere without saying so: a dataset's raw bytes lie in any file ("external storage"), it
is put together out of the datasets of other files ("virtual"), a link leads into another file. A file of a few
kilobytes declares 10¹² values, unpacks to gigabytes, or nests groups until its readers crash.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import h5py

DEPTH = 100  # of groups in groups
ATTRIBUTES = 5_000  # of an object
ATTRIBUTE_BYTES = 64 * 2**20
UNWRITTEN_BYTES = 4 * 2**30  # of values that are declared and not stored
LARGE_BYTES = 2**30  # below this, what is stored is not counted
CHUNK_BYTES = 256 * 2**20  # above this, what a chunk unpacks to is compared with what is stored
UNPACKED = 200  # times the stored bytes of such a chunk
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
FILES = 100  # that links lead to
_MOST = 100  # dangers that are told
_LISTING_S = 1.0  # each text in a broken heap may take HDF5 a second


@dataclass(frozen=True)
class Danger:
    """A property of a file that makes it unsafe to read.

    Attributes
    ----------
    what : str
        The danger, in one line.
    where : str
        Path of the object.
    found : str
        The value that is not as it should be.
    """

    what: str
    where: str
    found: str


class DangerFinder:
    """Walk over the structure of a file; values are not read.

    Parameters
    ----------
    folder : Path, optional
        The folder that everything has to lie in. None for a file at a URL: nothing may lie outside of such a file.

    Attributes
    ----------
    leads_elsewhere : bool
        True once a part of the file was seen to lie in another file: the other file may change.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = None if folder is None else folder.resolve()
        self._files: set[Path] = set()
        self.leads_elsewhere = False

    def list_first(self, file: h5py.File) -> list[Danger]:
        """Return the first 100 dangers of an open file, or those found within a second of CPU after the first."""
        dangers: list[Danger] = []
        end = 0.0
        for danger in islice(self.find(file), _MOST):
            end = end or time.process_time() + _LISTING_S
            dangers.append(danger)
            if time.process_time() > end:
                break
        return dangers

    def find(self, file: h5py.File) -> Iterator[Danger]:
        """Yield the dangers of an open file, and of the files of its folder that it leads to."""
        size = file.id.get_filesize()
        visited: set[int] = set()
        root = h5py.h5o.open(file.id, b"/")
        pending: list[tuple[str, h5py.ObjectID, tuple[int, ...]]] = [("/", root, ())]
        while pending:
            path, item, above = pending.pop()
            info = h5py.h5o.get_info(item)
            address = int(info.addr)
            if address in visited:
                continue
            visited.add(address)
            yield from _find_in_attributes(path, item)
            if isinstance(item, h5py.h5d.DatasetID):
                try:
                    yield from self._find_in_dataset(path, item, size)
                except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
                    yield Danger("a dataset can't be read", path, f"{type(error).__name__}: {error}")
            elif isinstance(item, h5py.h5g.GroupID):
                if len(above) > DEPTH:
                    yield Danger("groups are nested too deeply", path, f"more than {DEPTH} levels")
                    continue
                for name in item:
                    text = f"{path.rstrip('/')}/{name.decode('utf-8', 'backslashreplace')}"
                    target = yield from self._open_target(item, name, text)
                    if target is None:
                        continue
                    if int(h5py.h5o.get_info(target).addr) in (*above, address):
                        yield Danger("a group lies within itself", text, "a link to a group above it")
                    else:
                        pending.append((text, target, (*above, address)))

    def _open_target(
        self, group: h5py.h5g.GroupID, name: bytes, path: str
    ) -> Generator[Danger, None, h5py.ObjectID | None]:
        """Return the object that a link of a group leads to within the file; None if it leads nowhere."""
        kind = group.links.get_info(name).type
        if kind == h5py.h5l.TYPE_EXTERNAL:
            file_name, _ = group.links.get_val(name)
            yield from self._find_elsewhere(
                "a link leads out of the folder of the file", path, os.fsdecode(file_name)
            )
            return None
        try:
            return h5py.h5o.open(group, name)
        except (KeyError, OSError, RuntimeError, ValueError) as error:
            if kind == h5py.h5l.TYPE_SOFT:
                if "too many" in str(error).lower():
                    yield Danger("a link leads back to itself", path, "soft links in a circle")
                return None  # to nothing: that is a finding of `check`, and harms nobody
            return None  # nobody can open it

    def _find_in_dataset(self, path: str, item: h5py.h5d.DatasetID, size: int) -> Iterator[Danger]:
        properties = item.get_create_plist()
        layout = properties.get_layout()
        for number in range(properties.get_external_count()):
            name = os.fsdecode(properties.get_external(number)[0])
            what = "the values of a dataset lie out of the folder of the file"
            if self._folder is not None and not Path(name).is_absolute():
                yield Danger(what, path, f"{name} (in the folder that a program happens to run in)")
                continue
            yield from self._find_elsewhere(what, path, name, hdf5=False)
        if layout == h5py.h5d.VIRTUAL:
            for number in range(properties.get_virtual_count()):
                name = os.fsdecode(properties.get_virtual_filename(number))
                if name != ".":
                    what = "the values of a virtual dataset lie out of the folder of the file"
                    yield from self._find_elsewhere(what, path, name)
            return
        yield from self._find_in_schema(path, item)
        shape = item.shape
        if shape is None or properties.get_external_count():
            return
        declared = math.prod(shape) * item.get_type().get_size()
        chunk = 0
        if layout == h5py.h5d.CHUNKED:
            chunk = math.prod(properties.get_chunk()) * item.get_type().get_size()
            yield from _find_in_chunks(path, item, chunk)
        if declared > LARGE_BYTES:
            yield from _find_in_sizes(path, item, chunk, declared, size)

    def _find_in_schema(self, path: str, item: h5py.h5d.DatasetID) -> Iterator[Danger]:
        """Look at a copy of a schema, which readers of NWB parse as JSON: it may nest until they crash."""
        if self._folder is None or not path.startswith("/specifications/") or item.shape != ():
            return
        text = h5py.Dataset(item)[()]
        if isinstance(text, bytes) and _is_nested_deeply(text):
            yield Danger("a copy of a schema is nested too deeply", path, f"more than {DEPTH} brackets in each other")

    def _find_elsewhere(self, what: str, path: str, name: str, *, hdf5: bool = True) -> Iterator[Danger]:
        """Yield the dangers of another file that a part of the file lies in."""
        self.leads_elsewhere = True
        if self._folder is None:
            yield Danger(what, path, name)
            return
        target = self._folder.joinpath(name)
        resolved = target.resolve()
        if "%" in name or not resolved.is_relative_to(self._folder):
            yield Danger(what, path, name)
        elif not resolved.is_file():
            if resolved.exists() or (not Path(name).is_absolute() and os.path.lexists(name)):
                yield Danger(what, path, f"{name} (HDF5 would take the one in the current folder)")
        elif hdf5 and resolved not in self._files:
            self._files.add(resolved)
            if len(self._files) > FILES:
                yield Danger("links lead to too many files", path, f"more than {FILES}")
                return
            try:
                other = h5py.File(resolved, "r", locking=False)
            except OSError:
                return  # it can't be read by anyone
            with other:
                inner = DangerFinder(resolved.parent)
                inner._folder, inner._files = self._folder, self._files
                for danger in inner.find(other):
                    yield Danger(danger.what, path, f"{name}: {danger.where}: {danger.found}")


def _find_in_attributes(path: str, item: h5py.ObjectID) -> Iterator[Danger]:
    count = h5py.h5a.get_num_attrs(item)
    if count > ATTRIBUTES:
        yield Danger("an object has too many attributes", path, f"{count}, of at most {ATTRIBUTES}")
        return
    names: list[bytes] = []
    h5py.h5a.iterate(item, names.append)
    for name in names:  # by their index, HDF5 would sort all of them for each
        size = _measure_attribute(h5py.h5a.open(item, name))
        if size > ATTRIBUTE_BYTES:
            text = name.decode("utf-8", "backslashreplace")
            yield Danger("an attribute is too large", path, f"{text}: {size / 1e6:.0f} MB")


def _measure_attribute(attribute: h5py.h5a.AttrID) -> int:
    """Return the bytes of an attribute; h5py takes 0 for an error, and PyTables writes empty ones."""
    try:
        return int(attribute.get_storage_size())
    except RuntimeError:
        return 0


def _is_nested_deeply(text: bytes) -> bool:
    """Return True if brackets stand in each other more than `DEPTH` times, or some 1,000 are not closed."""
    brackets = text.translate(None, _NO_BRACKETS)
    for _ in range(DEPTH):
        shorter = brackets.replace(b"[]", b"").replace(b"{}", b"")
        if len(shorter) == len(brackets):
            return len(brackets) > 1000
        brackets = shorter
    return True


def _find_in_sizes(path: str, item: h5py.h5d.DatasetID, chunk: int, declared: int, size: int) -> Iterator[Danger]:
    """Compare what a large dataset declares with what is stored of it."""
    kept = item.get_storage_size()
    if kept > size:
        yield Danger("a dataset is stored in more bytes than the file has", path, f"{kept} of {size}")
        return
    written = item.get_num_chunks() * chunk if chunk else kept
    unwritten = declared - written
    if unwritten > UNWRITTEN_BYTES and unwritten > 3 * written:
        found = f"{declared / 1e9:.0f} GB, of which {kept / 1e9:.3g} GB are stored"
        yield Danger("a dataset declares far more values than the file stores", path, found)


def _find_in_chunks(path: str, item: h5py.h5d.DatasetID, chunk: int) -> Iterator[Danger]:
    """Look for large chunks that are stored in next to nothing."""
    if chunk <= CHUNK_BYTES:
        return
    for number in range(min(item.get_num_chunks(), 1000)):
        kept = item.get_chunk_info(number).size
        if kept * UNPACKED < chunk:
            found = f"{kept / 1e6:.1f} MB that unpack to {chunk / 1e6:.0f} MB"
            yield Danger("a chunk unpacks to far more than is stored", path, found)
            return
