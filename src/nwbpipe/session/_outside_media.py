"""Find the external files of a session file that lie outside of its folder: nwbpipe opens none of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

from nwbpipe.provenance import leads_outside
from nwbpipe.session._reader import SessionReader


def find_outside_media(reader: SessionReader, folder: Path | str) -> Iterator[tuple[str, str]]:
    """Yield the path of each dataset that names such a file, and the name.

    Parameters
    ----------
    reader : SessionReader
        The open file.
    folder : Path or str
        Its folder, or the URL of that.
    """
    for item in reader.objects:
        path = f"{item.path}/external_file"
        media = reader.file.get(path) if "ImageSeries" in item.lineage else None
        if not isinstance(media, h5py.Dataset) or h5py.check_string_dtype(media.dtype) is None or media.shape is None:
            continue
        for name in np.atleast_1d(media.asstr(errors="replace")[()]).reshape(-1):
            if "://" not in name and leads_outside(folder, name):
                yield path, str(name)
