"""Summarize what a session's file holds: a line for each series and table, with where it came from."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nwbpipe.provenance import RunRecord

if TYPE_CHECKING:
    from pynwb import NWBFile

_ALL_VALUES = 2_000_000  # data with as many values are read whole for their range, larger ones in pieces
_PIECES, _PIECE_VALUES = 20, 50_000
_LONGEST_S = 2.0  # time that the range of one series may take
_HIDDEN = ("electrodes",)


@dataclass(frozen=True)
class StreamSummary:
    """A series or a table of a session's file.

    Attributes
    ----------
    name, type : str
        Of the NWB object.
    source : str
        Source of the session that it came from; "" if it is not known.
    shape : tuple of int
        Of the data; rows and columns of a table.
    rate : float, optional
        In Hz; None for times that are not regular.
    unit : str
        Of the data.
    low, high : float, optional
        Least and greatest value, in that unit.
    is_sampled : bool
        True if they are those of pieces of the data.
    first_s, last_s : float, optional
        First and last time, in seconds on the reference clock.
    files : tuple of str
        Raw files and folders of the source.
    gaps : int
        Number of places in which samples are missing.
    missing_s : float
        Seconds that are missing there.
    clock : str
        Clock of the source.
    """

    name: str
    type: str
    source: str = ""
    shape: tuple[int, ...] = ()
    rate: float | None = None
    unit: str = ""
    low: float | None = None
    high: float | None = None
    is_sampled: bool = False
    first_s: float | None = None
    last_s: float | None = None
    files: tuple[str, ...] = ()
    gaps: int = 0
    missing_s: float = 0.0
    clock: str = ""

    def __str__(self) -> str:
        size = " x ".join(map(str, self.shape))
        is_table = self.rate is None and not self.unit and len(self.shape) == 2
        parts = [f"{self.shape[0]} rows of {self.shape[1]} columns" if is_table else size]
        if self.rate is not None:
            parts.append(f"{self.rate:.9g} Hz")
        elif not is_table:
            parts.append("timestamps")
        if self.low is not None:
            about = "about " if self.is_sampled else ""
            parts.append(f"{about}{self.low:.4g} to {self.high:.4g} {self.unit}")
        elif self.unit:
            parts.append(self.unit)
        if self.first_s is not None:
            parts.append(f"{self.first_s:.3f} to {self.last_s:.3f} s")
        if self.gaps:
            parts.append(f"{self.gaps} gap{'s' if self.gaps > 1 else ''} ({self.missing_s:.6g} s)")
        if self.files:
            more = f" and {len(self.files) - 1} more" if len(self.files) > 1 else ""
            parts.append(f"from {self.files[0]}{more}")
        if self.clock:
            parts.append(f"clock {self.clock}")
        name = f"{self.source}: " if self.source else ""
        return f"{name}{self.type} {self.name}: {', '.join(part for part in parts if part)}"


@dataclass(frozen=True)
class SessionSummary:
    """What a session's file holds.

    Attributes
    ----------
    streams : tuple of StreamSummary
        All series and tables.
    left_out : tuple of (str, str)
        What else is recorded in the raw files of a source, and not in the file.
    notes : tuple of (str, str)
        What was said of a source while it was converted.
    """

    streams: tuple[StreamSummary, ...] = ()
    left_out: tuple[tuple[str, str], ...] = ()
    notes: tuple[tuple[str, str], ...] = ()

    def lines(self, *, notes: bool = True) -> list[str]:
        """Return the summary as lines of text, with or without the notes."""
        return [
            *map(str, self.streams),
            *(f"{source}: not read: {text}" for source, text in self.left_out),
            *(f"{source}: {text}" for source, text in (self.notes if notes else ())),
        ]

    def as_dict(self) -> dict[str, Any]:
        """Return the summary as JSON values."""
        return asdict(self)


def summarize_session(nwbfile: NWBFile, record: RunRecord | None = None) -> SessionSummary:
    """Summarize a session's file, in memory or open.

    Parameters
    ----------
    nwbfile : NWBFile
        Data that are still in the raw files are read in pieces.
    record : RunRecord, optional
        Record of its conversion: it says what came from which source.
    """
    accounts: Mapping[str, Any] = {} if record is None else record.resources.get("accounts", {})
    owners = {} if record is None else {item.object_id: item.name.partition(":")[0] for item in record.outputs}
    origins = {name: _describe_origin(name, record, accounts.get(name, {})) for name in set(owners.values())}
    streams = []
    for item in nwbfile.all_children():
        source = _find_owner(item, owners)
        summary = _summarize(item, source, origins.get(source, {}))
        if summary is not None:
            streams.append(summary)
    return SessionSummary(
        tuple(sorted(streams, key=lambda stream: (stream.source == "", stream.source, stream.name))),
        tuple(_find_left_out(accounts, record)),
        tuple((name, note) for name, account in accounts.items() for note in account.get("notes", ())),
    )


def _describe_origin(name: str, record: RunRecord | None, account: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a stream that say where it came from."""
    assert record is not None
    spec = record.parameters.get("sources", {}).get(name, {})
    gaps, missing = 0, 0.0
    for stream in account.get("streams", ()):
        gaps += stream.get("gap_count", 0)
        missing += sum(gap[1] for gap in stream.get("gaps", ())) / (stream.get("rate") or 1.0)
    files = tuple(str(item["path"]) for item in record.sources if item.get("source") == name)
    return {"files": files, "gaps": gaps, "missing_s": missing, "clock": str(spec.get("clock") or name)}


def _find_left_out(accounts: Mapping[str, Any], record: RunRecord | None) -> Iterator[tuple[str, str]]:
    sources = {} if record is None else record.parameters.get("sources", {})
    arguments = [str(value) for spec in sources.values() for value in spec.get("args", {}).values()]
    named: set[str] = set()
    for name, account in accounts.items():
        unread = [name for name in account.get("others", ()) if name not in arguments and name not in named]
        named |= set(unread)
        if unread:
            yield name, ", ".join(unread)


def _find_owner(item: Any, owners: Mapping[str, str]) -> str:
    while item is not None and type(item).__name__ != "ProcessingModule":  # of which others use the same
        if item.object_id in owners:
            return owners[item.object_id]
        item = item.parent
    return ""


def _summarize(item: Any, source: str, origin: Mapping[str, Any]) -> StreamSummary | None:
    from hdmf.common import DynamicTable
    from pynwb import TimeSeries

    kind = type(item).__name__
    if isinstance(item, TimeSeries):
        return _summarize_series(item, kind, source, origin)
    if isinstance(item, DynamicTable) and item.name not in _HIDDEN and type(item.parent).__name__ != "LabMetaData":
        if not len(item) or kind == "MeaningsTable" or item.namespace == "ndx-nwbpipe":
            return None
        first, last = _table_span(item)
        shape = (len(item), len(item.colnames))
        fields = {**origin, "gaps": 0, "missing_s": 0.0} if origin else {}
        return StreamSummary(item.name, kind, source, shape, first_s=first, last_s=last, **fields)
    return None


def _summarize_series(series: Any, kind: str, source: str, origin: Mapping[str, Any]) -> StreamSummary:
    from hdmf.utils import get_data_shape

    is_external = getattr(series, "external_file", None) is not None
    data = _unwrap(series.data)
    shape = () if is_external else tuple(int(size) for size in get_data_shape(series.data) or () if size)
    timestamps = series.timestamps
    count = shape[0] if shape else getattr(series, "_num_samples", None) or 0
    if not shape and timestamps is not None:
        count = len(_unwrap(timestamps))
    low, high, is_sampled = (None, None, False) if is_external or not shape else _measure_range(series, data, shape)
    first, last, rate = None, None, None
    if timestamps is not None:
        times = _unwrap(timestamps)
        first, last = (float(times[0]), float(times[-1])) if len(times) else (None, None)
    elif series.rate:
        rate, first = float(series.rate), float(series.starting_time or 0.0)
        last = first + max(int(count) - 1, 0) / rate
    return StreamSummary(
        series.name, kind, source, shape or (int(count),), rate, str(series.unit or ""), low, high, is_sampled,
        first, last, **origin,
    )  # fmt: skip


def _measure_range(series: Any, data: Any, shape: tuple[int, ...]) -> tuple[float | None, float | None, bool]:
    """Return the least and greatest value in the series' unit, and True if only pieces were read."""
    factor: Any = float(series.conversion or 1.0)
    offset = float(series.offset or 0.0)
    channels = series.fields.get("channel_conversion")
    if channels is not None and len(shape) == 2:
        factor = factor * np.asarray(_unwrap(channels)[:], dtype=np.float64)
    low, high, until = np.inf, -np.inf, time.monotonic() + _LONGEST_S
    is_whole = int(np.prod(shape, dtype=np.int64)) <= _ALL_VALUES
    try:
        for piece in _choose_pieces(shape, is_whole=is_whole):
            values = np.asarray(_read_piece(data, piece))
            if values.dtype.kind not in "biuf":
                return None, None, False
            scaled = values.astype(np.float64) * factor + offset
            finite = scaled[np.isfinite(scaled)]
            if finite.size:
                low, high = min(low, float(finite.min())), max(high, float(finite.max()))
            if time.monotonic() > until:
                is_whole = False
                break
    except (TypeError, ValueError, NotImplementedError, AttributeError, OSError):
        return None, None, False  # data that can't be read in pieces: the range is not worth an error
    return (low, high, not is_whole) if np.isfinite(low) else (None, None, False)


def _choose_pieces(shape: tuple[int, ...], *, is_whole: bool) -> Iterable[slice]:
    if is_whole:
        return [slice(0, shape[0])]
    rows = max(1, _PIECE_VALUES // max(1, int(np.prod(shape[1:], dtype=np.int64))))
    starts = np.linspace(0, max(shape[0] - rows, 0), _PIECES).astype(int)
    return [slice(int(start), min(int(start) + rows, shape[0])) for start in dict.fromkeys(starts.tolist())]


def _read_piece(data: Any, piece: slice) -> Any:
    if hasattr(data, "_get_data"):  # an iterator of hdmf over raw files
        further = (slice(0, size) for size in data.maxshape[1:])
        return data._get_data(selection=(piece, *further))
    if not hasattr(data, "__getitem__"):
        raise TypeError("not an array")
    return data[piece]


def _table_span(table: Any) -> tuple[float | None, float | None]:
    """Return the first and the last time in a table of events, intervals or units."""
    lows, highs = [], []
    for name in ("start_time", "stop_time", "timestamp", "spike_times"):
        if name in table.colnames:
            column = table[name]
            column = getattr(column, "target", column)
            data = _unwrap(column.data)
            if not len(data):
                continue
            values = np.asarray(data[:] if len(data) <= _ALL_VALUES else data[:: len(data) // _ALL_VALUES + 1])
            values = values[np.isfinite(values)] if values.dtype.kind == "f" else values
            if values.size:
                lows.append(float(values.min()))
                highs.append(float(values.max()))
    return (min(lows), max(highs)) if lows else (None, None)


def _unwrap(data: Any) -> Any:
    from hdmf.data_utils import DataIO

    while isinstance(data, DataIO):
        data = data.data
    return data
