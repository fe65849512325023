"""Write an HDF5 file anew, to give back the space that nothing uses any more.

HDF5 copies the objects (as they are stored: compressed chunks stay as they are), but not where references lead:
those are set again, object by object, by the path of what they named. The new file is compared with the old one,
object by object, byte by byte, before it takes its place.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from nwbpipe.disk import remove_file
from nwbpipe.errors import DamagedFileError, FileAccessError, LockedFileError, UnsupportedFileError
from nwbpipe.files._atomic import keep_attributes, move_into_place, refuse_if_changed, working_path
from nwbpipe.files._fresh_stat import stat_now
from nwbpipe.files._links import holds_references, walk_objects
from nwbpipe.files._recover import recover_locked
from nwbpipe.files._screening import require_safe
from nwbpipe.files._sink import open_for_writing
from nwbpipe.files._write_lock import hold_lock, translate_access_errors

_BLOCK = 16 * 2**20


def repack(
    path: Path | str, *, lock_timeout: float = 60.0, check: Callable[[h5py.File], None] | None = None
) -> tuple[int, int]:
    """Write a file anew, and let it take the old one's place when it has been compared.

    Parameters
    ----------
    path : path
        An HDF5 file.
    lock_timeout : float
        Seconds to wait for another writer.
    check : callable, optional
        Called with the finished file before it takes its place: raising refuses it.

    Returns
    -------
    tuple of int
        Size before and after, in bytes.

    Raises
    ------
    LockedFileError
        If another program writes the file.
    FileAccessError
        If there is no space or no permission.
    UnsupportedFileError
        If it holds references of a kind that can't be set again.
    DamagedFileError
        If it can't be opened, or the new file is not as the old one.
    """
    target = Path(path).resolve()
    if not target.is_file():
        msg = "no such file"
        raise FileAccessError(msg, where=str(target), hint="check the path")
    with hold_lock(target, lock_timeout), translate_access_errors(target, "repacking"):
        recover_locked(target, lock_timeout)
        require_safe(target)
        state = stat_now(target)
        free = shutil.disk_usage(target.parent).free
        if free < state.st_size:
            msg = "no space for the new file"
            found, expected = f"{free / 1e6:.0f} MB", f"{state.st_size / 1e6:.0f} MB free"
            hint = "free space on that disk; the file is as it was"
            raise FileAccessError(msg, where=str(target.parent), expected=expected, found=found, hint=hint)
        building = working_path(target)
        try:
            with _open(target) as old:  # with HDF5's shared lock: nobody writes meanwhile
                copy_file(old, building)
                with h5py.File(building, "r", locking=False) as new:
                    require_same(old, new)
                    if check is not None:
                        check(new)
                refuse_if_changed(target, state)
                keep_attributes(target, building)
                if os.name == "posix":  # elsewhere an open file can't be replaced
                    move_into_place(building, target)
            if os.name != "posix":
                move_into_place(building, target)
        finally:
            remove_file(building)
    return state.st_size, target.stat().st_size


def _open(path: Path) -> h5py.File:
    try:
        return h5py.File(path, "r")
    except BlockingIOError as error:
        msg = "another program has the file open for writing"
        raise LockedFileError(msg, where=str(path), hint="close it there, then try again") from error
    except OSError as error:
        if isinstance(error, PermissionError):
            raise
        if "locking flag" in str(error) or "already open" in str(error):
            msg = "this process has the file open already"
            raise LockedFileError(msg, where=str(path), hint="close it first") from error
        msg = "the file can't be opened as HDF5"
        raise DamagedFileError(msg, where=str(path), found=str(error), hint="restore it from a copy") from error


def copy_file(old: h5py.File, path: Path) -> None:
    """Write a new file with everything that `old` holds."""
    properties = old.id.get_create_plist()
    strategy, persist, threshold = properties.get_file_space_strategy()
    options: dict[str, Any] = {}
    if strategy == h5py.h5f.FSPACE_STRATEGY_PAGE:
        options = {"fs_strategy": "page", "fs_page_size": properties.get_file_space_page_size()}
        options |= {"fs_persist": bool(persist), "fs_threshold": threshold}
    if old.userblock_size:
        options["userblock_size"] = old.userblock_size
    tracked = bool(properties.get_link_creation_order() & h5py.h5p.CRT_ORDER_TRACKED)
    with open_for_writing(path, "w", track_order=tracked, **options) as new:
        # In one call, so that an object with several names is copied once; then each member to its own place.
        h5py.h5o.copy(old.id, b"/", new.id, b"repacked")
        group = new["repacked"]
        for name in list(group):
            new.move(f"/repacked/{name}", f"/{name}")
        for name in group.attrs:
            _copy_attribute(group, new["/"], name)
        del group
        del new["repacked"]
        set_references(old, new, walk_objects(old))
    if old.userblock_size:
        with Path(old.filename).open("rb") as source, path.open("r+b") as sink:
            sink.write(source.read(old.userblock_size))


def _copy_attribute(source: Any, destination: Any, name: str) -> None:
    attribute = source.attrs.get_id(name)
    new_attribute = h5py.h5a.create(destination.id, name.encode(), attribute.get_type(), attribute.get_space())
    if attribute.get_space().get_simple_extent_type() != h5py.h5s.NULL and not holds_references(attribute.dtype):
        values = np.empty(attribute.shape, attribute.dtype)
        attribute.read(values)
        new_attribute.write(values)


def set_references(old: h5py.File, new: h5py.File, copied: Iterable[tuple[str, Any]]) -> None:
    """Set the references of copied objects again, to the objects of `new` at the same paths."""
    for path, item in copied:
        for name in item.attrs:
            attribute = item.attrs.get_id(name)
            if holds_references(attribute.dtype) and not isinstance(item.attrs[name], h5py.Empty):
                values = np.empty(attribute.shape, attribute.dtype)
                attribute.read(values)
                new[path].attrs.get_id(name).write(_translate_references(values, attribute.dtype, old, new, path))
        if isinstance(item, h5py.Dataset) and item.size and holds_references(item.dtype):
            new[path][...] = _translate_references(item[...], item.dtype, old, new, path)


def _translate_references(values: Any, dtype: np.dtype[Any], old: h5py.File, new: h5py.File, path: str) -> Any:
    """Return values whose references lead to the objects of `new`."""
    result = np.array(values, dtype=dtype)
    if dtype.names:
        for name in dtype.names:
            if holds_references(dtype[name]):
                result[name] = _translate_references(result[name], dtype[name], old, new, path)
        return result
    if h5py.check_ref_dtype(dtype) is not h5py.Reference:
        msg = "references of this kind can't be written anew"
        raise UnsupportedFileError(
            msg, where=f"{old.filename}:{path}", expected="object references", found=str(dtype),
            hint="h5repack, of the HDF5 library, may be able to",
        )  # fmt: skip
    flat = result.reshape(-1)
    for index, reference in enumerate(flat):
        if reference:
            flat[index] = new[_name_of(old, reference, path)].ref
    return flat.reshape(result.shape)


def _name_of(file: h5py.File, reference: Any, path: str) -> str:
    """Path of what a reference leads to."""
    try:
        name = file[reference].name
    except (ValueError, KeyError) as error:
        raise _dangling_error(file, path) from error
    if name is None:
        raise _dangling_error(file, path)
    return str(name)


def _dangling_error(file: h5py.File, path: str) -> DamagedFileError:
    msg = "a reference points to nothing"
    hint = "nothing was changed; another program removed what it named: restore the file from a copy"
    return DamagedFileError(msg, where=f"{file.filename}:{path}", hint=hint)


def require_same(old: h5py.File, new: h5py.File) -> None:
    """Refuse a new file that is not as the old one: every link, attribute, value and reference.

    Raises
    ------
    DamagedFileError
        Naming the first object that differs.
    """
    first, second = dict(walk_objects(old)), dict(walk_objects(new))
    names, new_names = ({_address(item): path for path, item in objects.items()} for objects in (first, second))
    if set(first) != set(second):
        raise _difference_error(new, sorted(set(first) ^ set(second))[0], "is not in both files")
    for path, item in first.items():
        new_item = second[path]
        if isinstance(item, h5py.Group) != isinstance(new_item, h5py.Group):
            raise _difference_error(new, path, "is of another kind")
        if isinstance(item, h5py.Group):
            if _link_rows(item, names) != _link_rows(new_item, new_names):
                raise _difference_error(new, path, "has other links")
        elif not _have_same_data(item, new_item):
            raise _difference_error(new, path, "has other values")
        if not _have_same_attributes(item, new_item):
            raise _difference_error(new, path, "has other attributes")


def _difference_error(file: h5py.File, path: str, how: str) -> DamagedFileError:
    msg = f"the new file is not as the old one: {path} {how}"
    return DamagedFileError(msg, where=file.filename, hint="nothing was changed: report it")


def _address(item: h5py.HLObject) -> int:
    return int(h5py.h5o.get_info(item.id).addr)


def _link_rows(group: h5py.Group, names: dict[int, str]) -> list[tuple[str | None, ...]]:
    links: list[tuple[str | None, ...]] = []
    for name in sorted(group):
        link = group.get(name, getlink=True)
        if isinstance(link, h5py.SoftLink):
            links.append((name, "soft", link.path))
        elif isinstance(link, h5py.ExternalLink):
            links.append((name, "external", link.filename, link.path))
        else:  # an object may have several names
            links.append((name, "hard", names.get(_address(group[name]))))
    return links


def _have_same_data(item: h5py.Dataset, other: h5py.Dataset) -> bool:
    if (
        item.shape != other.shape
        or item.maxshape != other.maxshape
        or not item.id.get_type().equal(other.id.get_type())
    ):
        return False
    if item.chunks != other.chunks or str(item._filters) != str(other._filters):
        return False
    if item.shape is None or item.is_virtual or item.external:
        return True  # kept elsewhere
    if h5py.check_dtype(vlen=item.dtype) is None and not item.dtype.hasobject and item.chunks:
        return _have_same_chunks(item, other)
    if item.dtype.hasobject or not item.shape or not item.size:
        return _have_same_values(item[()], other[()], item.file, other.file)
    rows = max(1, _BLOCK // max(1, item.nbytes // item.shape[0]))
    starts = range(0, item.shape[0], rows)
    return all(_have_same_values(item[at : at + rows], other[at : at + rows], item.file, other.file) for at in starts)


def _have_same_chunks(item: h5py.Dataset, other: h5py.Dataset) -> bool:
    """Return True if the stored chunks are equal. Nothing is decompressed."""
    if item.id.get_num_chunks() != other.id.get_num_chunks():
        return False
    offsets: list[tuple[int, ...]] = []
    item.id.chunk_iter(lambda one: offsets.append(one.chunk_offset))
    return all(item.id.read_direct_chunk(at) == other.id.read_direct_chunk(at) for at in offsets)


def _have_same_attributes(item: Any, other: Any) -> bool:
    if set(item.attrs) != set(other.attrs):
        return False
    for name in item.attrs:
        first, second = item.attrs.get_id(name), other.attrs.get_id(name)
        if not first.get_type().equal(second.get_type()) or first.shape != second.shape:
            return False
        if not _have_same_values(item.attrs[name], other.attrs[name], item.file, other.file):
            return False
    return True


def _have_same_values(one: Any, two: Any, old: h5py.File, new: h5py.File) -> bool:
    """Return True if values are equal: bits, text, and the targets of references."""
    if isinstance(one, h5py.Reference):
        if not one or not two:
            return bool(one) == bool(two)
        return bool(old[one].name == new[two].name)
    if isinstance(one, h5py.Empty) or isinstance(two, h5py.Empty):
        return type(one) is type(two)
    if isinstance(one, np.ndarray | np.void) and one.dtype.hasobject:
        if one.dtype.names:
            return all(_have_same_values(one[name], two[name], old, new) for name in one.dtype.names)
        pairs = zip(np.asarray(one).ravel(), np.asarray(two).ravel(), strict=True)
        return all(_have_same_values(a, b, old, new) for a, b in pairs)
    if isinstance(one, np.ndarray | np.generic):
        return bool(one.tobytes() == two.tobytes())
    return bool(one == two)
