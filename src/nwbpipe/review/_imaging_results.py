"""Read a step's imaging results out of a session file: what comparison and curation look at."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from nwbpipe import session as session_file
from nwbpipe.errors import UnknownNameError
from nwbpipe.provenance import RunRecord, find_current_record, read_records
from nwbpipe_kit.imaging_metrics import FAINTEST

Floats = NDArray[np.float64]
#: Traces that stand for a method's, the best first.
_TRACES = ("Fluorescence_{0}/NeuropilCorrected", "DfOverF_{0}/DfOverF", "Fluorescence_{0}/RoiResponseSeries")
_ACTIVITY = ("Deconvolved_{0}/Deconvolved",)
SEGMENTATION, SHIFTS = "ImageSegmentation_{0}/PlaneSegmentation_{0}", "MotionCorrectionShifts_{0}"
_IMAGES = "SummaryImages_{0}"


@dataclass(frozen=True)
class ImagingResults:
    """What a step found.

    Attributes
    ----------
    record : RunRecord
        The run.
    pixels : list of ndarray, int64, shape (n,)
        Of each ROI, its pixels as ``(plane * nx + x) * ny + y``, sorted; those whose weight is at least a quarter of
        the largest.
    cell : ndarray, bool, shape (rois,)
        Whether the method calls it a cell; all, where it does not say.
    kind : dict of str to ndarray, bool, shape (rois,)
        Further marks: ``dim``, ``dendrite`` of a simulated truth.
    traces, activity : ndarray or None, shape (frames, rois)
        The first of `NeuropilCorrected`, `DfOverF`, `RoiResponseSeries`; `Deconvolved`.
    shifts : ndarray or None, shape (frames, planes, 2)
        Displacement (x, y) of the content in pixels: what the method found, or was given as the input ``shifts``.
    frame_shape : (int, int)
        Size of the frame (x, y).
    mean : ndarray or None, shape (x, y)
        The mean image, of one plane.
    """

    record: RunRecord
    pixels: list[NDArray[np.int64]]
    cell: NDArray[np.bool_]
    kind: dict[str, NDArray[np.bool_]]
    traces: Floats | None
    activity: Floats | None
    shifts: Floats | None
    frame_shape: tuple[int, int]
    mean: Floats | None = None

    def shift_masks(self, offset: tuple[int, int]) -> list[NDArray[np.int64]]:
        """Return the pixels, displaced by (x, y); what leaves the frame is lost."""
        nx, ny = self.frame_shape
        found = []
        for pixels in self.pixels:
            rest, y = np.divmod(pixels, ny)
            plane, x = np.divmod(rest, nx)
            x, y = x + offset[0], y + offset[1]
            inside = (x >= 0) & (x < nx) & (y >= 0) & (y < ny)
            found.append(((plane * nx + x) * ny + y)[inside])
        return found


def read_imaging(path: Path | str, step: str) -> ImagingResults:
    """Read the current imaging results of a step.

    Raises
    ------
    UnknownNameError
        If the file has none.
    """
    session = session_file.check_readable(path)
    record = find_current_record(read_records(session), step)
    with session_file.open_hdf5(session) as file:
        if record is None or not _has_imaging(file, record):
            msg = f"the file has no imaging result of a step {step!r}"
            steps = [one.step for one in read_records(file) if not one.superseded and _has_imaging(file, one)]
            hint = "`nwbpipe log FILE.nwb` shows all steps"
            raise UnknownNameError(msg, where=str(path), expected=", ".join(steps) or None, found=step, hint=hint)
        return _read_results(file, record)


def find_output(file: h5py.File, record: RunRecord, *patterns: str) -> str | None:
    """Return the path of what a run wrote, by the first of some patterns that is there.

    Parameters
    ----------
    file : h5py.File
    record : RunRecord
        The run.
    *patterns : str
        Containers, and what is in them, with {0} for the step: ``Fluorescence_{0}/Neuropil``.
    """
    outputs = {output.path.rpartition("/")[2]: output.path for output in record.outputs}
    for pattern in patterns:
        container, slash, inner = pattern.format(record.step).partition("/")
        if container in outputs and (found := outputs[container] + slash + inner) in file:
            return found
    return None


def _has_imaging(file: h5py.File, record: RunRecord) -> bool:
    return find_output(file, record, SEGMENTATION, SHIFTS, _IMAGES) is not None


def _read_results(file: h5py.File, record: RunRecord) -> ImagingResults:
    table, shifts, images, traces, activity = (
        find_output(file, record, *patterns)
        for patterns in ((SEGMENTATION,), (SHIFTS,), (_IMAGES,), _TRACES, _ACTIVITY)
    )
    shifts = shifts or _find_input_shifts(file, record)
    shape = _read_frame_shape(file, record, images)
    pixels: list[NDArray[np.int64]] = []
    cell, kind = np.zeros(0, bool), {}
    if table is not None:
        pixels = _read_pixels(file[table], shape)
        cell = file[table]["iscell"][()].astype(bool) if "iscell" in file[table] else np.ones(len(pixels), bool)
        kind = {name: file[table][name][()].astype(bool) for name in ("dim", "dendrite") if name in file[table]}
    moved = None if shifts is None else np.asarray(file[f"{shifts}/data"][()], dtype=np.float64)
    return ImagingResults(
        record=record,
        pixels=pixels,
        cell=cell,
        kind=kind,
        traces=None if traces is None else np.asarray(file[f"{traces}/data"][()], dtype=np.float64),
        activity=None if activity is None else np.asarray(file[f"{activity}/data"][()], dtype=np.float64),
        shifts=moved if moved is None or moved.ndim == 3 else moved[:, None],
        frame_shape=shape,
        mean=None
        if images is None or "mean" not in file[images]
        else np.asarray(file[images]["mean"][()], np.float64),
    )


def _find_input_shifts(file: h5py.File, record: RunRecord) -> str | None:
    """Path of the shifts that a run was given, if they are still the same object."""
    for one in record.inputs:
        if one.name == "shifts" and one.path in file and file[one.path].attrs.get("object_id") == one.object_id:
            return one.path
    return None


def _read_frame_shape(file: h5py.File, record: RunRecord, images: str | None) -> tuple[int, int]:
    for one in record.inputs:
        if one.name == "movie" and f"{one.path}/data" in file:
            nx, ny = file[f"{one.path}/data"].shape[1:3]
            return int(nx), int(ny)
    if images is not None:
        first = next(one for one in file[images].values() if one.attrs.get("neurodata_type") == "GrayscaleImage")
        return int(first.shape[0]), int(first.shape[1])
    return 1 << 20, 1 << 20  # only the order of pixels matters then


def _read_pixels(table: h5py.Group, shape: tuple[int, int]) -> list[NDArray[np.int64]]:
    values, ends = table["pixel_mask"][()], table["pixel_mask_index"][()].astype(np.int64)
    planes = table["plane"][()] if "plane" in table else np.zeros(len(ends), np.int64)
    x, y, weight = values["x"].astype(np.int64), values["y"].astype(np.int64), values["weight"]
    starts = np.concatenate([[0], ends[:-1]]) if len(ends) else ends
    found = []
    for plane, start, end in zip(planes, starts, ends, strict=True):
        pixels = (int(plane) * shape[0] + x[start:end]) * shape[1] + y[start:end]
        strong = weight[start:end] >= FAINTEST * weight[start:end].max(initial=0.0)
        found.append(np.unique(pixels[strong]))
    return found
