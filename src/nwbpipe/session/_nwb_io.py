"""pynwb's reader and writer for a session file that holds many runs.

pynwb reads every object of a file before anything can be added, and hdmf then writes all attributes anew, those of
old objects too. `SessionIO` leaves out what a commit of ours does not concern, and writes what changed.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import h5py
import numpy as np
from pynwb import NWBHDF5IO


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
        self._left_out = set(without)
        self._attributes_read: dict[int, tuple[Any, dict[str, Any]]] = {}
        super().__init__(file=file, mode=mode, **options)

    def read_builder(self) -> Any:
        """Return the builder of the file, without what is left out."""
        builders = getattr(self, "_HDF5IO__read", None)
        read_group = getattr(self, "_HDF5IO__read_group", None)
        if builders is not None and read_group is not None and self._file not in builders:
            ignore = set(self._left_out)  # hdmf's own `read_builder` ignores the cached schemas alone
            if ".specloc" in self._file.attrs:
                ignore.add(self._file[self._file.attrs[".specloc"]].name)
            builders[self._file] = read_group(self._file, "root", ignore=ignore)
        root = super().read_builder()
        if self.mode != "r":
            self._note_attributes(root)
        return root

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


def _same(old: Any, new: Any) -> bool:
    if isinstance(old, np.ndarray) or isinstance(new, np.ndarray):
        same_shape = np.shape(old) == np.shape(new)
        return same_shape and getattr(old, "dtype", None) == getattr(new, "dtype", None) and bool(np.all(old == new))
    if old is new:
        return not isinstance(new, (list, dict, set))
    return type(old) is type(new) and isinstance(new, (str, bool, int, float, np.generic)) and bool(old == new)
