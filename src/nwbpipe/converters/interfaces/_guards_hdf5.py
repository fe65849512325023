"""Guard for HDF5 recordings whose samples are compressed by a filter that is not installed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py

from nwbpipe.errors import Problem

_MAXWELL = 32_052  # number of MaxWell's own compression, registered with The HDF Group
_LIBRARY = "https://mxw.bio/MxW_Doc_Installing_Decompression_Library_to_load_MaxLab_Live_Recordings"


def guard_maxwell(args: Mapping[str, Any]) -> list[Problem]:
    """Check that HDF5 can undo the compression of each dataset; the reader would download a library, and run it."""
    path = Path(str(args.get("file_path", "")))
    if not path.is_file() or not h5py.is_hdf5(path):
        return []
    with h5py.File(path, "r") as file:
        missing = _find_filter(file)
    if missing is None:
        return []
    hint = (
        f"put MaxWell's decompression library into a folder ({_LIBRARY}), set HDF5_PLUGIN_PATH to that folder, and "
        "say download_plugin: false in args"
        if missing == _MAXWELL
        else "install the filter, as the hdf5plugin package does for many, and set HDF5_PLUGIN_PATH to its folder"
    )
    message = "the samples are compressed by an HDF5 filter that is not installed"
    return [Problem(message, str(path), f"filter {missing}", "no plugin for it", hint)]


def _find_filter(file: h5py.File) -> int | None:
    """Return the number of the first filter that is missing."""

    def visit(_: str, item: Any) -> int | None:
        if not isinstance(item, h5py.Dataset):
            return None
        created = item.id.get_create_plist()
        codes = [created.get_filter(number)[0] for number in range(created.get_nfilters())]
        return next((code for code in codes if not h5py.h5z.filter_avail(code)), None)

    missing: int | None = file.visititems(visit)
    return missing
