"""Write the size of a pixel of each video and pose that a spec gives (`mm_per_px`), as a table of our extension."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from nwbpipe.converters.spec._model import SessionSpec
from nwbpipe.errors import Problem, SpecError
from nwbpipe.provenance import ObjectRecord

if TYPE_CHECKING:
    from pynwb import NWBFile

KEY = "mm_per_px"
PIXEL_SIZES = "/general/nwbpipe_session/pixel_sizes"
_TYPES = ("ImageSeries", "PoseEstimation")


def add_pixel_sizes(nwbfile: NWBFile, spec: SessionSpec, outputs: Iterable[ObjectRecord]) -> None:
    """Add the table to a file in memory, if the spec gives a size.

    Parameters
    ----------
    nwbfile : NWBFile
    spec : SessionSpec
    outputs : iterable of ObjectRecord
        What each source added, by `SOURCE: NAME`.

    Raises
    ------
    SpecError
        A source with `mm_per_px` has added neither a video nor a pose.
    """
    sizes = {name: source.mm_per_px for name, source in spec.sources.items() if source.mm_per_px is not None}
    write_pixel_sizes(nwbfile, sizes, outputs, str(spec.path))


def write_pixel_sizes(
    nwbfile: NWBFile, sizes: Mapping[str, float], outputs: Iterable[ObjectRecord], where: str
) -> int:
    """Write the table of the sizes by source into a file that has none; return the number of its rows."""
    rows = [(source, path, sizes[source]) for source, path in _list_scaled(outputs) if source in sizes]
    wrong = [name for name in sizes if name not in {source for source, *_ in rows}]
    if wrong:
        expected = "a source of a video (ImageSeries) or a pose (PoseEstimation)"
        hint = f"remove {KEY}; a movie of a microscope has its scale in `metadata`, as grid_spacing"
        problems = [
            Problem(f"{name} writes no pixels of a camera", f"{where}: sources.{name}.{KEY}", expected, None, hint)
            for name in wrong
        ]
        raise SpecError("the size of a pixel is given for other data", where=where, problems=problems)
    if rows:
        _add_table(nwbfile, *map(list, zip(*rows, strict=True)))
    return len(rows)


def _list_scaled(outputs: Iterable[ObjectRecord]) -> list[tuple[str, str]]:
    """Return source and path of the videos and poses."""
    return [(item.name.partition(":")[0], item.path) for item in outputs if item.neurodata_type in _TYPES]


def _add_table(nwbfile: NWBFile, sources: list[str], paths: list[str], sizes: list[float]) -> None:
    from hdmf.common import DynamicTable, VectorData

    from nwbpipe.extensions import SessionDetails

    columns: list[Any] = [
        VectorData(name="source", description="name of the source in session.yaml", data=sources),
        VectorData(name="path", description="HDF5 path of the video or the pose", data=paths),
        VectorData(name=KEY, description="size of a pixel, in millimeters", data=np.array(sizes, dtype=np.float64)),
    ]
    name = PIXEL_SIZES.rpartition("/")[2]
    table = DynamicTable(name=name, description="Sizes of a pixel in the plane that is filmed.", columns=columns)
    details = nwbfile.lab_meta_data.get("nwbpipe_session")
    if details is None:
        nwbfile.add_lab_meta_data(SessionDetails(pixel_sizes=table))
    else:
        details.pixel_sizes = table
