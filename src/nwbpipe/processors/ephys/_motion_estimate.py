"""Estimate how tissue moves along a probe, and interpolate a recording as if it had not moved.

A part of compute modules, under their rule: standard library, numpy, h5py and the tool (SpikeInterface) only.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import spikeinterface.full as si
from spikeinterface.core.motion import Motion

from ._registration import register_depths

#: SpikeInterface's presets by the names of our methods; those of DREDge need torch. `decentralized` takes the peaks
#: of a preset, and `register_depths`: SpikeInterface's own decentralized method takes hours without torch.
PRESETS = {
    "decentralized": "nonrigid_fast_and_accurate",
    "dredge": "dredge",
    "dredge_fast": "dredge_fast",
    "iterative_template": "kilosort_like",
}
#: Spikes per second of recording below which no motion can be told from chance.
LEAST_PEAKS_PER_S = 10.0
#: So many spikes, drawn at random, are located.
MOST_PEAKS = 300_000
#: Displacements below this are within the error of the estimate: correcting them would only blur.
LEAST_MOTION_UM = 3.0


def find_peaks(recording: Any, method: str, seed: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the peaks of a preprocessed recording, and where each is (fields x, y in micrometers)."""
    from spikeinterface.sortingcomponents.peak_detection import detect_peaks
    from spikeinterface.sortingcomponents.peak_localization import localize_peaks

    settings = si.get_motion_parameters_preset(PRESETS[method])
    detect = {
        key: settings["detect_kwargs"][key]
        for key in ("peak_sign", "detect_threshold", "exclude_sweep_ms", "radius_um")
    }
    detect["noise_levels"] = si.get_noise_levels(recording, return_in_uV=False, random_slices_kwargs={"seed": seed})
    peaks = detect_peaks(recording, method="locally_exclusive", method_kwargs=detect)
    if len(peaks) > MOST_PEAKS:
        drawn = np.random.default_rng(0 if seed is None else seed).choice(len(peaks), MOST_PEAKS, replace=False)
        peaks = peaks[np.sort(drawn)]
    localize = dict(settings["localize_peaks_kwargs"])
    name = localize.pop("method")
    return peaks, localize_peaks(recording, peaks, method=name, method_kwargs=localize)


def estimate_motion(
    recording: Any,
    method: str,
    seed: int | None,
    peaks: tuple[np.ndarray, np.ndarray] | None = None,
    least_um: float = LEAST_MOTION_UM,
) -> tuple[Motion | None, str]:
    """Return the motion of the tissue along one probe or shank, or None with the reason.

    Parameters
    ----------
    recording : BaseRecording
        Preprocessed, of one probe or shank.
    method : str
        A key of `PRESETS`.
    seed : int, optional
    peaks : tuple, optional
        From `find_peaks`.
    least_um : float
        Motion below this is not told from none.
    """
    from spikeinterface.sortingcomponents.motion import estimate_motion as estimate

    spikes, positions = find_peaks(recording, method, seed) if peaks is None else peaks
    seconds = recording.get_num_samples() / recording.sampling_frequency
    if len(spikes) < LEAST_PEAKS_PER_S * seconds:
        return None, f"motion was not corrected: {len(spikes)} spikes in {seconds:.0f} s are too few to see it"
    if method == "decentralized":
        extent = recording.get_channel_locations()[:, 1]
        displacement, bins, windows = register_depths(
            spikes["sample_index"] / recording.sampling_frequency,
            positions["y"],
            spikes["amplitude"],
            seconds,
            (float(extent.min()), float(extent.max())),
        )
        motion = Motion([displacement], [bins], windows)
    else:
        arguments = dict(si.get_motion_parameters_preset(PRESETS[method])["estimate_motion_kwargs"])
        motion = estimate(recording, spikes, positions, **arguments)
    return judge_motion(motion, method, least_um)


def judge_motion(motion: Motion, origin: str, least_um: float = LEAST_MOTION_UM) -> tuple[Motion | None, str]:
    """Return the motion if it is larger than the error of estimates, and what is done about it, in words."""
    moved = float(np.ptp(np.percentile(motion.displacement[0], [1, 99])))
    if moved < least_um:
        return None, f"motion was not corrected: {moved:.1f} µm are within the error of the estimate"
    return motion, f"motion of {moved:.1f} µm was corrected ({origin})"


def correct_traces(traces: np.ndarray, channels: np.ndarray, recording: Any, motion: Motion) -> None:
    """Interpolate columns of `traces` in place, block by block.

    Parameters
    ----------
    traces : ndarray, int16, shape (samples, all channels)
    channels : ndarray, int
        Columns of `recording` in it.
    recording : BaseRecording
        Reads these columns. A block is read before it is written, and needs no other.
    motion : Motion
    """
    from spikeinterface.sortingcomponents.motion import interpolate_motion

    corrected = interpolate_motion(
        si.astype(recording, "float32"),
        motion,
        border_mode="force_extrapolate",
        spatial_interpolation_method="kriging",
        sigma_um=20.0,
        p=2,
    )
    block = int(recording.sampling_frequency)
    for start in range(0, len(traces), block):
        end = min(start + block, len(traces))
        values = np.rint(corrected.get_traces(start_frame=start, end_frame=end))
        traces[start:end, channels] = np.clip(values, -32767, 32767).astype("int16")


def motion_to_json(motion: Motion) -> dict[str, Any]:
    """Return displacement (bins × windows, µm), times of the bins (seconds from the first sample), and depths."""
    return {
        "displacement_um": np.asarray(motion.displacement[0], float).tolist(),
        "times_s": np.asarray(motion.temporal_bins_s[0], float).tolist(),
        "depths_um": np.asarray(motion.spatial_bins_um, float).tolist(),
    }


def motion_from_json(values: dict[str, Any]) -> Motion:
    """Return the motion that `motion_to_json` wrote."""
    return Motion(
        [np.asarray(values["displacement_um"], float)],
        [np.asarray(values["times_s"], float)],
        np.asarray(values["depths_um"], float),
    )
