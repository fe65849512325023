"""Read a step's imaging results out of a session file, for comparison and curation."""

from __future__ import annotations

from dataclasses import dataclass

import h5py
import numpy as np
from numpy.typing import NDArray

from nwbpipe.errors import UnknownNameError
from nwbpipe.provenance import RunRecord, find_current_record
from nwbpipe.session import SessionReader
from nwbpipe_kit.imaging_metrics import FAINTEST

Floats = NDArray[np.float64]
#: Traces that stand for a method's, the best first.
_TRACES = ("Fluorescence_{0}/NeuropilCorrected", "DfOverF_{0}/DfOverF", "Fluorescence_{0}/RoiResponseSeries")
_ACTIVITY = ("Deconvolved_{0}/Deconvolved",)
SEGMENTATION, SHIFTS = "ImageSegmentation_{0}/PlaneSegmentation_{0}", "MotionCorrectionShifts_{0}"
_IMAGES = "SummaryImages_{0}"


@dataclass(frozen=True)
class ImagingResults:
    """The imaging results of a step.

    Attributes
    ----------
    record : RunRecord
        The run.
    pixels : list of ndarray, int64, shape (n,)
        The pixels of each ROI as ``(plane * nx + x) * ny + y``, sorted; those whose weight is at least a quarter of
        the largest.
    cell : ndarray, bool, shape (rois,)
        True for the ROIs that the method calls cells; for all, where it does not judge them.
    kind : dict of str to ndarray, bool, shape (rois,)
        Further marks: ``dim``, ``dendrite`` of a simulated truth.
    traces, activity : ndarray or None, shape (frames, rois)
        The first of `NeuropilCorrected`, `DfOverF`, `RoiResponseSeries`; `Deconvolved`.
    shifts : ndarray or None, shape (frames, planes, 2)
        Displacement (x, y) of the content in pixels: the method's result, or its input ``shifts``.
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
        """Return the pixels, displaced by (x, y), without those that leave the frame."""
        nx, ny = self.frame_shape
        shifted = []
        for pixels in self.pixels:
            column, y = np.divmod(pixels, ny)
            plane, x = np.divmod(column, nx)
            x, y = x + offset[0], y + offset[1]
            inside = (x >= 0) & (x < nx) & (y >= 0) & (y < ny)
            shifted.append(((plane * nx + x) * ny + y)[inside])
        return shifted


def read_imaging(reader: SessionReader, step: str) -> ImagingResults:
    """Read the current imaging results of a step.

    Raises
    ------
    UnknownNameError
        If the file has none.
    """
    file, record = reader.file, find_current_record(reader.records, step)
    if record is None or not _has_imaging(file, record):
        msg = f"the file has no imaging result of a step {step!r}"
        steps = [other.step for other in reader.records if not other.superseded and _has_imaging(file, other)]
        hint = "`nwbpipe log FILE.nwb` shows all steps"
        raise UnknownNameError(msg, where=file.filename, expected=", ".join(steps) or None, found=step, hint=hint)
    return _read_results(file, record)


def find_output(file: h5py.File, record: RunRecord, *patterns: str) -> str | None:
    """Return the path of an output of a run, by the first of several patterns that the file has.

    Parameters
    ----------
    file : h5py.File
    record : RunRecord
        The run.
    *patterns : str
        Containers, or objects in them, with {0} for the step: ``Fluorescence_{0}/Neuropil``.
    """
    outputs = {output.path.rpartition("/")[2]: output.path for output in record.outputs}
    for pattern in patterns:
        container, slash, inner = pattern.format(record.step).partition("/")
        if container in outputs and (output := outputs[container] + slash + inner) in file:
            return output
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
    motion = None if shifts is None else np.asarray(file[f"{shifts}/data"][()], dtype=np.float64)
    return ImagingResults(
        record=record,
        pixels=pixels,
        cell=cell,
        kind=kind,
        traces=None if traces is None else np.asarray(file[f"{traces}/data"][()], dtype=np.float64),
        activity=None if activity is None else np.asarray(file[f"{activity}/data"][()], dtype=np.float64),
        shifts=motion if motion is None or motion.ndim == 3 else motion[:, None],
        frame_shape=shape,
        mean=None
        if images is None or "mean" not in file[images]
        else np.asarray(file[images]["mean"][()], np.float64),
    )


def _find_input_shifts(file: h5py.File, record: RunRecord) -> str | None:
    """Return the path of a run's input of shifts, if the same object still lies there."""
    for item in record.inputs:
        if item.name == "shifts" and item.is_in(file):
            return item.path
    return None


def _read_frame_shape(file: h5py.File, record: RunRecord, images: str | None) -> tuple[int, int]:
    for item in record.inputs:
        if item.name == "movie" and f"{item.path}/data" in file:
            nx, ny = file[f"{item.path}/data"].shape[1:3]
            return int(nx), int(ny)
    if images is not None:
        members = file[images].values()
        first = next(image for image in members if image.attrs.get("neurodata_type") == "GrayscaleImage")
        return int(first.shape[0]), int(first.shape[1])
    return 1 << 20, 1 << 20  # only the order of pixels matters then


def _read_pixels(table: h5py.Group, shape: tuple[int, int]) -> list[NDArray[np.int64]]:
    values, ends = table["pixel_mask"][()], table["pixel_mask_index"][()].astype(np.int64)
    planes = table["plane"][()] if "plane" in table else np.zeros(len(ends), np.int64)
    x, y, weight = values["x"].astype(np.int64), values["y"].astype(np.int64), values["weight"]
    starts = np.concatenate([[0], ends[:-1]]) if len(ends) else ends
    masks = []
    for plane, start, end in zip(planes, starts, ends, strict=True):
        pixels = (int(plane) * shape[0] + x[start:end]) * shape[1] + y[start:end]
        strong = weight[start:end] >= FAINTEST * weight[start:end].max(initial=0.0)
        masks.append(np.unique(pixels[strong]))
    return masks
