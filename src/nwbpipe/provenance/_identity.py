"""Identity of an object in a session file: the hash of its decoded values and their meaning.

See docs/design/003-identity.md. The identity covers

- every dataset below the object: type, shape and values (`_hashing`, `_dataset_streams`);
- every attribute, also the neurodata type, except those in `EXCLUDED` (`_identity_rules`);
- the names of children, which are roles (`data`, `timestamps`), but not the object's own name;
- everything that is linked: soft, hard and external links, object and region references, rows of tables
  (`DynamicTableRegion`: the referenced rows, in the columns with meaning), bytes of external files.

It does not cover names, paths, object ids, free text and the details of a device.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from nwbpipe.errors import DamagedFileError, InputError, UnsafeFileError
from nwbpipe.provenance._dataset_streams import iter_rows, iter_values
from nwbpipe.provenance._files import AnyStat, hash_file, leads_outside, stat_file
from nwbpipe.provenance._hashing import BlockHasher, encode, format_type, hash_node
from nwbpipe.provenance._identity_rules import (
    EXCLUDED,
    NO_MEANING_TYPES,
    TABLE_LINKS,
    describe_selection,
    find_padding,
    is_free_text,
    list_meaningful_columns,
    read_text_attribute,
)
from nwbpipe.stores import is_remote, open_store

_Key = tuple[int, int]


@dataclass(frozen=True)
class IdentityResult:
    """An identity, and the files and objects that it depends on.

    Attributes
    ----------
    identity : str
        64 hexadecimal digits.
    neurodata_type, object_id : str
        NWB type and id of the object.
    files : dict
        Other files that it depends on, with their stat before they were read.
    objects : tuple of str or None
        Paths of the objects in the session file that it depends on, with everything below them; None if
        they can't be determined (an object has several hard links).
    """

    identity: str
    neurodata_type: str
    object_id: str
    files: dict[str, AnyStat]
    objects: tuple[str, ...] | None


def identify_object(h5file: h5py.File, path: str, *, folder: Path | str) -> str:
    """Return the identity of an object.

    Parameters
    ----------
    h5file : h5py.File
        Open for reading.
    path : str
        HDF5 path of a group or dataset.
    folder : Path or str
        Folder of the session file, or its URL: `external_file` paths are relative to it.

    Returns
    -------
    str
        64 hexadecimal digits.

    Raises
    ------
    InputError
        The object, or something that it links to, is missing.
    UnsafeFileError
        An external file lies outside the folder: it is not opened.
    DamagedFileError
        Its values can't be read.
    """
    return find_identity(h5file, path, folder=folder).identity


def find_identity(
    h5file: h5py.File, path: str, *, folder: Path | str, sha256: Callable[[Path | str], str] = hash_file
) -> IdentityResult:
    """Return an object's identity with its dependencies; `sha256` hashes an external file."""
    walk = ObjectHasher(h5file, folder, sha256)
    try:
        obj = h5file[path]
    except (KeyError, ValueError, OSError) as error:
        raise InputError(
            "the file has no object at this path",
            where=f"{h5file.filename}:{path}",
            found=str(error),
            hint="list the objects of the file: h5ls -r FILE",
        ) from error
    try:
        walk.record_dependency(obj)
        result = walk.hash_object(obj)
    except OSError as error:
        raise DamagedFileError(
            "an object can't be read to the end",
            where=f"{h5file.filename}:{path}",
            found=str(error),
            hint="the file is damaged, or its compression needs a plug-in (pip install hdf5plugin)",
        ) from error
    return IdentityResult(
        identity=result.hex(),
        neurodata_type=read_text_attribute(obj, "neurodata_type"),
        object_id=read_text_attribute(obj, "object_id"),
        files=walk.files,
        objects=tuple(sorted(walk.objects)) if walk.traceable else None,
    )


class ObjectHasher:
    """Walk over an object and its links. Each object is hashed once; cycles end."""

    def __init__(self, root: h5py.File, folder: Path | str, sha256: Callable[[Path | str], str]) -> None:
        self.root = root
        self.folder = folder
        self.sha256 = sha256
        self.files: dict[str, AnyStat] = {}
        self.objects: set[str] = set()
        self.traceable = True
        self._root_number = h5py.h5o.get_info(root.id).fileno
        self._memo: dict[_Key, bytes] = {}
        self._depths: dict[_Key, int] = {}
        self._lowest = 2**31  # depth of the outermost object that a cycle below led back to

    # What the identity depends on ---------------------------------------------------------------------

    def record_dependency(self, obj: Any) -> None:
        """Record an object that was reached by a link or reference, under its own path."""
        info = h5py.h5o.get_info(obj.id)
        if info.fileno != self._root_number:
            self._record_file_dependency(Path(obj.file.filename))
            return
        path = obj.file[obj.ref].name  # `obj.name` is the way it was reached
        if path is None:
            self.traceable = False
        else:
            self.objects.add(path)

    def _record_file_dependency(self, path: Path | str) -> None:
        self.files.setdefault(str(path), stat_file(path))

    # The walk -----------------------------------------------------------------------------------------

    def hash_object(self, obj: Any) -> bytes:
        """Return the digest of a group, dataset or named type."""
        info = h5py.h5o.get_info(obj.id)
        key = (int(info.fileno), int(info.addr))
        if key in self._memo:
            return self._memo[key]
        depth = len(self._depths)
        if key in self._depths:  # a cycle: say how far up it leads
            self._lowest = min(self._lowest, self._depths[key])
            return hash_node("cycle", depth - self._depths[key])
        if info.rc > 1:
            self.traceable = False
        outer, self._lowest = self._lowest, 2**31
        self._depths[key] = depth
        try:
            if isinstance(obj, h5py.Dataset):
                result = self._hash_dataset(obj)
            elif isinstance(obj, h5py.Group):
                result = self._hash_group(obj)
            else:
                result = hash_node("type", format_type(obj.dtype))
        finally:
            del self._depths[key]
        # Within a cycle that is still open a digest depends on where the walk entered: don't reuse it elsewhere.
        if self._lowest >= depth:
            self._memo[key] = result
            self._lowest = outer
        else:
            self._lowest = min(self._lowest, outer)
        return result

    def _hash_group(self, group: h5py.Group) -> bytes:
        if read_text_attribute(group, "neurodata_type") in NO_MEANING_TYPES:
            return hash_node("group", read_text_attribute(group, "neurodata_type"))
        parts: list[bytes | str] = []
        for name, child in self._iter_children(group):
            is_media = name == "external_file" and isinstance(child, h5py.Dataset)
            parts += [name, self._hash_external_files(child) if is_media else self.hash_object(child)]
        return hash_node("group", self._hash_attributes(group), *parts)

    def _iter_children(self, group: h5py.Group) -> Iterator[tuple[str, Any]]:
        for name in sorted(group):
            link = group.get(name, getlink=True)
            try:
                child = group[name]
            except (KeyError, OSError) as error:
                target = getattr(link, "path", "")
                if isinstance(link, h5py.ExternalLink):
                    target = f"{link.filename}:{target}"
                raise InputError(
                    "a link leads nowhere",
                    where=f"{group.file.filename}:{posixpath.join(group.name or '', name)}",
                    expected=target,
                    found=str(error),
                    hint="put the linked file back, or remove the link",
                ) from error
            if is_free_text(name, child):
                continue
            if not isinstance(link, h5py.HardLink):
                self.record_dependency(child)
            yield name, child

    def _hash_dataset(self, dataset: h5py.Dataset) -> bytes:
        if dataset.shape is not None and read_text_attribute(dataset, "neurodata_type") == "DynamicTableRegion":
            return self._hash_region(dataset, dataset[...])
        return self._hash_plain_dataset(dataset)

    def _hash_plain_dataset(self, dataset: h5py.Dataset) -> bytes:
        self._check_storage(dataset)
        if dataset.shape is None:
            return hash_node("dataset", self._hash_attributes(dataset), format_type(dataset.dtype), "null")
        values = self._hash_values(dataset, iter_values(dataset))
        shape = str(list(dataset.shape))
        return hash_node("dataset", self._hash_attributes(dataset), format_type(dataset.dtype), shape, values)

    def _hash_values(self, dataset: h5py.Dataset, arrays: Iterator[Any]) -> bytes:
        hasher = BlockHasher()
        resolve = self._make_resolver(dataset)
        strip = find_padding(dataset.id.get_type())
        for array in arrays:
            for piece in encode(array, dataset.dtype, resolve, strip):
                hasher.update(piece)
        return hasher.digest()

    def _hash_attributes(self, obj: Any) -> bytes:
        parts: list[bytes | str] = []
        resolve = self._make_resolver(obj)
        for name in sorted(set(obj.attrs) - EXCLUDED):
            attribute = obj.attrs.get_id(name)
            shape = "null"
            hasher = BlockHasher()
            if attribute.get_space().get_simple_extent_type() != h5py.h5s.NULL:
                shape = str(list(attribute.shape))
                for piece in encode(obj.attrs[name], attribute.dtype, resolve, find_padding(attribute.get_type())):
                    hasher.update(piece)
            parts += [name, format_type(attribute.dtype), shape, hasher.digest()]
        return hash_node("attributes", *parts)

    # References ---------------------------------------------------------------------------------------

    def _make_resolver(self, holder: Any) -> Callable[[Any], bytes]:
        def resolve(reference: Any) -> bytes:
            target = self._resolve_target(holder, reference)
            if not isinstance(reference, h5py.RegionReference):
                return hash_node("reference", self.hash_object(target))
            return hash_node("region", self.hash_object(target), describe_selection(reference, holder))

        return resolve

    def _resolve_target(self, holder: Any, reference: Any) -> Any:
        try:
            target = holder.file[reference]
        except (ValueError, KeyError) as error:
            raise InputError(
                "a reference points to nothing",
                where=f"{holder.file.filename}:{holder.name}",
                found=str(error),
                hint="the object was removed by another program: convert the session again",
            ) from error
        self.record_dependency(target)
        return target

    # Tables -------------------------------------------------------------------------------------------

    def _hash_region(self, region: h5py.Dataset, rows: Any) -> bytes:
        """Return the digest of the table rows that a region, or a part of it, refers to."""
        table = self._resolve_target(region, region.attrs["table"])
        rows = np.asarray(rows)
        info = h5py.h5o.get_info(table.id)
        key = (int(info.fileno), int(info.addr))
        if key in self._depths:  # a table that refers to its own rows
            self._lowest = min(self._lowest, self._depths[key])
            return hash_node("cycle", len(self._depths) - self._depths[key], str(rows.tolist()))
        self._depths[key] = len(self._depths)
        try:
            kind = read_text_attribute(table, "neurodata_type")
            columns = list_meaningful_columns(table, kind)
            parts: list[bytes | str] = []
            for name in columns:
                parts += [name, self._hash_column(table, name, rows.reshape(-1).astype(np.int64))]
            for name, child in self._iter_children(table):
                if name in TABLE_LINKS.get(kind, ()):
                    parts += [name, self.hash_object(child)]
            return hash_node("rows", kind, str(list(rows.shape)), *parts)
        finally:
            del self._depths[key]

    def _hash_column(self, table: h5py.Group, name: str, rows: np.ndarray) -> bytes:
        dataset = table[name]
        indices = []
        while f"{name}_index" in table:
            name = f"{name}_index"
            indices.append(table[name])
        return self._hash_column_rows(dataset, indices, rows)

    def _hash_column_rows(self, dataset: h5py.Dataset, indices: list[h5py.Dataset], rows: np.ndarray) -> bytes:
        """Return the digest of rows of a column, read through its VectorIndex datasets (the outermost last)."""
        outer = indices[-1] if indices else dataset
        if len(rows) and not 0 <= rows.min() <= rows.max() < outer.shape[0]:
            raise InputError(
                "a region refers to rows that the table does not have",
                where=f"{outer.file.filename}:{outer.name}",
                expected=f"rows below {outer.shape[0]}",
                found=f"rows from {rows.min()} to {rows.max()}",
                hint="the table was changed by another program: convert the session again",
            )
        if indices:
            ends = outer[...].astype(np.int64)
            starts = np.concatenate(([0], ends[:-1]))
            lengths = (ends - starts)[rows]
            offsets = np.cumsum(lengths) - lengths
            inner = np.repeat(starts[rows] - offsets, lengths) + np.arange(lengths.sum())
            return hash_node(
                "ragged", lengths.astype("<i8").tobytes(), self._hash_column_rows(dataset, indices[:-1], inner)
            )
        if read_text_attribute(dataset, "neurodata_type") == "DynamicTableRegion":
            return self._hash_region(dataset, dataset[...][rows])
        values = self._hash_values(dataset, iter_rows(dataset, rows))
        shape = str([len(rows), *dataset.shape[1:]])
        return hash_node("column", self._hash_attributes(dataset), format_type(dataset.dtype), shape, values)

    # Other files --------------------------------------------------------------------------------------

    def _find_folder(self, obj: Any) -> Path | str:
        """Return the folder of the file that an object is in."""
        if h5py.h5o.get_info(obj.id).fileno == self._root_number:
            return self.folder
        return Path(obj.file.filename).parent

    def _hash_external_files(self, dataset: h5py.Dataset) -> bytes:
        """Return the digest of an `external_file` dataset: the content of the files, not their names."""
        digests = []
        for value in np.atleast_1d(dataset[()]).reshape(-1):
            name = value.decode() if isinstance(value, bytes) else str(value)
            base = self._find_folder(dataset)
            if "://" not in name and leads_outside(base, name):
                raise UnsafeFileError(
                    "an external file lies outside the folder of the NWB file",
                    where=f"{dataset.file.filename}:{dataset.name}", expected="a relative path below that folder",
                    found=name, hint="copy it beside the NWB file, and name it by a relative path",
                )  # fmt: skip
            path = f"{base}/{name}" if is_remote(base) else Path(base) / name
            if "://" in name or not self._is_file(base, name):
                raise InputError(
                    "an external file is missing",
                    where=f"{dataset.file.filename}:{dataset.name}",
                    expected="a local file" if "://" in name else str(path),
                    found=name,
                    hint="put the file back beside the session file",
                )
            self._record_file_dependency(path)
            digests.append(self.sha256(path))
        return hash_node("external files", self._hash_attributes(dataset), str(list(dataset.shape)), *digests)

    def _is_file(self, base: Path | str, name: str) -> bool:
        if is_remote(base):
            return open_store(base).exists(name)
        return (Path(base) / name).is_file()

    def _check_storage(self, dataset: h5py.Dataset) -> None:
        """Refuse raw or virtual storage in missing files: HDF5 would silently read fill values."""
        names: list[str] = []
        if dataset.is_virtual:
            names = [source.file_name for source in dataset.virtual_sources()]
        elif dataset.external:
            names = [name for name, *_ in dataset.external]
        for name in sorted({name for name in names if name != "."}):
            path = Path(self._find_folder(dataset)) / name
            if not path.is_file():
                raise InputError(
                    "a file that holds a dataset's values is missing",
                    where=f"{dataset.file.filename}:{dataset.name}",
                    expected=str(path),
                    hint="put the file back",
                )
            self._record_file_dependency(path)
