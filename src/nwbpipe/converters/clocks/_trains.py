"""Read the pulse trains of a session, from a source through its interface or from a log."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from nwbpipe.converters._added import Times, load_array, original_times, sample_count
from nwbpipe.converters._source import Source
from nwbpipe.converters.clocks._times import read_column, unwrap
from nwbpipe.converters.spec._clock_spec import TrainSpec
from nwbpipe.errors import ClockError

_CHUNK = 1 << 22  # samples of a channel that are read at once
_HYSTERESIS = 0.1  # of the step between low and high


@dataclass(frozen=True)
class PulseTrain:
    """Pulses of one channel, event or log.

    Attributes
    ----------
    times : array of float64
        Seconds on the clock of their source, strictly increasing.
    span : (float, float) or None
        Start and end of the recording, where known: silence before and after the pulses is evidence.
    repair : str
        The repairs; empty if there were none.
    """

    times: Times
    span: tuple[float, float] | None = None
    repair: str = ""


class PulseTrainReader:
    """Reader of the pulse trains of a session.

    Parameters
    ----------
    sources : mapping of str to Source
        The sources of the session, open.
    start : datetime, optional
        Start of the session, if the spec gives it.
    """

    def __init__(self, sources: Mapping[str, Source], start: datetime | None = None) -> None:
        self.sources, self._start = sources, start

    def read(self, train: TrainSpec, where: str) -> PulseTrain:
        """Read a train.

        Raises
        ------
        ClockError
            If the events or the channel are missing, or the times are not finite or go back.
        """
        span = None
        if train.file is not None:
            times = read_column(train.file, train, f"{train.file} ({where})")
        elif train.channel is not None or train.bit is not None or train.series is not None:
            times, span = self._read_edges(train, where)
        else:
            times = self._read_event_times(train, where)
        return _check_train(times, span, train, where)

    def _read_event_times(self, train: TrainSpec, where: str) -> Times:
        """Read the times of the events of one name, of a column of a table, or of the source's samples."""
        assert train.source is not None
        added = self.sources[train.source].preview(self._start)
        tables = [table for table, _ in added.tables() if _has_times(table)]
        chosen = [table for table in tables if train.table in (None, table.name)]
        if train.table is not None and not chosen:
            raise _missing_error(f"no table {train.table!r}", where, [table.name for table in tables])
        if not chosen and train.events is None and train.column is None:
            series = added.series()
            if len({sample_count(item) for item in series}) == 1:
                return original_times(series[0], sample_count(series[0]))
        if len(chosen) > 1:
            matching = [table for table in chosen if train.events in (table.name, *_names(table))]
            if train.events is None or len(matching) != 1:
                raise _missing_error(
                    "several tables have such events", where, [table.name for table in chosen], "table"
                )
            chosen = matching
        if not chosen:
            raise _missing_error(
                "the source writes no events", where, [item.name for item in added.series()], "channel"
            )
        return _times_of(chosen[0], train, where)

    def _read_edges(self, train: TrainSpec, where: str) -> tuple[Times, tuple[float, float]]:
        """Read the times at which a channel crosses its threshold."""
        assert train.source is not None
        source = self.sources[train.source]
        recording: Any = getattr(source.interface, "recording_extractor", None)
        with source.translate_errors():
            if recording is not None and train.series is None:
                channel = _Channel.of_recording(recording, train, where)
            else:
                channel = _Channel.of_series(source.preview(self._start).series(), train, where)
            return channel.find_edges(train, where)


def _missing_error(message: str, where: str, names: list[str], key: str = "events") -> ClockError:
    return ClockError(
        message,
        where=where,
        expected=f"`{key}: NAME`" + (", or `events: '*'` for all" if key == "events" else ""),
        found=f"there are {', '.join(map(str, names)) or 'none'}",
    )


def _names(table: Any) -> list[str]:
    """Return the names of the events in a table."""
    column = next((column for column in table.columns if column.name == "event_type"), None)
    return [] if column is None else sorted({str(name) for name in load_array(column.data)})


def _has_times(table: Any) -> bool:
    return {"timestamp", "start_time"} & {column.name for column in table.columns} != set()


def _times_of(table: Any, train: TrainSpec, where: str) -> Times:
    columns = {column.name: column for column in table.columns}
    name = train.column or ("timestamp" if "timestamp" in columns else "start_time")
    if name not in columns:
        raise _missing_error(f"the table {table.name!r} has no column {name!r}", where, list(columns), "column")
    times = np.asarray(load_array(columns[str(name)].data), dtype=np.float64)
    if train.events == "*":
        return times
    if train.events is None:
        if len(_names(table)) > 1 and train.column is None:
            raise _missing_error("events of several names", where, _names(table))
    elif "event_type" in columns and train.events in _names(table):
        times = times[[str(item) == train.events for item in load_array(columns["event_type"].data)]]
    elif train.events != table.name:
        raise _missing_error(f"no event is called {train.events!r}", where, _names(table) or [table.name])
    return times[np.isfinite(times)] if train.column is not None else times


@dataclass(frozen=True)
class _Channel:
    """A channel, read a part at a time."""

    count: int
    parts: Any
    times: Any

    @classmethod
    def of_recording(cls, recording: Any, train: TrainSpec, where: str) -> _Channel:
        if recording.get_num_segments() != 1:
            raise ClockError("the recording has several segments", where=where, expected="one")
        names = {str(name): name for name in recording.get_channel_ids()}
        if train.channel is None and len(names) == 1:
            name = next(iter(names.values()))
        elif train.channel in names:
            name = names[train.channel]
        else:
            raise _missing_error(f"no channel {train.channel!r}", where, list(names)[:40], "channel")
        count = int(recording.get_num_samples())

        def parts() -> Iterator[npt.NDArray[Any]]:
            for first in range(0, count, _CHUNK):
                last = min(first + _CHUNK, count)
                yield recording.get_traces(start_frame=first, end_frame=last, channel_ids=[name])[:, 0]

        return cls(count, parts, lambda index: np.asarray(recording.sample_index_to_time(index), dtype=np.float64))

    @classmethod
    def of_series(cls, series: list[Any], train: TrainSpec, where: str) -> _Channel:
        chosen = [item for item in series if train.series in (None, item.name)]
        if len(chosen) != 1:
            raise _missing_error("the series is not clear", where, [item.name for item in series], "series")
        data = np.asarray(load_array(chosen[0].data))
        if data.ndim == 2:
            column = int(train.channel) if train.channel is not None and train.channel.isdigit() else -1
            if data.shape[1] == 1:
                column = 0
            if not 0 <= column < data.shape[1]:
                raise _missing_error(
                    "the column of the series is not clear", where, [f"0 to {data.shape[1] - 1}"], "channel"
                )
            data = data[:, column]
        times = original_times(chosen[0], len(data))
        return cls(len(data), lambda: iter([data]), lambda index: times[index])

    def find_edges(self, train: TrainSpec, where: str) -> tuple[Times, tuple[float, float]]:
        if not self.count:
            raise ClockError("the channel has no samples", where=where)
        low, high = (0.25, 0.75) if train.bit is not None else self._choose_levels(train, where)
        state, first, crossings = -1, 0, []
        for part in self.parts():
            values = (part.astype(np.int64) >> train.bit) & 1 if train.bit is not None else part
            marks = np.where(values >= high, 1, np.where(values <= low, 0, -1)).astype(np.int8)
            sure = np.flatnonzero(marks >= 0)
            if len(sure):
                levels = np.concatenate([[state], marks[sure]])
                steps = np.diff(levels)
                kinds = {"rising": steps == 1, "falling": steps == -1, "both": np.abs(steps) == 1}
                changed = kinds[train.edge] & (levels[:-1] >= 0)
                crossings.append(first + sure[changed])
                state = int(levels[-1])
            first += len(part)
        index = np.concatenate(crossings) if crossings else np.empty(0, np.int64)
        ends = self.times(np.asarray([0, self.count - 1]))
        return self.times(index), (float(ends[0]), float(ends[1]))

    def _choose_levels(self, train: TrainSpec, where: str) -> tuple[float, float]:
        """Choose the thresholds for low and high: about the spec's, or half-way between the extremes."""
        extremes = [(float(part.min()), float(part.max())) for part in self.parts()]
        low, high = min(lowest for lowest, _ in extremes), max(highest for _, highest in extremes)
        middle = 0.5 * (low + high) if train.threshold is None else train.threshold
        if not low < middle < high:
            raise ClockError(
                "the channel never crosses its threshold",
                where=where,
                expected=f"values below and above {middle:g}, in the unit that the file holds",
                found=f"values from {low:g} to {high:g}",
                hint="check the channel, or give its `threshold`, or the `bit` of a digital word",
            )
        margin = _HYSTERESIS * min(middle - low, high - middle)
        return middle - margin, middle + margin


def _check_train(times: Times, span: tuple[float, float] | None, train: TrainSpec, where: str) -> PulseTrain:
    """Refuse or repair times that are not finite, go back or repeat; leave out bounces."""
    notes = []
    if not np.isfinite(times).all():
        bad = np.count_nonzero(~np.isfinite(times))
        raise ClockError("the time of a pulse is not finite", where=where, found=f"{bad} of {len(times)}")
    if train.repair == "unwrap" and train.wrap_s is not None and len(times):
        times, note = unwrap(times, train.wrap_s)
        notes.append(note)
    if train.repair == "drop" and len(times):
        keep = np.concatenate([[True], times[1:] > np.maximum.accumulate(times)[:-1]])
        if not keep.all():
            notes.append(f"drop: {np.count_nonzero(~keep)} of {len(times)} pulses")
        times = times[keep]
    back = np.flatnonzero(np.diff(times) <= 0)
    if len(back):
        row = back[0]
        raise ClockError(
            "the times of the pulses go back or repeat",
            where=where,
            expected="each pulse later than the one before",
            found=f"{len(back)} steps of zero or less; the first: {times[row]:.6f} s, then {times[row + 1]:.6f} s",
            hint="`repair: drop` leaves out such pulses, `repair: unwrap` with `wrap_s` undoes a counter that starts "
            "again",
        )
    if train.debounce_s and len(times):
        times = times[np.concatenate([[True], np.diff(times) >= train.debounce_s])]
    return PulseTrain(times, span, "; ".join(note for note in notes if note))
