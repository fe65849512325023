"""Check a movie and return its rate, shape and gaps before a processor starts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from nwbpipe.errors import InputError

if TYPE_CHECKING:
    from pynwb import NWBFile

    from nwbpipe.processors._base import Context

MIN_FRAMES = 20
MIN_SIDE = 16
# An axis of pixels that is so many times longer than both others is taken for time.
TIME_LIKE = 4
# A gap is an interval that differs from the median by more than half of it: at least one frame is missing.
GAP = 0.5
# Above this fraction of such intervals the rate means nothing.
MAX_GAPS = 0.01


def movie_facts(series: Any, path: str) -> dict[str, Any]:
    """Return the rate, shape and gaps of a movie that can be processed.

    Parameters
    ----------
    series : pynwb.ophys.TwoPhotonSeries or OnePhotonSeries
    path : str
        Its path in the file, for messages.

    Returns
    -------
    dict
        ``rate`` in Hz (from regular timestamps, the inverse of their median interval), ``shape`` (frames, x, y[,
        planes]),
        ``gaps``: the number of places where frames are missing between two timestamps.

    Raises
    ------
    InputError
        If the movie is not in the file, is not (frames, x, y[, planes]), is too small, or has no usable rate.
    """
    if series.external_file is not None and len(series.external_file):
        msg = "the movie lies in an external file, and can't be processed from there"
        raise InputError(
            msg,
            where=path,
            expected="frames in the NWB file",
            found=", ".join(map(str, series.external_file)),
            hint="convert the movie with an imaging interface, which puts its frames into the file",
        )
    shape = tuple(int(size) for size in series.data.shape)
    if len(shape) not in (3, 4):
        msg = "the data are not a movie"
        raise InputError(
            msg,
            where=path,
            expected="one channel: (frames, x, y), or (frames, x, y, planes)",
            found=f"shape {shape}",
            hint="convert each channel as a series of its own",
        )
    declared = None if series.dimension is None else tuple(int(size) for size in series.dimension)
    longest = int(np.argmax(shape[:3]))
    other_sizes = [size for axis, size in enumerate(shape[:3]) if axis != longest]
    # NeuroConv states the size of a frame as (rows, columns), and writes it as (columns, rows).
    if (declared and sorted(declared[: len(shape) - 1]) != sorted(shape[1:])) or (
        longest and shape[longest] > TIME_LIKE * max(other_sizes)
    ):
        msg = "the axes of the movie seem to be in another order"
        raise InputError(
            msg,
            where=path,
            expected="(frames, x, y[, planes])" + (f", frames of {declared}" if declared else ""),
            found=f"shape {shape}",
            hint="time is the first axis in NWB: convert the movie again, with its axes in that order",
        )
    if shape[0] < MIN_FRAMES or min(shape[1:3]) < MIN_SIDE:
        msg = "the movie is too small"
        raise InputError(
            msg,
            where=path,
            expected=f"{MIN_FRAMES} frames of {MIN_SIDE} x {MIN_SIDE} pixels, or more",
            found=f"shape {shape}",
            hint="check that the series is the movie that was meant",
        )
    if series.rate is not None:
        if not series.rate > 0:
            msg = "the movie's rate is not positive"
            raise InputError(
                msg, where=path, expected="a rate in Hz", found=repr(series.rate), hint="correct it in the source"
            )
        return {"rate": float(series.rate), "shape": list(shape), "gaps": 0}
    return {
        "shape": list(shape),
        **check_regular_rate(np.asarray(series.timestamps, dtype=np.float64), shape[0], path),
    }


def check_regular_rate(times: np.ndarray, frames: int, path: str) -> dict[str, Any]:
    """Return the ``rate`` and the number of ``gaps`` of timestamps; times that are not regular are refused."""
    if len(times) != frames:
        msg = "the data and their timestamps differ in length"
        raise InputError(
            msg, where=path, expected=f"{frames} timestamps", found=str(len(times)), hint="convert the series again"
        )
    intervals = np.diff(times)
    if not np.all(intervals > 0):
        index = int(np.flatnonzero(~(intervals > 0))[0])
        msg = "the timestamps do not increase"
        raise InputError(
            msg,
            where=f"{path}, frames {index} and {index + 1}",
            expected="increasing times in seconds",
            found=f"{times[index]!r}, then {times[index + 1]!r}",
            hint="check the source's clock",
        )
    interval = float(np.median(intervals))
    gaps = int(np.count_nonzero(np.abs(intervals - interval) > GAP * interval))
    if gaps > MAX_GAPS * len(intervals):
        msg = "the frames are not regular in time"
        raise InputError(
            msg,
            where=path,
            expected=f"intervals near {interval:.6g} s, but for 1 % of them",
            found=f"{gaps} of {len(intervals)} intervals differ by more than {GAP:.0%}",
            hint="the method needs frames of one rate: resample the series, or convert its regular part",
        )
    return {"rate": 1 / interval, "gaps": gaps}


def check_same_frames(facts: Mapping[str, Any], movie: Mapping[str, Any], path: str) -> None:
    """Refuse a second channel that has not the movie's frames.

    Raises
    ------
    InputError
    """
    if facts["shape"] != movie["shape"] or not np.isclose(facts["rate"], movie["rate"], rtol=1e-6):
        msg = "the second channel and the movie don't belong together"
        raise InputError(
            msg,
            where=path,
            expected=f"shape {tuple(movie['shape'])} at {movie['rate']:g} Hz",
            found=f"shape {tuple(facts['shape'])} at {facts['rate']:g} Hz",
            hint="bind the series of the same scan",
        )


def facts_of_channels(nwbfile: NWBFile, context: Context) -> dict[str, Any]:
    """Check the inputs ``movie`` and ``second_channel``; return the movie's facts.

    Raises
    ------
    InputError
        If one of them can't be used, or they don't belong together.
    """
    facts = movie_facts(context.input(nwbfile, "movie"), context.inputs["movie"].path)
    if "second_channel" in context.inputs:
        path = context.inputs["second_channel"].path
        check_same_frames(movie_facts(context.input(nwbfile, "second_channel"), path), facts, path)
    elif context.params.align_by_second_channel:
        msg = "the motion is to be found in the second channel, and none is bound"
        hint = "bind it, or find the motion in the movie"
        raise InputError(msg, expected="--input second_channel=PATH", hint=hint)
    return facts


def one_plane_facts(series: Any, path: str) -> dict[str, Any]:
    """Return `movie_facts` of a movie of one plane; a volume is refused.

    Raises
    ------
    InputError
        As `movie_facts`, or if the movie has several planes.
    """
    facts = movie_facts(series, path)
    if len(facts["shape"]) != 3:
        msg = "the movie has several planes, and this method works on one"
        raise InputError(
            msg,
            where=path,
            expected="(frames, x, y)",
            found=f"shape {tuple(facts['shape'])}",
            hint="convert each plane as a series of its own, and run a step on each",
        )
    return facts
