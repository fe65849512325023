"""Read the size of a pixel that a session file gives for a pose, or for the video that it was found in."""

from __future__ import annotations

import h5py
import numpy as np

from nwbpipe.errors import InputError
from nwbpipe.provenance import read_records

_TABLE = "/general/nwbpipe_session/pixel_sizes"  # of our extension; the conversion writes it
_POSE = "PoseEstimation"


def find_pixel_size(file: h5py.File, pose: str) -> tuple[float, str] | None:
    """Return the size of a pixel in mm, and the object that it is given for; None if the file gives none.

    Parameters
    ----------
    file : h5py.File
        An open session file.
    pose : str
        Path of a `PoseEstimation`: its own size counts, else that of the pose that a step made it from (by the run
        records), else that of its source video.

    Raises
    ------
    InputError
        If the table in the file is damaged, or the size is not a positive number.
    """
    if _TABLE not in file:
        return None
    sizes = _read_sizes(file)
    group = file[pose]
    video = group.get("source_video")
    for path in (*_list_origins(file, pose), None if video is None else str(file[video.ref].name)):
        if path in sizes:
            size = sizes[path]
            if not (np.isfinite(size) and size > 0):
                msg = "the size of a pixel in the file is not a positive number"
                hint = "correct mm_per_px in session.yaml, and convert again"
                raise InputError(msg, where=f"{_TABLE}: {path}", found=f"{size:g}", hint=hint)
            return size, path
    return None


def _list_origins(file: h5py.File, pose: str) -> list[str]:
    """Return a pose, the one that it was made from (filtered), the one that that was made from, and so on."""
    made_from: dict[str, str] = {}
    for record in read_records(file):
        inputs = [item.path for item in record.inputs if item.neurodata_type == _POSE]
        if not record.superseded and len(inputs) == 1:
            made_from |= {item.path: inputs[0] for item in record.outputs if item.neurodata_type == _POSE}
    paths = [pose]
    while (origin := made_from.get(paths[-1], pose)) not in paths:
        paths.append(origin)
    return paths


def _read_sizes(file: h5py.File) -> dict[str, float]:
    try:
        table = file[_TABLE]
        paths, sizes = table["path"].asstr()[()], np.asarray(table["mm_per_px"][()], dtype=np.float64)
        return dict(zip(map(str, paths), sizes.tolist(), strict=True))
    except (KeyError, AttributeError, TypeError, ValueError, OSError) as error:
        msg = "the table of pixel sizes can't be read"
        raise InputError(msg, where=_TABLE, found=str(error)[:200], hint="convert the session again") from error
