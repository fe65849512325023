"""The account of a source: a short statement of what its raw files hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nwbpipe.errors import Problem

Times = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Gap:
    """Samples that were not stored.

    Attributes
    ----------
    sample : int
        Index of the first stored sample after the gap.
    missing : float
        Number of missing samples; negative where the counter goes back.
    at_s : float
        Seconds from the first sample to the gap, by the recording's clock.
    """

    sample: int
    missing: float
    at_s: float


@dataclass(frozen=True)
class Stream:
    """A stream of samples or frames in the raw files. None: the probe does not know it.

    Attributes
    ----------
    name : str
        As the arguments of the interface name it; "" if the source has one stream.
    samples : int, optional
        Number of samples or frames, of all files together.
    channels, planes, fields : int, optional
        How many of each; the interface may choose some of them.
    frame_shape : (int, int), optional
        Rows and columns of an image.
    rate : float, optional
        In Hz.
    true_rate : float, optional
        Rate on the recording's shared clock, where the stream's own clock runs otherwise: the series gets it.
    first_time : float, optional
        Time of the first sample in seconds, by the time 0 that all streams of the recording share.
        The series is put there.
    times : callable, optional
        Reads the time of each sample, with the same zero. Called only where the times are not regular (`gaps`, or a
        rate of None): the series is written with these timestamps.
    gaps : tuple of Gap
        Where samples are missing inside.
    is_split : bool
        True if the reader writes the stream as several series, one for each part without gaps.
    find_gaps : callable, optional
        Finds them, where that needs a look at each time stamp: called when the source is converted, not for a plan.
    gain : float or array, optional
        Unit of the series for one step of the stored numbers, for each channel or for all of them.
    unit : str, optional
        Unit that `gain` leads to: ``volts``.
    """

    name: str = ""
    samples: int | None = None
    channels: int | None = None
    planes: int | None = None
    fields: int | None = None
    frame_shape: tuple[int, int] | None = None
    rate: float | None = None
    true_rate: float | None = None
    first_time: float | None = None
    times: Callable[[], Times] | None = None
    gaps: tuple[Gap, ...] = ()
    is_split: bool = False
    find_gaps: Callable[[], tuple[Gap, ...]] | None = None
    gain: Any = None
    unit: str | None = None

    def as_record(self) -> dict[str, Any]:
        """Return the known figures as plain values, for the record of the conversion."""
        names = ("name", "samples", "channels", "planes", "fields", "rate", "first_time", "unit")
        record = {name: value for name in names if (value := getattr(self, name)) not in (None, "")}
        if self.frame_shape is not None:
            record["frame_shape"] = list(self.frame_shape)
        if self.gaps:
            record["gaps"] = [[gap.sample, gap.missing, round(gap.at_s, 9)] for gap in self.gaps[:100]]
            record["gap_count"] = len(self.gaps)
        return record


@dataclass(frozen=True)
class Spikes:
    """Spikes of all units of a source.

    Attributes
    ----------
    count, units : int
        How many spikes, and units with spikes.
    last_s : float, optional
        Time of the last spike, in seconds from the recording's first sample.
    """

    count: int
    units: int
    last_s: float | None = None


@dataclass(frozen=True)
class Account:
    """What the raw files of one source hold.

    Attributes
    ----------
    format : str
        The format's name: ``SpikeGLX``.
    files : tuple of Path
        Every file that belongs to the source, the named ones and those beside them. All are hashed.
    streams : tuple of Stream
        The streams that the source's series are compared with: one for all series, or one for each in
        the order of their names (``…0``, ``…1``).
    spikes : Spikes, optional
        Of a finished sorting.
    find_spikes : callable, optional
        Counts them: called when the source is converted, not for a plan.
    others : tuple of str
        What else is recorded there and not read: ``digital events of Record Node 101``.
    arguments : mapping
        Arguments of the interface, with which it reads all that belongs together. Those of the spec win.
    problems : tuple of (str, Problem)
        What can't be converted rightly, each with its kind (a word of `accept`: `spec._model.Accepted`).
    start : datetime, optional
        Date and time of the recording's first sample, as the files say.
    zero_s : float, optional
        What the hardware's own counter says at time 0, in seconds, where that is not 0.
    table_shift_s : float
        Seconds to add to the times of tables, where the reader counts as the hardware does and writes no series.
    notes : tuple of str
        What a user should know: shown once, and kept in the record.
    hidden : tuple of Path
        Files beside the source's that its reader must not take: another recording in the folder.
    """

    format: str
    files: tuple[Path, ...] = ()
    streams: tuple[Stream, ...] = ()
    spikes: Spikes | None = None
    find_spikes: Callable[[], Spikes] | None = None
    others: tuple[str, ...] = ()
    arguments: Mapping[str, Any] = field(default_factory=dict)
    problems: tuple[tuple[str, Problem], ...] = ()
    start: datetime | None = None
    zero_s: float | None = None
    table_shift_s: float = 0.0
    notes: tuple[str, ...] = ()
    hidden: tuple[Path, ...] = ()

    def complete(self) -> Account:
        """Return the account with what takes a look at each sample: the gaps of its streams, its spikes."""
        streams = (
            stream if stream.find_gaps is None else replace(stream, gaps=stream.find_gaps())
            for stream in self.streams
        )
        spikes = self.spikes if self.find_spikes is None else self.find_spikes()
        return replace(self, streams=tuple(streams), spikes=spikes)

    def settles(self, kind: str) -> bool:
        """Return True if the account itself decides on differences of a kind, whatever the reader warns of."""
        if kind in {kind for kind, _ in self.problems}:
            return True
        if kind == "gap":
            return bool(self.streams) and all(
                stream.find_gaps is not None or stream.times is not None or stream.is_split for stream in self.streams
            )
        return kind in ("parts", "samples") and any(stream.samples is not None for stream in self.streams)

    def as_record(self) -> dict[str, Any]:
        """Return the account as plain values, for the record of the conversion; the files stand in `sources`."""
        record: dict[str, Any] = {"format": self.format, "streams": [stream.as_record() for stream in self.streams]}
        if self.spikes is not None:
            record["spikes"], record["units"] = self.spikes.count, self.spikes.units
        if self.zero_s:
            record["zero_s"] = self.zero_s
        if self.others:
            record["others"] = list(self.others)
        return record
