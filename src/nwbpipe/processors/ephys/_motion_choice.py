"""Decide before the computation by which motion of the tissue spikes are corrected as they are sorted or measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from nwbpipe.errors import InputError
from nwbpipe.processors._base import Context, Input
from nwbpipe.processors.ephys import _electrodes
from nwbpipe.processors.ephys._clock import find_intervals, samples_at, sampling_rate
from nwbpipe.processors.ephys._electrodes import Floats
from nwbpipe.processors.ephys._parameters import CORRECT_MOTION, MOTION_KEYS, PreprocessingParams, SpikeSortingParams

if TYPE_CHECKING:
    from pynwb import NWBFile
    from pynwb.ecephys import ElectricalSeries

#: The input of processors that correct motion.
MOTION = Input(
    "TimeSeries", optional=True, doc="Motion of the step `motion`: it is corrected, and none is estimated here"
)


def plan_motion(
    nwbfile: NWBFile, context: Context, series: ElectricalSeries, facts: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what the compute module does about motion.

    Parameters
    ----------
    nwbfile : pynwb.NWBFile
    context : Context
    series : ElectricalSeries
    facts : mapping
        From `describe_recording`.

    Returns
    -------
    dict
        ``motion_method`` ("none", "sorter", "bound", or a method of estimation), ``motion_groups``,
        ``motion_reason``, and ``motion_bound`` (see `_motion_estimate.motion_to_json`) where motion is an input.
    """
    if "motion" in context.inputs:
        return _read_motion(nwbfile, context, series, facts)
    locations = np.asarray(facts["locations"]) if facts["has_geometry"] else None
    path = context.inputs["recording"].path
    method, dense, reason = decide_motion(context.params, locations, facts["groups"], path)
    return {"motion_method": method, "motion_groups": dense, "motion_reason": reason}


def _read_motion(
    nwbfile: NWBFile, context: Context, series: ElectricalSeries, facts: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the motion of an earlier step, in seconds from the first sample."""
    motion, path, params = context.input(nwbfile, "motion"), context.inputs["motion"].path, context.params
    sorters = sorted(MOTION_KEYS & set(getattr(params, "sorter_params", ())))
    if params.motion != "auto" or sorters:
        chosen = f"motion: {params.motion}" if params.motion != "auto" else f"sorter_params: {sorters[0]}"
        msg = "motion is an input, and a parameter says how it is corrected: only one of them may decide"
        hint = "leave out the parameter, or the input `motion`"
        raise InputError(msg, where=path, expected="the parameter motion: auto", found=chosen, hint=hint)
    windows = find_windows(motion)
    if windows is None:
        msg = "the series is not the motion of a probe"
        expected = "Motion_<step> with MotionWindows_<step>, as the processor `motion` writes them"
        raise InputError(msg, where=path, expected=expected, found=motion.name)
    times = np.asarray(motion.get_timestamps()[:], dtype=np.float64)
    _check_times(times, series, path)
    names = [str(name) for name in windows["group_name"].data[:]]
    unknown = sorted(set(names) - set(facts["group_names"]))
    if unknown:
        msg = "the motion is of another probe"
        expected = f"electrode groups of {series.name!r}: {', '.join(facts['group_names'])}"
        raise InputError(msg, where=path, expected=expected, found=", ".join(unknown))
    displacement, depths = np.asarray(motion.data[:], np.float64), np.asarray(windows["depth_um"].data[:], np.float64)
    seconds = (samples_at(series, times) / sampling_rate(series)).tolist()
    bound = []
    for name in dict.fromkeys(names):
        columns_of = [number for number, other in enumerate(names) if other == name]
        bound.append(
            {
                "group": facts["group_names"].index(name),
                "displacement_um": displacement[:, columns_of].tolist(),
                "times_s": seconds,
                "depths_um": depths[columns_of].tolist(),
            }
        )
    groups = [item["group"] for item in bound]
    return {"motion_method": "bound", "motion_groups": groups, "motion_reason": "", "motion_bound": bound}


def find_windows(motion: Any) -> Any:
    """Return the table of depth windows beside a series of motion; None if there is none that fits."""
    kind, _, step = motion.name.partition("_")
    windows = getattr(motion.parent, "data_interfaces", {}).get(f"MotionWindows_{step}")
    if kind != "Motion" or windows is None or not {"depth_um", "group_name"} <= set(getattr(windows, "colnames", ())):
        return None
    return windows if motion.data.shape[1:] == (len(windows),) else None


def _check_times(times: Floats, series: ElectricalSeries, where: str) -> None:
    """Refuse motion that was not estimated over this recording."""
    recorded = find_intervals(series)
    start, end = float(recorded[0, 0]), float(recorded[-1, 1])
    margin = 2.0 * float(np.median(np.diff(times))) if len(times) > 1 else 0.0
    if not len(times) or not start <= times[0] <= start + margin or not end - margin <= times[-1] <= end:
        found = f"{times[0]:.3f} to {times[-1]:.3f} s" if len(times) else "no times"
        msg = "the motion is of another recording"
        raise InputError(
            msg, where=where, expected=f"times over {series.name!r}: {start:.3f} to {end:.3f} s", found=found
        )


def decide_motion(
    params: PreprocessingParams, locations: Floats | None, group_of: list[int], where: str
) -> tuple[str, list[int], str]:
    """Decide how motion is corrected, before anything is computed.

    Returns
    -------
    str
        "none", "sorter", or the method.
    list of int
        Groups whose motion is corrected here.
    str
        The reason, in words for the record.

    Raises
    ------
    InputError
        If a method was asked for, and no group of electrodes is dense enough for it.
    """
    dense = [] if locations is None else _electrodes.dense_groups(locations, group_of)
    if params.motion == "none":
        return "none", [], "motion was not corrected, as asked for"
    if isinstance(params, SpikeSortingParams):
        if params.motion_is_the_sorters:
            return "sorter", [], "motion correction was left to the sorter, as asked for"
        if params.motion == "auto" and params.sorter in CORRECT_MOTION and dense:
            return "sorter", [], "motion was corrected by the sorter's own method"
    limits = (
        f"more than {_electrodes.CHANNELS_FOR_MOTION} channels within {_electrodes.WIDTH_FOR_MOTION_UM:g} µm of width"
    )
    if dense:
        return ("decentralized" if params.motion == "auto" else params.motion), dense, ""
    if params.motion == "auto":
        return "none", [], f"motion was not corrected: no electrode group has {limits}"
    msg = "the electrodes are not dense enough for motion to be seen"
    hint = "leave out the parameter `motion`, or set it to none"
    raise InputError(
        msg, where=where, expected=f"a group with {limits}", found=f"{len(group_of)} channels", hint=hint
    )
