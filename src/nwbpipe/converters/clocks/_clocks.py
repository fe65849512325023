"""Clocks: carrying a source from its clock to the reference, by what the spec gives or the pulses show."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from nwbpipe.converters._build_sources import BuiltSource
from nwbpipe.converters.clocks import _alignment as alignment
from nwbpipe.converters.clocks._alignment import AddedObjects, TimeMap, Times
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
    TimesSpec,
    TrainSpec,
    files_of,
)
from nwbpipe.converters.spec._model import SessionSpec
from nwbpipe.errors import ClockError
from nwbpipe.provenance import AlignmentRecord


@dataclass
class _ClockState:
    """What is known of a clock while the file is built.

    `times` are those of the samples, on the reference, `origin` says where they are from, and `trim` that surplus
    ones are left out; `mapping` carries any time.
    """

    times: Times | None = None
    origin: str = ""
    trim: bool = False
    mapping: ClockMap | None = None
    repair: str = ""
    samples: tuple[int, str] | None = None
    pairs: list[tuple[Times, Times]] = field(default_factory=list)


class Clocks:
    """Carries the sources of one session to the reference clock.

    Parameters
    ----------
    spec : SessionSpec
        The session. Files of times are read at once, so that a bad one is found before the raw data are.
    """

    def __init__(self, spec: SessionSpec) -> None:
        self.spec = spec
        self.records: list[AlignmentRecord] = []
        self._states: dict[str, _ClockState] = {}
        for name, clock in spec.clocks.items():
            state = self._states[name] = _ClockState()
            times = clock if isinstance(clock, AlignTimestamps) else getattr(clock, "timestamps", None)
            if isinstance(times, TimesSpec):
                state.times, state.repair = read_times(times, name)
                state.origin, state.trim = str(times.file), times.trim
            elif isinstance(clock, AlignFrames):
                state.trim = clock.trim

    def gives_times(self, source: str) -> bool:
        """Whether a clock gives each sample of a source its time."""
        name = self.spec.clock_of(source)
        state = self._states.get(name)
        return state is not None and (state.times is not None or isinstance(self.spec.clocks[name], AlignFrames))

    def align(self, sources: Iterable[BuiltSource]) -> None:
        """Align the clocks that pulses align, each after those that its pulses' reference is on.

        Raises
        ------
        ClockError
            If the pulses can't be read, or the evidence does not hold.
        """
        reader = PulseTrainReader(self.spec, {source.name: source for source in sources})
        for name in self.spec.clocks:
            self._align(name, reader, ())

    def _align(self, name: str, reader: PulseTrainReader, above: tuple[str, ...]) -> None:
        clock, state = self.spec.clocks.get(name), self._states.get(name)
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
                hint=f"align one of them to the reference, {self.spec.reference_clock}",
            )
        other = self._read_on_reference(name, clock.reference_pulses, reader, (*above, name))
        if isinstance(clock, AlignFrames):
            state.times, state.origin, state.repair = other.times, str(clock.reference_pulses), other.repair
            return
        own = reader.read(clock.pulses, f"clocks.{name}.pulses")
        state.mapping, record = align(name, self.spec.reference_clock, clock, own, other)
        if state.times is not None:
            state.times = state.mapping(state.times)
            record = replace(record, repair="; ".join(note for note in (record.repair, state.repair) if note))
        self.records.append(record)

    def _read_on_reference(
        self, name: str, train: TrainSpec, reader: PulseTrainReader, above: tuple[str, ...]
    ) -> PulseTrain:
        """Read pulses and carry them to the reference clock, whichever clock they are on."""
        where = f"clocks.{name}.reference_pulses"
        of = self.spec.clock_of(train.source) if train.source is not None else train.clock
        pulses = reader.read(train, where)
        if of is None or of == self.spec.reference_clock:
            return pulses
        self._align(of, reader, above)
        mapping = self._map_of(of, where)
        span = None if pulses.span is None else mapping(np.asarray(pulses.span))
        return PulseTrain(
            mapping(pulses.times), None if span is None else (float(span[0]), float(span[1])), pulses.repair
        )

    def _map_of(self, name: str, where: str) -> ClockMap:
        clock, state = self.spec.clocks.get(name), self._states.get(name)
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
        assert state.times is not None
        index = np.arange(len(state.times), dtype=np.float64)
        fit = fit_line(index, state.times)
        line = LinearMap(float(state.times[0]), float(state.times[0]), 0.0)
        record = make_record(
            "timestamps",
            "accepted",
            "order",
            replace(fit, line=line, drift_error=0.0),
            line,
            state.times[[0, -1]],
            state.times,
            np.zeros(len(state.times)),
            (len(state.times), 0, 0),
        )
        record = replace(
            record, clock=name, reference=self.spec.reference_clock, pulses=clock.file.name, repair=state.repair
        )
        self.records.append(record)

    def apply(self, source: str, added: AddedObjects, frames: Times | None = None, stub: bool = False) -> list[str]:
        """Move all that a source has added to the file to the reference clock.

        Parameters
        ----------
        source : str
            Name of the source.
        added : Added
            What it wrote.
        frames : array of int, optional
            The frame of the video (or movie) that each sample belongs to, where the source says it.
        stub : bool
            Whether only the first samples were read.

        Returns
        -------
        list of str
            Remarks.

        Raises
        ------
        ClockError
            If the times don't fit the samples.
        """
        name = self.spec.clock_of(source)
        clock, state = self.spec.clocks.get(name), self._states.get(name)
        if state is not None and state.times is not None:
            return self._apply_times(source, name, state, state.times, added, frames, stub)
        if state is not None and state.mapping is not None:
            return alignment.map_times(added, state.mapping)
        if isinstance(clock, AlignStart):
            return alignment.shift_times(added, clock.offset_s) if clock.offset_s else []
        if name != self.spec.reference_clock:
            raise ClockError(
                f"nothing aligns the clock {name!r} with the reference",
                where=f"sources.{source}",
                hint=f"add `{name}: {{align: start, offset_s: ...}}` to clocks",
            )
        return []

    def _apply_times(
        self,
        source: str,
        name: str,
        state: _ClockState,
        times: Times,
        added: AddedObjects,
        frames: Times | None,
        stub: bool,
    ) -> list[str]:
        def of_series(series: Any, count: int) -> Times:
            where = f"sources.{source}: {series.name}"
            if frames is None and not stub:
                _check_same_samples(state, name, count, where)
            return _fit_times(state, times, count, where, frames, stub)

        pairs = alignment.set_times(added, of_series)
        self._record_frames(name, state, pairs, frames, stub)
        state.pairs += pairs
        tables = [item for item in added.tables() if alignment.has_times(AddedObjects(objects=[item[0]]))]
        if not tables:
            return []
        if state.mapping is not None:
            return alignment.map_tables(added, state.mapping)
        if state.pairs:
            mapping = _make_interpolation(*max(state.pairs, key=lambda pair: len(pair[0])), source=source)
            return alignment.map_tables(added, mapping)
        for table, first in tables:
            if first:
                raise ClockError(
                    f"the times of {source} can't be told apart from those of another source",
                    where=f"sources.{source}: {table.name}",
                    hint="give the tables different names",
                )
            alignment.set_row_times(
                table, _fit_times(state, times, len(table), f"sources.{source}: {table.name}", None, stub)
            )
        return []

    def _record_frames(
        self, name: str, state: _ClockState, pairs: list[tuple[Times, Times]], frames: Times | None, stub: bool
    ) -> None:
        """Keep the evidence of frames, once: from the first source of the clock that has samples."""
        clock = self.spec.clocks[name]
        if not isinstance(clock, AlignFrames) or state.pairs or frames is not None or stub:
            return
        if pairs and len(pairs[0][0]) > 2:
            reference = self.spec.reference_clock
            self.records.append(make_frames_record(name, reference, clock, *pairs[0], state.repair))


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


def _make_interpolation(before: Times, after: Times, source: str) -> TimeMap:
    """Make the function that carries times between two clocks, sample by sample."""
    if len(before) < 2:
        raise ClockError("one sample can't align a clock", where=f"sources.{source}", expected="two samples or more")
    step = float(np.median(np.diff(before)))
    # One sample more on either side: an event may fall between the last sample's time and its end.
    slope = (after[-1] - after[0]) / (before[-1] - before[0])
    old = np.concatenate([[before[0] - step], before, [before[-1] + step]])
    new = np.concatenate([[after[0] - step * slope], after, [after[-1] + step * slope]])

    def mapping(values: Times) -> Times:
        finite = values[np.isfinite(values)]
        outside = np.count_nonzero((finite < before[0] - step) | (finite > before[-1] + step))
        if outside:
            raise ClockError(
                f"times of {source} lie outside the recording whose samples align its clock",
                where=f"sources.{source}",
                expected=f"times from {before[0]:.3f} s to {before[-1]:.3f} s on the clock of the source",
                found=f"{outside} of {len(finite)} outside, from {finite.min():.3f} s to {finite.max():.3f} s",
            )
        return np.asarray(np.interp(values, old, new), dtype=np.float64)

    return mapping


def file_paths(spec: SessionSpec) -> list[Path]:
    """Files of times and pulses that a spec names."""
    return [file for clock in spec.clocks.values() for file in files_of(clock)]
