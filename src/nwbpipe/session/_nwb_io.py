"""pynwb's reader and writer for a session file that holds many runs.

pynwb reads every object of a file before anything can be added, and hdmf then writes all attributes anew, those of
old objects too. `SessionIO` leaves out what a commit of ours does not concern, and writes what changed.
"""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Iterator
from typing import Any

import h5py
import numpy as np
from hdmf.backends.hdf5.h5_utils import H5SpecWriter
from hdmf.backends.utils import NamespaceToBuilderHelper
from hdmf.build import BuildManager
from pynwb import NWBHDF5IO

from nwbpipe.session._schemas import list_schemas, load_types


class SessionIO(NWBHDF5IO):  # type: ignore[misc]  # pynwb is untyped
    """`pynwb.NWBHDF5IO` on an open file.

    Parameters
    ----------
    file : h5py.File
    mode : str
        "r" or "a".
    without : collection of str
        Paths of objects that are not read. A link or reference to one of them leads to it all the same.
    **options
        Of `NWBHDF5IO`.
    """

    def __init__(self, file: h5py.File, mode: str, without: Collection[str] = (), **options: Any) -> None:
        self._left_out: dict[str, set[str]] = {}
        for path in without:
            parent, name = posixpath.split(path)
            self._left_out.setdefault(parent, set()).add(name)
        self._attributes_read: dict[int, tuple[Any, dict[str, Any]]] = {}
        if list_schemas(file) is not None:
            self._left_out.setdefault("/", set()).add("specifications")
        if "manager" not in options:
            options["manager"] = BuildManager(load_types(file))
        super().__init__(file=file, mode=mode, **options)

    def read_builder(self) -> Any:
        """Return the builder of the file, without what is left out."""
        builders = getattr(self, "_HDF5IO__read", None)
        if builders is None or "specifications" not in self._left_out.get("/", ()):
            root = super().read_builder()
        elif (root := builders.get(self._file)) is None:
            root = builders[self._file] = self._HDF5IO__read_group(self._file, "root")
        if self.mode != "r":
            self._note_attributes(root)
        return root

    def _HDF5IO__read_group(self, group: h5py.Group, *args: Any, **options: Any) -> Any:  # noqa: N802
        """Read a group as hdmf does, which opens each member to learn its name, those that it ignores too."""
        hidden = self._left_out.get(group.name) if group.file == self._file else None
        if hidden:
            group = _PartialGroup(group, hidden)
        return super()._HDF5IO__read_group(group, *args, **options)

    def _HDF5IO__cache_spec(self) -> None:  # noqa: N802
        """Write the schemas that the file lacks, as hdmf does, which converts all the others first, too."""
        if list_schemas(self._file) is None:
            super()._HDF5IO__cache_spec()
            return
        catalog, schemas = self.manager.namespace_catalog, self._file["specifications"]
        for name in catalog.namespaces:
            group_path = f"{name}/{catalog.get_namespace(name).version}"
            if group_path not in schemas:
                schema = NamespaceToBuilderHelper.convert_namespace(catalog, name)
                schema.export("namespace", writer=H5SpecWriter(schemas.create_group(group_path)))

    def _note_attributes(self, builder: Any) -> None:
        attributes = builder.attributes
        self._attributes_read[id(attributes)] = (
            attributes,
            {name: value.copy() if isinstance(value, np.ndarray) else value for name, value in attributes.items()},
        )
        for part in ("groups", "datasets"):
            for child in getattr(builder, part, {}).values():
                if child is not None and id(child.attributes) not in self._attributes_read:
                    self._note_attributes(child)

    def set_attributes(self, obj: Any, attributes: Any) -> None:
        """Write attributes, but for those of an object that was read and that are as they were."""
        _, old = self._attributes_read.get(id(attributes), (None, {}))
        changed = {
            name: value for name, value in attributes.items() if name not in old or not _same(old[name], value)
        }
        if changed:
            super().set_attributes(obj, changed)

    def close(self, close_links: bool = True) -> None:
        """Close linked files; the file itself is the caller's."""
        if close_links:
            self.close_linked_files()


class _PartialGroup(h5py.Group):  # type: ignore[misc]
    """A group that names only some of its members."""

    def __init__(self, group: h5py.Group, hidden: set[str]) -> None:
        super().__init__(group.id)
        self._hidden = hidden

    def __iter__(self) -> Iterator[str]:
        return (name for name in super().__iter__() if name not in self._hidden)


def _same(old: Any, new: Any) -> bool:
    if isinstance(old, np.ndarray) or isinstance(new, np.ndarray):
        same_shape = np.shape(old) == np.shape(new)
        return same_shape and getattr(old, "dtype", None) == getattr(new, "dtype", None) and bool(np.all(old == new))
    if old is new:
        return not isinstance(new, (list, dict, set))
    return type(old) is type(new) and isinstance(new, (str, bool, int, float, np.generic)) and bool(old == new)
