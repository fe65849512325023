"""Read the results of a processed session file with h5py only, as any program could."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class RecoveredResults:
    """Results of the demo's steps, and the times of its events.

    Attributes
    ----------
    masks : ndarray, bool, shape (n_cells, height, width)
        Pixels of the ROIs that suite2p classifies as cells.
    traces : ndarray, float64, shape (n_cells, n_frames)
        Their neuropil-corrected traces.
    mean_image : ndarray, shape (height, width)
        Mean of the registered movie.
    shifts : ndarray, float64, shape (n_frames, 2)
        Displacement (y, x) of each frame in pixels.
    spike_times : list of ndarray
        Spike times of each unit in seconds.
    drift : ndarray, float64, shape (n_times, n_windows)
        Displacement of the tissue along the probe in micrometers, at `drift_times`.
    pupil_area : ndarray, shape (n_video_frames,)
        Square pixels; NaN where no pupil was found.
    dff : ndarray, float64, shape (n_samples, n_fibers)
        dF/F of the photometry; NaN at its edges.
    drift_times, dff_times, pupil_times, event_times, trial_starts, frame_times : ndarray
        Seconds in the session's clock.
    """

    masks: NDArray[np.bool_]
    traces: Floats
    mean_image: Floats
    shifts: Floats
    spike_times: list[Floats]
    drift: Floats
    drift_times: Floats
    pupil_area: Floats
    dff: Floats
    dff_times: Floats
    pupil_times: Floats
    event_times: Floats
    trial_starts: Floats
    frame_times: Floats


def read_recovered(path: Path) -> RecoveredResults:
    """Read the results of the steps ``suite2p``, ``spikesorting``, ``facemap_svd`` and ``photometry_dff``."""
    with h5py.File(path, "r") as file:
        ophys, behavior = file["processing/ophys"], file["processing/behavior"]
        movie = file["acquisition/TwoPhotonSeries_scope"]
        table = ophys["ImageSegmentation_suite2p/PlaneSegmentation_suite2p"]
        cells = np.flatnonzero(table["iscell"][()])
        traces = ophys["Fluorescence_suite2p/NeuropilCorrected/data"][()].T
        width, height = movie["data"].shape[1:]  # NWB keeps a frame as (x, y)
        dff = ophys["DfOverFIsosbestic_photometry_dff"]
        drift = file["processing/ecephys/Motion_spikesorting"]
        area = behavior["PupilTracking_facemap_svd/pupil_area"]
        return RecoveredResults(
            masks=_read_masks(table, (height, width))[cells],
            traces=np.asarray(traces[cells], dtype=np.float64),
            mean_image=np.asarray(ophys["SummaryImages_suite2p/mean"][()].T, dtype=np.float64),
            shifts=np.asarray(ophys["MotionCorrectionShifts_suite2p/data"][()][:, ::-1], dtype=np.float64),
            spike_times=_read_spike_trains(file["processing/ecephys/Units_spikesorting"]),
            drift=np.asarray(drift["data"][()], dtype=np.float64),
            drift_times=read_series_times(drift),
            pupil_area=np.asarray(area["data"][()], dtype=np.float64),
            dff=np.asarray(dff["data"][()], dtype=np.float64),
            dff_times=read_series_times(dff),
            pupil_times=read_series_times(area),
            event_times=np.asarray(file["events/events/timestamp"][()], dtype=np.float64),
            trial_starts=np.asarray(file["intervals/trials/start_time"][()], dtype=np.float64),
            frame_times=read_series_times(movie),
        )


def _read_masks(table: h5py.Group, shape: tuple[int, int]) -> NDArray[np.bool_]:
    pixels, ends = table["pixel_mask"][()], table["pixel_mask_index"][()]
    masks = np.zeros((len(ends), *shape), dtype=bool)
    start = 0
    for mask, end in zip(masks, ends, strict=True):
        mask[pixels["y"][start:end], pixels["x"][start:end]] = True
        start = end
    return masks


def _read_spike_trains(units: h5py.Group) -> list[Floats]:
    return np.split(units["spike_times"][()], units["spike_times_index"][:-1].astype(int))


def read_series_times(series: h5py.Group) -> Floats:
    """Return the times of a series' samples in seconds."""
    if "timestamps" in series:
        return np.asarray(series["timestamps"][()], dtype=np.float64)
    start = series["starting_time"]
    return np.asarray(start[()] + np.arange(len(series["data"])) / start.attrs["rate"], dtype=np.float64)
