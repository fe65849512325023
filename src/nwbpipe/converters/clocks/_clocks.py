"""Carry sources from their clocks to the reference, by what the spec gives or the pulses show."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import numpy as np

from nwbpipe.converters._added import AddedObjects, Times
from nwbpipe.converters._source import Source
from nwbpipe.converters.clocks import _alignment as alignment
from nwbpipe.converters.clocks._alignment import TimeMap
from nwbpipe.converters.clocks._evidence import ClockMap, align, make_frames_record, make_record
from nwbpipe.converters.clocks._times import read_times
from nwbpipe.converters.clocks._trains import PulseTrain, PulseTrainReader
from nwbpipe.converters.clocks.pulses import LinearMap, fit_line
from nwbpipe.converters.spec._clock_spec import (
    AlignFrames,
    AlignIntervals,
    AlignPulses,
    AlignStart,
    AlignTimestamps,
    AlignUnix,
    ClockSpec,
    TimesSpec,
    TrainSpec,
)
from nwbpipe.errors import ClockError
from nwbpipe.provenance import AlignmentRecord


@dataclass
class _ClockState:
    """State of a clock while the file is built.

    Attributes
    ----------
    times : array of float64, optional
        Times of the samples, on the reference.
    origin : str
        Place that the times were read from, for messages.
    trim : bool
        True if surplus times at the end are left out.
    mapping : LinearMap or PiecewiseMap, optional
        Map of any time of the clock to the reference.
    repair : str
        Repairs of the times; empty if there were none.
    samples : (int, str), optional
        Number of samples of the first series, and its place.
    pairs : list of (array, array)
        Times of each series before and after they were replaced.
    """

    times: Times | None = None
    origin: str = ""
    trim: bool = False
    mapping: ClockMap | None = None
    repair: str = ""
    samples: tuple[int, str] | None = None
    pairs: list[tuple[Times, Times]] = field(default_factory=list)


class Clocks:
    """Clocks of one session, which carry its sources to the reference clock.

    Parameters
    ----------
    specs : mapping of str to ClockSpec
        Section `clocks` of the spec. Files of times are read at once, so that a bad file is refused before the raw
        data are read.
    reference : str
        Name of the reference clock.

    Attributes
    ----------
    records : list of AlignmentRecord
        Evidence of the alignments so far.
    """

    def __init__(self, specs: Mapping[str, ClockSpec], reference: str) -> None:
        self._specs, self._reference = dict(specs), reference
        self.records: list[AlignmentRecord] = []
        self._states: dict[str, _ClockState] = {}
        for name, clock in specs.items():
            state = self._states[name] = _ClockState()
            times = clock if isinstance(clock, AlignTimestamps) else getattr(clock, "timestamps", None)
            if isinstance(times, TimesSpec):
                state.times, state.repair = read_times(times, name)
                state.origin, state.trim = str(times.file), times.trim
            elif isinstance(clock, AlignFrames):
                state.trim = clock.trim

    def gives_times(self, clock: str) -> bool:
        """Return True if a clock gives each sample of its sources a time."""
        state = self._states.get(clock)
        return state is not None and (state.times is not None or isinstance(self._specs[clock], AlignFrames))

    def align(self, sources: Iterable[Source], start: datetime | None = None) -> None:
        """Align the clocks that pulses align, each after those that its pulses' reference is on.

        Parameters
        ----------
        sources : iterable of Source
            Sources of the session, open: their pulses are read.
        start : datetime, optional
            Start of the session, if the spec gives it.

        Raises
        ------
        ClockError
            If the pulses can't be read, or the evidence does not hold.
        """
        for name, clock in self._specs.items():
            if isinstance(clock, AlignUnix):
                self._specs[name] = AlignStart(align="start", offset_s=-_unix_start(name, start))
        reader = PulseTrainReader({source.name: source for source in sources}, start)
        for name in self._specs:
            self._align(name, reader, ())

    def _align(self, name: str, reader: PulseTrainReader, above: tuple[str, ...]) -> None:
        clock, state = self._specs.get(name), self._states.get(name)
        if isinstance(clock, AlignTimestamps) and state is not None and state.repair and state.times is not None:
            self._record_repair(name, clock, state)
        if state is None or not isinstance(clock, (AlignPulses, AlignIntervals, AlignFrames)):
            return
        if state.mapping is not None or (isinstance(clock, AlignFrames) and state.times is not None):
            return
        if name in above:
            raise ClockError(
                "clocks are aligned to each other in a circle",
                where=f"clocks.{name}",
                found=" → ".join([*above, name]),
                hint=f"align one of them to the reference, {self._reference}",
            )
        reference = self._read_on_reference(name, clock.reference_pulses, reader, (*above, name))
        if isinstance(clock, AlignFrames):
            state.times, state.origin, state.repair = reference.times, str(clock.reference_pulses), reference.repair
            return
        pulses = reader.read(clock.pulses, f"clocks.{name}.pulses")
        state.mapping, record = align(name, self._reference, clock, pulses, reference)
        if state.times is not None:
            state.times = state.mapping(state.times)
            record = replace(record, repair="; ".join(note for note in (record.repair, state.repair) if note))
        self.records.append(record)

    def _read_on_reference(
        self, name: str, train: TrainSpec, reader: PulseTrainReader, above: tuple[str, ...]
    ) -> PulseTrain:
        """Read pulses and carry them to the reference clock, whichever clock they are on."""
        location = f"clocks.{name}.reference_pulses"
        clock = train.clock if train.source is None else reader.sources[train.source].clock
        pulses = reader.read(train, location)
        if clock is None or clock == self._reference:
            return pulses
        self._align(clock, reader, above)
        mapping = self._map_of(clock, location)
        span = None if pulses.span is None else mapping(np.asarray(pulses.span))
        return PulseTrain(
            mapping(pulses.times), None if span is None else (float(span[0]), float(span[1])), pulses.repair
        )

    def _map_of(self, name: str, where: str) -> ClockMap:
        clock, state = self._specs.get(name), self._states.get(name)
        if isinstance(clock, AlignStart):
            return LinearMap(0.0, clock.offset_s, 0.0)
        if state is not None and state.mapping is not None:
            return state.mapping
        raise ClockError(
            f"the clock {name!r} of these pulses can't be carried to the reference",
            where=where,
            expected="pulses on the reference clock, or on one that `start`, `pulses` or `intervals` align",
            found=f"align: {getattr(clock, 'align', 'nothing')}",
        )

    def _record_repair(self, name: str, clock: AlignTimestamps, state: _ClockState) -> None:
        times = state.times
        assert times is not None
        line = LinearMap(float(times[0]), float(times[0]), 0.0)
        fit = replace(fit_line(np.arange(len(times), dtype=np.float64), times), line=line, drift_error=0.0)
        names = {"clock": name, "reference": self._reference, "pulses": clock.file.name, "repair": state.repair}
        counts = (len(times), 0, 0)
        record = make_record("timestamps", fit, line, times[[0, -1]], times, np.zeros(len(times)), counts, **names)
        self.records.append(record)

    def apply(self, source: Source) -> list[str]:
        """Move the objects that a source has added to the file to the reference clock.

        Parameters
        ----------
        source : Source
            The source, after `Source.add_to`.

        Returns
        -------
        list of str
            Notes on columns whose name alone does not say whether they hold times.

        Raises
        ------
        ClockError
            If nothing aligns the source's clock, or its times do not fit the samples.
        """
        clock, state = self._specs.get(source.clock), self._states.get(source.clock)
        if state is not None and state.times is not None:
            return self._apply_times(source, state, state.times)
        if state is not None and state.mapping is not None:
            return alignment.map_times(source.added, state.mapping)
        if isinstance(clock, AlignStart):
            return alignment.shift_times(source.added, clock.offset_s) if clock.offset_s else []
        if source.clock != self._reference:
            raise ClockError(
                f"nothing aligns the clock {source.clock!r} with the reference",
                where=source.where,
                hint=f"add `{source.clock}: {{align: start, offset_s: ...}}` to clocks",
            )
        return []

    def _apply_times(self, source: Source, state: _ClockState, times: Times) -> list[str]:
        """Give each sample of a source its time from a file or from frames, and its tables by the same map."""
        added, stub = source.added, source.stub
        frames = source.frame_numbers()

        def times_of(series: Any, count: int) -> Times:
            location = f"{source.where}: {series.name}"
            if frames is None and not stub:
                _check_same_samples(state, source.clock, count, location)
            return _fit_times(state, times, count, location, frames, stub)

        pairs = alignment.set_times(added, times_of)
        if frames is None and not stub:
            self._record_frames(source.clock, state, pairs)
        state.pairs += pairs
        tables = [item for item in added.tables() if alignment.has_times(AddedObjects(objects=[item[0]]))]
        if not tables:
            return []
        if state.mapping is not None:
            return alignment.map_tables(added, state.mapping)
        if state.pairs:
            mapping = _make_interpolation(*max(state.pairs, key=lambda pair: len(pair[0])), source=source.name)
            return alignment.map_tables(added, mapping)
        for table, first in tables:
            if first:
                raise ClockError(
                    f"the times of {source.name} and of another source are in one table",
                    where=f"{source.where}: {table.name}",
                    expected="a table for each source",
                    hint="give the tables different names",
                )
            location = f"{source.where}: {table.name}"
            alignment.set_row_times(table, _fit_times(state, times, len(table), location, None, stub))
        return []

    def _record_frames(self, name: str, state: _ClockState, pairs: list[tuple[Times, Times]]) -> None:
        """Keep the evidence of frames, once: from the first source of the clock that has samples."""
        clock = self._specs[name]
        if isinstance(clock, AlignFrames) and not state.pairs and pairs and len(pairs[0][0]) > 2:
            self.records.append(make_frames_record(name, self._reference, clock, *pairs[0], state.repair))


def _unix_start(clock: str, start: datetime | None) -> float:
    """Return the session's start in Unix seconds."""
    if start is None:
        raise ClockError(
            f"the clock {clock!r} is in Unix seconds, and nothing says when the session started",
            where=f"clocks.{clock}",
            expected="session.session_start_time, time 0 of the reference clock",
            hint="add it to the spec",
        )
    return start.timestamp()


def _check_same_samples(state: _ClockState, clock: str, count: int, where: str) -> None:
    """Refuse streams of different lengths on one file of times: `trim` would hide that one is cut off."""
    if state.samples is None:
        state.samples = (count, where)
    elif state.samples[0] != count:
        raise ClockError(
            f"two streams whose times the clock {clock!r} gives have different numbers of samples",
            where=where,
            expected=f"{state.samples[0]} samples, as {state.samples[1]}",
            found=f"{count} samples",
            hint="check that both are whole; where both are right, give each a clock with a file of times of its own",
        )


def _fit_times(state: _ClockState, times: Times, count: int, where: str, frames: Times | None, stub: bool) -> Times:
    """Choose the times of `count` samples; refuse what does not fit."""
    if frames is not None and len(frames) == count and len(times) > int(frames.max(initial=-1)):
        return np.asarray(times[frames.astype(int)], dtype=np.float64)
    if len(times) == count or (stub and len(times) > count):
        return times[:count]
    if state.trim and len(times) > count:
        return times[:count]
    raise ClockError(
        "the number of times does not match the number of samples",
        where=where,
        expected=f"{count} times, one for each sample",
        found=f"{len(times)} times in {state.origin}, {abs(len(times) - count)} too "
        + ("many" if len(times) > count else "few"),
        hint="`trim: true` leaves out surplus times at the end of the file, if that is where they are"
        if len(times) > count
        else "check that the file of times belongs to this recording",
    )


def _make_interpolation(original: Times, aligned: Times, source: str) -> TimeMap:
    """Make the function that carries times between two clocks, sample by sample."""
    if len(original) < 2:
        raise ClockError("one sample can't align a clock", where=f"sources.{source}", expected="two samples or more")
    step = float(np.median(np.diff(original)))
    # One sample more on either side: an event may fall between the last sample's time and its end.
    slope = (aligned[-1] - aligned[0]) / (original[-1] - original[0])
    old = np.concatenate([[original[0] - step], original, [original[-1] + step]])
    new = np.concatenate([[aligned[0] - step * slope], aligned, [aligned[-1] + step * slope]])

    def mapping(values: Times) -> Times:
        finite = values[np.isfinite(values)]
        outside = np.count_nonzero((finite < original[0] - step) | (finite > original[-1] + step))
        if outside:
            raise ClockError(
                f"times of {source} lie outside the recording whose samples align its clock",
                where=f"sources.{source}",
                expected=f"times from {original[0]:.3f} s to {original[-1]:.3f} s on the clock of the source",
                found=f"{outside} of {len(finite)} outside, from {finite.min():.3f} s to {finite.max():.3f} s",
            )
        return np.asarray(np.interp(values, old, new), dtype=np.float64)

    return mapping
