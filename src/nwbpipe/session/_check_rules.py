"""Find in any session file what no recording can be: the rules that a conversion holds its sources to.

Each finding has the word of its rule, by which a source's `accept` in a session.yaml lets it pass: ``order``,
``rate``, ``span``, ``unit`` and ``shape``; ``dates`` are the subject's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from nwbpipe import files
from nwbpipe.errors import Problem, show_text

if TYPE_CHECKING:
    import h5py
    from pynwb import NWBFile

    from nwbpipe.provenance import RunRecord

_LOWEST_HZ, _HIGHEST_HZ = 1e-9, 1e12
_PLAUSIBLE_S, _IMPOSSIBLE_S = 30 * 86_400.0, 20 * 365.25 * 86_400.0
_MOST = 50_000_000  # times of one object that are read; of longer ones, pieces
_BLOCK = 2_000_000
_PIECES, _PIECE = 50, 20_000
_VOLTS = {"volts", "volt", "v", "amperes", "ampere", "a"}
_ASK = "ask the program that wrote it, or convert the session again"


@dataclass(frozen=True)
class RuleFinding:
    """Something that a rule finds.

    Attributes
    ----------
    rule : str
        The rule's word.
    error : bool
        True if it can't be right; else a person should look.
    problem : Problem
        The finding and its place.
    """

    rule: str
    error: bool
    problem: Problem


def check_rates(file: h5py.File) -> Iterator[RuleFinding]:
    """Yield the series whose rate is not a number of samples per second; neither NWB nor DANDI refuses one."""
    for path, item in files.walk_objects(file):
        if not path.endswith("/starting_time") or "rate" not in item.attrs:
            continue
        rate = np.asarray(item.attrs["rate"])
        if rate.ndim or rate.dtype.kind not in "iuf" or not _LOWEST_HZ <= float(rate) <= _HIGHEST_HZ:
            message = f"the rate is {show_text(rate)[:40]}, and not a number of samples per second"
            hint = "report it to the program that wrote the file"
            yield RuleFinding("rate", True, Problem(message, path, hint=hint))


def check_rules(nwbfile: NWBFile, record: RunRecord | None = None) -> Iterator[RuleFinding]:
    """Yield what breaks a rule in a file that is open.

    Parameters
    ----------
    nwbfile : NWBFile
    record : RunRecord, optional
        Record of its conversion: what its spec accepts is no error.
    """
    accepted = _read_accepted(record)
    for item in nwbfile.all_children():
        decided = accepted.get(_find_owner(item, accepted), frozenset())
        for finding in _check_object(item):
            if finding.rule not in decided:
                yield finding
    yield from _check_dates(nwbfile)


def _read_accepted(record: RunRecord | None) -> dict[str, frozenset[str]]:
    """Return the rules that a spec accepts, by the id of an object that a source wrote."""
    if record is None:
        return {}
    sources = record.parameters.get("sources", {})
    accepted = {name: frozenset(spec.get("accept") or ()) for name, spec in sources.items()}
    return {item.object_id: accepted.get(item.name.partition(":")[0], frozenset()) for item in record.outputs}


def _find_owner(item: Any, accepted: dict[str, frozenset[str]]) -> str:
    while item is not None and item.object_id not in accepted:
        item = item.parent
    return "" if item is None else item.object_id


def _check_object(item: Any) -> Iterator[RuleFinding]:
    from pynwb import TimeSeries

    kinds = {owner.__name__ for owner in type(item).__mro__}
    if isinstance(item, TimeSeries):
        yield from _check_series(item, kinds)
    elif "EventsTable" in kinds or "TimeIntervals" in kinds:
        yield from _check_table(item)
    elif "Units" in kinds and "spike_times" in (item.colnames or ()):
        yield from _check_spikes(item)
    elif "PlaneSegmentation" in kinds:
        yield from _check_pixels(item)


# Times ----------------------------------------------------------------------------------------------------------


@dataclass
class _Times:
    """Figures of an array of times, read in blocks."""

    count: int = 0
    missing: int = 0
    back: int = 0
    same: int = 0
    first: str = ""
    low: float = np.inf
    high: float = -np.inf

    @classmethod
    def read(cls, data: Any) -> _Times:
        """Read an array of times; of a very long one, pieces in order."""
        times, last = cls(), -np.inf
        for start, stop in _list_blocks(len(data)):
            block = np.asarray(data[start:stop], dtype=np.float64).ravel()
            times.count += block.size
            times.missing += int(np.count_nonzero(~np.isfinite(block)))
            finite = block[np.isfinite(block)]
            if not finite.size:
                continue
            steps = np.diff(finite, prepend=last)
            back = np.flatnonzero(steps < 0)
            if back.size and not times.back:
                previous = last if not back[0] else finite[back[0] - 1]
                times.first = f"{previous:.6f} s to {finite[back[0]]:.6f} s"
            times.back += int(back.size)
            times.same += int(np.count_nonzero(steps == 0))
            last = float(finite[-1])
            times.low, times.high = min(times.low, float(finite.min())), max(times.high, float(finite.max()))
        return times


def _list_blocks(count: int) -> list[tuple[int, int]]:
    if count <= _MOST:
        return [(start, min(start + _BLOCK, count)) for start in range(0, count, _BLOCK)]
    starts = np.linspace(0, count - _PIECE, _PIECES).astype(int)
    return [(int(start), int(start) + _PIECE) for start in starts]


def _check_series(series: Any, kinds: set[str]) -> Iterator[RuleFinding]:
    location = _locate(series)
    timestamps = series.fields.get("timestamps")
    if timestamps is not None and not hasattr(timestamps, "timestamps"):  # a linked one is checked at its owner
        times = _Times.read(timestamps)
        yield from _check_order(times, location, "times", is_error=True)
        yield from _check_span(times.low, times.high, location)
        if times.count >= 100 and (times.low, times.high) == (0.0, times.count - 1.0) and not times.back:
            message = "the times are 0, 1, 2, …: they may be the numbers of frames or samples, and not seconds"
            yield RuleFinding("rate", False, Problem(message, location, hint=_ASK))
    elif series.rate and 0 < series.rate < np.inf:
        start = float(series.starting_time or 0.0)
        if not np.isfinite(start):
            yield RuleFinding("order", True, Problem("the series starts at no time", location, found=f"{start} s"))
        else:
            yield from _check_span(start, start + _count(series) / float(series.rate), location)
        plane = getattr(series, "imaging_plane", None)
        yield from _check_plane_rate(series, getattr(plane, "imaging_rate", None), location)
    yield from _check_unit(series, location)
    if "RoiResponseSeries" in kinds:
        yield from _check_traces(series, location)


def _check_order(times: _Times, location: str, name: str, *, is_error: bool) -> Iterator[RuleFinding]:
    """Yield times that are not finite, that go back, and, of a series, that come twice."""
    if times.missing:
        figures = f"{times.missing} of {times.count}"
        is_open = name.endswith("stop_time")  # of intervals whose ends are not known
        yield RuleFinding("order", not is_open, Problem(f"{name} are not finite", location, found=figures, hint=_ASK))
    if times.back:
        figures = f"{times.back} of {times.count - 1} steps, the first from {times.first}"
        yield RuleFinding("order", is_error, Problem(f"the {name} go back", location, found=figures, hint=_ASK))
    if times.same and is_error:
        figures = f"{times.same} of {times.count - 1} steps"
        yield RuleFinding("order", False, Problem(f"the {name} stand still", location, found=figures, hint=_ASK))


def _check_span(low: float, high: float, location: str) -> Iterator[RuleFinding]:
    far = max(high, -low)
    if not low <= high or far <= _PLAUSIBLE_S:
        return
    days = far / 86_400
    text = f"{days / 365.25:,.0f} years" if days > 2 * 365.25 else f"{days:.0f} days"
    relation = "after" if high >= -low else "before"
    hint = "the times may be Unix times, or in another unit than seconds: convert the session again"
    problem = Problem(
        f"the times lie {text} {relation} the session's start", location, found=f"{far:.3f} s", hint=hint
    )
    yield RuleFinding("span", far > _IMPOSSIBLE_S, problem)


def _check_plane_rate(series: Any, stated: Any, location: str) -> Iterator[RuleFinding]:
    """Compare a movie's rate with that of its plane; planes and volumes differ by a whole number."""
    if not stated or not np.isfinite(stated) or stated <= 0:
        return
    ratio = max(series.rate / stated, stated / series.rate)
    if abs(ratio / round(ratio) - 1) > 0.02:
        message = f"the series has {series.rate:g} Hz, and its imaging plane {stated:g} Hz"
        yield RuleFinding("rate", False, Problem(message, location, hint="one of the two is wrong"))


def _check_table(table: Any) -> Iterator[RuleFinding]:
    location, columns = _locate(table), table.colnames or ()
    bounds = []
    for name in ("timestamp", "start_time", "stop_time"):
        if name in columns:
            times = _Times.read(table[name].data)
            bounds += [bound for bound in (times.low, times.high) if np.isfinite(bound)]
            times.back = 0 if name == "stop_time" else times.back
            yield from _check_order(times, location, f"times in {name}", is_error=False)
    if {"start_time", "stop_time"} <= set(columns) and len(table) <= _MOST:
        lengths = np.asarray(table["stop_time"].data[:], dtype=float) - np.asarray(table["start_time"].data[:], float)
        wrong = np.flatnonzero(lengths < 0)
        if wrong.size:
            message = f"{wrong.size} of {len(table)} intervals end before they start"
            yield RuleFinding(
                "order", True, Problem(message, location, found=f"the first in row {wrong[0] + 1}", hint=_ASK)
            )
    if bounds:
        yield from _check_span(min(bounds), max(bounds), location)


def _check_spikes(units: Any) -> Iterator[RuleFinding]:
    location = f"{_locate(units)}/spike_times"
    data = units["spike_times"].target.data
    if not len(data) or len(data) > _MOST:
        return
    spikes, ends = np.asarray(data[:], dtype=np.float64), np.asarray(units["spike_times"].data[:], dtype=int)
    missing = int(np.count_nonzero(~np.isfinite(spikes)))
    if missing:
        problem = Problem("times of spikes are not finite", location, found=f"{missing} of {spikes.size}", hint=_ASK)
        yield RuleFinding("order", True, problem)
    steps = np.diff(spikes)
    steps[ends[(ends > 0) & (ends < spikes.size)] - 1] = 0.0  # from one unit to the next
    back = int(np.count_nonzero(steps < 0))
    if back:
        problem = Problem("the spikes of a unit are not in the order of time", location, found=f"{back} steps back")
        yield RuleFinding("order", False, problem)
    finite = spikes[np.isfinite(spikes)]
    if finite.size:
        yield from _check_span(float(finite.min()), float(finite.max()), location)


# Values and parts -----------------------------------------------------------------------------------------------


def _check_unit(series: Any, location: str) -> Iterator[RuleFinding]:
    kind = getattr(series.data, "dtype", None)
    if kind is None or kind.kind not in "iu" or str(series.unit or "").lower() not in _VOLTS:
        return
    channels = series.fields.get("channel_conversion")
    is_scaled = (series.conversion or 1.0) != 1.0 or bool(series.offset)
    if not is_scaled and (channels is None or np.all(np.asarray(channels[:]) == 1.0)):
        message = f"whole numbers are called {series.unit} as they are, with a conversion of 1.0"
        hint = "if they are counts of a converter, the file lacks their scale: convert the session again with it"
        yield RuleFinding("unit", False, Problem(message, location, found=str(kind), hint=hint))


def _check_traces(series: Any, location: str) -> Iterator[RuleFinding]:
    shape: tuple[int, ...] = getattr(series.data, "shape", ())
    if len(shape) == 2 and shape[1] != len(series.rois.data):
        figures = f"{shape[1]} traces of {len(series.rois.data)} ROIs"
        yield RuleFinding(
            "shape", True, Problem("the traces do not fit the ROIs", location, found=figures, hint=_ASK)
        )
    parent = series.parent
    lengths = {name: _count(item) for name, item in getattr(parent, "roi_response_series", {}).items()}
    if len(set(lengths.values())) > 1 and series.name == min(lengths):
        figures = ", ".join(f"{name}: {length}" for name, length in lengths.items())
        message = "the traces of one segmentation differ in length"
        yield RuleFinding("shape", True, Problem(message, location.rpartition("/")[0], found=figures, hint=_ASK))


def _check_pixels(table: Any) -> Iterator[RuleFinding]:
    size = _find_image_size(table)
    if size is None or "pixel_mask" not in (table.colnames or ()) or not len(table):
        return
    pixels, ends = table["pixel_mask"].target.data, np.asarray(table["pixel_mask"].data[:], dtype=int)
    if len(pixels) > _MOST or not len(pixels):
        return
    values = np.asarray(pixels[:])
    x, y = (values["x"], values["y"]) if values.dtype.names else values.T[:2]
    outside = np.flatnonzero((x >= size[0]) | (y >= size[1]))
    if not outside.size:
        return
    is_swapped = x.max() < size[1] and y.max() < size[0]
    rois = np.unique(np.searchsorted(ends, outside, side="right"))
    figures = (
        f"{rois.size} of {len(table)} ROIs, the first in row {rois[0] + 1}: x up to {x.max():g}, y up to {y.max():g}"
    )
    hint = "x and y seem to have changed places" if is_swapped else "the ROIs may be of another image: " + _ASK
    expected = f"x below {size[0]}, y below {size[1]}"
    problem = Problem("ROIs have pixels outside of the image", _locate(table), expected, figures, hint)
    yield RuleFinding("shape", not is_swapped, problem)


def _find_image_size(table: Any) -> tuple[int, int] | None:
    """Return the numbers of pixels along x and y of the images that a segmentation is of."""
    from pynwb.image import ImageSeries

    references = [table.reference_images] if isinstance(table.reference_images, ImageSeries) else []
    references += list(table.reference_images or ()) if not references else []
    nwbfile = table.get_ancestor("NWBFile")
    movies = [] if nwbfile is None else [*nwbfile.acquisition.values()]
    movies = [movie for movie in movies if getattr(movie, "imaging_plane", None) is table.imaging_plane]
    for series in [*references, *movies]:
        shape: tuple[int, ...] = getattr(series.data, "shape", ())
        if getattr(series, "external_file", None) is None and len(shape) in (3, 4):
            return int(shape[1]), int(shape[2])
    return None


# The subject ----------------------------------------------------------------------------------------------------


def _check_dates(nwbfile: NWBFile) -> Iterator[RuleFinding]:
    from nwbpipe.validation import read_age

    start, subject = nwbfile.session_start_time, nwbfile.subject
    written = nwbfile.file_create_date[0] if nwbfile.file_create_date else None
    if written is not None and start - written > timedelta(days=1):
        problem = Problem("the session starts after the file was written", "/session_start_time", found=f"{start}")
        yield RuleFinding("dates", True, problem)
    birth = None if subject is None else subject.date_of_birth
    if birth is None:
        return
    days = (start - birth) / timedelta(days=1)
    if days < 0:
        figures = f"{birth.date()}, the session {start.date()}"
        problem = Problem("the subject was born after the session", "/general/subject", found=figures)
        yield RuleFinding("dates", True, problem)
    elif subject.age and str(subject.age__reference or "birth") != "gestational":
        low, high = read_age(subject.age)
        if not low - 1 <= days <= high + 1:
            message = "the age is not the time from birth to the session"
            problem = Problem(message, "/general/subject", f"about P{days:.0f}D", subject.age)
            yield RuleFinding("dates", False, problem)


def _count(series: Any) -> int:
    shape: tuple[int, ...] | None = getattr(series.data, "shape", None)
    return int(shape[0]) if shape else 0


def _locate(item: Any) -> str:
    """Return the path of an object: in its file, or, in memory, among its parents."""
    values = getattr(getattr(item, "id", item), "data", None)
    path = getattr(values, "name", None)
    if isinstance(path, str):
        return path.rpartition("/")[0]
    names = []
    while item is not None and item.parent is not None:
        names.append(str(item.name))
        item = item.parent
    return "/" + "/".join(reversed(names))
