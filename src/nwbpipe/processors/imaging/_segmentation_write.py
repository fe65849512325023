"""Write the results of imaging methods as NWB containers: the same shape, whatever tool they come from.

Everything is in the movie's own orientation: a frame is (x, y), as NWB and NeuroConv store it; of a volume, planes
are counted along the fourth axis. Plain arrays come in; which method made them, only the texts say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nwbpipe.nwb_builders import Times
from nwbpipe.processors._base import Context

if TYPE_CHECKING:
    from pynwb import ProcessingModule
    from pynwb.ophys import PlaneSegmentation

AXES = "x is the index along the second axis of the movie's data, y along the third"
_BLOCK_COLUMNS = {
    "x_start": "First x of the block, in pixels.",
    "x_stop": "End of the block in x, in pixels.",
    "y_start": "First y of the block, in pixels.",
    "y_stop": "End of the block in y, in pixels.",
}


@dataclass(frozen=True)
class Motion:
    """Motion of a movie: displacement of the content, positive towards larger indices; a correction is its opposite.

    A volume has an axis of planes after that of frames.

    Attributes
    ----------
    shifts : ndarray, float32, shape (frames, [planes,] 2)
        Displacement (x, y) of each frame against the reference image, in pixels.
    quality : mapping of str to (str, ndarray)
        For each column of ``MotionCorrectionQuality``: what it is, and its values, (frames, [planes]).
    blocks : ndarray, int, shape (blocks, 4), optional
        ``x_start, x_stop, y_start, y_stop`` of each block of a non-rigid registration, ends excluded.
    block_shifts : ndarray, float32, shape (frames, [planes,] blocks, 2), optional
        Displacement (x, y) of each block, beyond that of its frame.
    note : str
        A sentence more for the description of the shifts.
    """

    shifts: NDArray[np.float32]
    quality: Mapping[str, tuple[str, NDArray[Any]]] = field(default_factory=dict)
    blocks: NDArray[np.integer[Any]] | None = None
    block_shifts: NDArray[np.float32] | None = None
    note: str = ""

    @classmethod
    def from_arrays(cls, arrays: Any, *, note: str = "", **quality: tuple[str, NDArray[Any]]) -> Motion:
        """Read ``shifts``, ``blocks`` and ``block_shifts``, as compute modules leave them."""
        rigid = "block_shifts" not in arrays
        return cls(
            shifts=arrays["shifts"][:],
            quality=quality,
            blocks=None if rigid else arrays["blocks"][:],
            block_shifts=None if rigid else arrays["block_shifts"][:],
            note=note,
        )


@dataclass(frozen=True)
class Rois:
    """Regions of interest, their pixels end to end.

    Attributes
    ----------
    index : ndarray, int, shape (rois,)
        End of each ROI's pixels in the next three.
    x, y : ndarray, int, shape (pixels,)
    weight : ndarray, float32, shape (pixels,)
    plane : ndarray, int, shape (rois,), optional
        Plane of each ROI, from 0; of a volume only.
    columns : mapping of str to (str, ndarray)
        Further columns: their description, and values (rois,) or (rois, n). ``iscell`` (bool) and
        ``iscell_probability`` are those that every method should give.
    """

    index: NDArray[np.integer[Any]]
    x: NDArray[np.integer[Any]]
    y: NDArray[np.integer[Any]]
    weight: NDArray[np.floating[Any]]
    plane: NDArray[np.integer[Any]] | None = None
    columns: Mapping[str, tuple[str, NDArray[Any]]] = field(default_factory=dict)

    @classmethod
    def from_group(cls, group: Any, columns: Mapping[str, tuple[str, NDArray[Any]]]) -> Rois:
        """Read the pixels and planes of the group ``rois``, as compute modules leave it."""
        index, x, y, weight = (group[name][:] for name in ("index", "x", "y", "weight"))
        return cls(index, x, y, weight, group["plane"][:] if "plane" in group else None, columns)


@dataclass(frozen=True)
class Traces:
    """One series of traces, of all ROIs.

    Attributes
    ----------
    name : str
        Name of the `RoiResponseSeries`: ``RoiResponseSeries`` (raw), ``Neuropil``, ``NeuropilCorrected``,
        ``DfOverF``, ``Deconvolved``, …
    values : ndarray, shape (frames, rois)
    description : str
        How they were made.
    unit : str
    """

    name: str
    values: NDArray[Any]
    description: str
    unit: str = "a.u."


def compress(values: NDArray[Any]) -> Any:
    """Wrap values for a compressed dataset; what is empty can't be chunked."""
    from pynwb import H5DataIO

    if not values.size:
        return values
    return H5DataIO(values, compression="gzip", compression_opts=4, shuffle=True, chunks=True)


#: What `write_motion` and `write_images` may add: of `Processor.containers`.
MOTION_CONTAINERS = (
    "MotionCorrectionShifts",
    "MotionCorrectionQuality",
    "MotionCorrectionBlocks",
    "MotionCorrectionBlockShifts",
    "SummaryImages",
)


def write_motion(module: ProcessingModule, context: Context, movie: Any, motion: Motion) -> None:
    """Add ``MotionCorrectionShifts``, and where there are such, ``…Quality``, ``…Blocks`` and ``…BlockShifts``.

    NWB's own `MotionCorrection` is not used: it demands the corrected movie, which is not kept.

    Parameters
    ----------
    module : pynwb.ProcessingModule
    context : Context
        Of the run: it names the containers.
    movie : TwoPhotonSeries or OnePhotonSeries
        What was registered; the shifts are at its times.
    motion : Motion
    """
    from hdmf.common import DynamicTable, VectorData
    from pynwb import TimeSeries

    times = Times.of(movie).arguments()
    planes = ", planes" if motion.shifts.ndim == 3 else ""

    def add(name: str, values: NDArray[Any], unit: str, text: str) -> None:
        module.add(TimeSeries(name=context.name(name), data=compress(values), unit=unit, description=text, **times))

    add(
        "MotionCorrectionShifts",
        motion.shifts,
        "pixels",
        f"Displacement (x, y) of the content of each frame of {movie.name} against the reference image, positive "
        f"towards larger indices; a frame is corrected by the opposite. (frames{planes}, 2). {AXES}. {motion.note}",
    )
    if motion.quality:
        texts = "; ".join(f"{column}: {text}" for column, (text, _) in enumerate(motion.quality.values()))
        add(
            "MotionCorrectionQuality",
            np.stack([np.asarray(values, np.float32) for _, values in motion.quality.values()], axis=-1),
            "n.a.",
            f"Columns (last axis): {texts}.",
        )
    if motion.blocks is None or motion.block_shifts is None:
        return
    module.add(
        DynamicTable(
            name=context.name("MotionCorrectionBlocks"),
            description=f"Blocks of the non-rigid registration, ends excluded. {AXES}.",
            columns=[
                VectorData(name=name, description=text, data=motion.blocks[:, column])
                for column, (name, text) in enumerate(_BLOCK_COLUMNS.items())
            ],
        )
    )
    add(
        "MotionCorrectionBlockShifts",
        motion.block_shifts,
        "pixels",
        f"Displacement (x, y) of the content of each block, beyond that of its frame: (frames{planes}, blocks, 2). "
        f"The blocks are the rows of {context.name('MotionCorrectionBlocks')}.",
    )


def write_images(module: ProcessingModule, context: Context, images: Mapping[str, tuple[str, NDArray[Any]]]) -> None:
    """Add ``SummaryImages``; nothing where there are none.

    Parameters
    ----------
    module : pynwb.ProcessingModule
    context : Context
        Of the run: it names the container.
    images : mapping of str to (str, ndarray)
        For each image its description and values, (x, y), or (x, y, planes) of a volume.
    """
    from pynwb.base import Images
    from pynwb.image import GrayscaleImage

    grayscale_images = []
    for name, (text, values) in images.items():
        if values.ndim == 2:
            grayscale_images.append(GrayscaleImage(name=name, data=values, description=text))
            continue
        grayscale_images += [
            GrayscaleImage(name=f"{name}_plane{plane}", data=values[..., plane], description=f"{text} Plane {plane}.")
            for plane in range(values.shape[2])
        ]
    if grayscale_images:
        text = "Summary images of the movie, (x, y) as its frames."
        module.add(Images(name=context.name("SummaryImages"), images=grayscale_images, description=text))


def write_segmentation(
    module: ProcessingModule, context: Context, movie: Any, rois: Rois, description: str
) -> PlaneSegmentation:
    """Add ``ImageSegmentation`` with a ``PlaneSegmentation`` of pixel masks, and return that.

    Call it with at least one ROI: a method that found none leaves the segmentation out (a table without rows is
    nothing that a reader expects, and nwbinspector objects to it).

    Parameters
    ----------
    module : pynwb.ProcessingModule
    context : Context
        Of the run: it names the container.
    movie : TwoPhotonSeries or OnePhotonSeries
        Whose imaging plane the ROIs are in.
    rois : Rois
    description : str
        Of the table: how the ROIs were found.

    Returns
    -------
    pynwb.ophys.PlaneSegmentation
        For `write_traces`.
    """
    from hdmf.common import VectorData, VectorIndex
    from pynwb.ophys import ImageSegmentation, PlaneSegmentation

    pixels = np.empty(len(rois.x), dtype=[("x", np.uint32), ("y", np.uint32), ("weight", np.float32)])
    pixels["x"], pixels["y"], pixels["weight"] = rois.x, rois.y, rois.weight
    mask = VectorData(name="pixel_mask", description=f"Pixels (x, y, weight) of each ROI. {AXES}.", data=pixels)
    columns: list[VectorData] = [
        VectorData(name=name, description=text, data=np.asarray(values))
        for name, (text, values) in rois.columns.items()
    ]
    if rois.plane is not None:
        text = "Plane of the ROI: index along the fourth axis of the movie's data, from 0."
        columns.insert(0, VectorData(name="plane", description=text, data=rois.plane.astype(np.int32)))
    table = PlaneSegmentation(
        name=context.name("PlaneSegmentation"),
        description=description,
        imaging_plane=movie.imaging_plane,
        reference_images=movie,
        columns=[
            mask,
            VectorIndex(name="pixel_mask_index", target=mask, data=rois.index.astype(np.uint64)),
            *columns,
        ],
        colnames=["pixel_mask", *(column.name for column in columns)],
    )
    module.add(ImageSegmentation(name=context.name("ImageSegmentation"), plane_segmentations=[table]))
    return table


def write_traces(
    module: ProcessingModule,
    context: Context,
    movie: Any,
    table: PlaneSegmentation,
    *,
    fluorescence: Sequence[Traces] = (),
    dff: Sequence[Traces] = (),
    deconvolved: Sequence[Traces] = (),
    rows: Sequence[int] | None = None,
) -> None:
    """Add ``Fluorescence``, ``DfOverF`` and ``Deconvolved``, of those that are given, at the times of `movie`.

    Parameters
    ----------
    module : pynwb.ProcessingModule
    context : Context
    movie : pynwb.TimeSeries
        The movie, or traces made from it: what has the times.
    table : pynwb.ophys.PlaneSegmentation
        Its rows are the columns of all traces.
    fluorescence, dff, deconvolved : sequence of Traces
    rows : sequence of int, optional
        The rows that the columns are, where they are not all.
    """
    from pynwb.ophys import DfOverF, Fluorescence, RoiResponseSeries

    times = Times.of(movie).arguments()
    for kind, container, traces_list in (
        ("Fluorescence", Fluorescence, fluorescence),
        ("DfOverF", DfOverF, dff),
        ("Deconvolved", Fluorescence, deconvolved),
    ):
        series = [
            RoiResponseSeries(
                name=traces.name,
                data=compress(traces.values),
                rois=table.create_roi_table_region(
                    region=list(range(len(table)) if rows is None else rows), description=f"ROIs of {table.name}."
                ),
                unit=traces.unit,
                description=traces.description,
                **times,
            )
            for traces in traces_list
        ]
        if series:
            module.add(container(name=context.name(kind), roi_response_series=series))
