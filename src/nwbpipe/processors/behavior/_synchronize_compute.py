"""Bring series, pose, spikes and events to one grid of times (compute module: see `nwbpipe.processors`)."""

from __future__ import annotations

from typing import Any, Callable, Dict, Iterator, List, Tuple

import h5py
import numpy as np

from nwbpipe_kit.turns import find_turns
from nwbpipe_kit.windows import resolve

from ._synchronize_sample import KERNEL_STEPS, count_in_bins, low_pass_at, mean_of_bins, sample_at
from ._synchronize_times import SampleTimes, bin_edges

Progress = Callable[[float, str], None]

VALUES = 1 << 20  # values of a source that are held at once
_ROWS = 1 << 14  # rows of the grid that are computed at once, at most
_FASTER = 1.05  # a source that is faster than the grid by less needs no low-pass
_EVENTS = ("units", "events")


class Grid:
    """The times of the rows: part of the times of a series, or regular ones."""

    def __init__(self, times: SampleTimes, first: int, last: int) -> None:
        self._times, self._first, self.count, self.step = times, first, last - first, times.step
        #: What is no farther before the edge of a bin is on it: rounding must not decide which bin it is in.
        self.slack = resolve(max(abs(times.first), abs(times.last)))

    def read(self, first: int, last: int) -> np.ndarray:
        """Return the times of the rows from `first` up to `last`, which is excluded."""
        return self._times.read(self._first + first, self._first + last)

    def bins(self, first: int, last: int) -> np.ndarray:
        """Return start and end of the bin around each of these rows."""
        times = self.read(max(first - 1, 0), min(last + 1, self.count))
        inner = times[first > 0 : times.size - (last < self.count)]
        earlier = float(times[0]) if first > 0 else None
        return bin_edges(inner, earlier, float(times[-1]) if last < self.count else None, self.step)


def compute(request: Dict[str, Any], results: h5py.File, progress: Progress) -> Dict[str, Any]:
    """Leave ``timestamps`` and a dataset for each input, under its number, in `results`."""
    params, facts = request["params"], request["facts"]
    streams = facts["streams"]
    file_path = request["inputs"][streams[0]["bound"]]["file"]
    summary: Dict[str, Any] = {"streams": {}}
    with h5py.File(file_path, "r", locking=False) as file:
        columns = {stream["bound"]: _open_columns(file, stream) for stream in streams}
        grid = _make_grid(file, facts, params, streams, columns)
        stamps = results.create_dataset("timestamps", (grid.count,), np.float64)
        for first, last in _blocks(grid.count, 1 << 18):
            stamps[first:last] = grid.read(first, last)
        for number, stream in enumerate(streams):

            def report(part: float, number: int = number, name: str = stream["name"]) -> None:
                progress((number + part) / len(streams), name)

            if stream["kind"] in _EVENTS:
                account = _count_events(file, stream, grid, results, str(number), report)
            else:
                account = _sample_columns(file, stream, columns[stream["bound"]], grid, results, str(number), report)
            summary["streams"][stream["bound"]] = account
        summary.update({"rows": grid.count, "start": float(grid.read(0, 1)[0]), "step": grid.step})
    return summary


def _blocks(count: int, size: int) -> Iterator[Tuple[int, int]]:
    for first in range(0, count, size):
        yield first, min(first + size, count)


def _open_columns(file: h5py.File, stream: Dict[str, Any]) -> List[Tuple[Dict[str, Any], SampleTimes]]:
    """Return the datasets of a stream, each with its times: one, or one for each keypoint."""
    if stream["kind"] in _EVENTS:
        return []
    opened: Dict[str, SampleTimes] = {}
    members = []
    for member in stream["members"]:
        count, path = file[member["data"]].shape[0], member["timestamps"]
        key = path or "%r %r %r" % (member["rate"], member["start"], count)
        if key not in opened:
            stamps = file[path] if path else None
            opened[key] = SampleTimes(stream["path"], stamps, member["rate"] or 0.0, member["start"] or 0.0, count)
        if opened[key].count != count:
            raise ValueError("%s has %d samples and %d times" % (member["data"], count, opened[key].count))
        members.append((member, opened[key]))
    return members


def _make_grid(
    file: h5py.File, facts: Dict[str, Any], params: Dict[str, Any], streams: List[Dict[str, Any]], columns: Any
) -> Grid:
    """Return the grid: from where each stream has data (or any of them) to where it ends."""
    ranges = [(times.first, times.last) for members in columns.values() for _, times in members]
    ranges = ranges or [_range_of_events(file, stream) for stream in streams]
    pick = (max, min) if params["extent"] == "overlap" else (min, max)
    start = params["start_s"] if params["start_s"] is not None else pick[0](first for first, _ in ranges)
    stop = params["stop_s"] if params["stop_s"] is not None else pick[1](last for _, last in ranges)
    if not start <= stop:
        listed = ", ".join("%.3f to %.3f s" % item for item in sorted(set(ranges)))
        message = "the streams don't overlap in time: %s; give extent=all, or start_s and stop_s"
        raise ValueError(message % listed if params["start_s"] is None else "start_s is after the end of the streams")
    described = facts["grid"]
    if described is None:
        count = int(np.floor((stop - start) * params["rate_hz"] + 1e-6)) + 1
        return Grid(SampleTimes("the grid", None, params["rate_hz"], start, count), 0, count)
    stamps = file[described["timestamps"]] if described["timestamps"] else None
    times = SampleTimes(
        described["path"], stamps, described["rate"] or 0.0, described["start"] or 0.0, described["count"] or 0
    )
    first, last = times.find(start), times.find(stop + 2e-9)
    if last <= first:
        message = "%s has no time between %.3f and %.3f s, where the other streams have data"
        raise ValueError(message % (described["path"], start, stop))
    return Grid(times, first, last)


def _range_of_events(file: h5py.File, stream: Dict[str, Any]) -> Tuple[float, float]:
    times = np.asarray(file[stream["times"]][()], dtype=np.float64)
    times = times[np.isfinite(times)]
    if not times.size:
        raise ValueError(
            "%s has no events, and nothing says when it was recorded: give start_s, stop_s" % stream["path"]
        )
    return float(times.min()), float(times.max())


def _sample_columns(
    file: h5py.File, stream: Dict[str, Any], members: List[Tuple[Dict[str, Any], SampleTimes]], grid: Grid,
    results: h5py.File, name: str, report: Callable[[float], None],
) -> Dict[str, Any]:  # fmt: skip
    first_data = file[members[0][0]["data"]]
    shape = first_data.shape[1:] if stream["kind"] == "series" else (len(members), *first_data.shape[1:])
    counted = stream["method"] == "count"
    small = first_data.dtype.itemsize <= 2 or first_data.dtype == np.float32
    kind = np.int32 if counted else np.float32 if small else np.float64
    shape = () if counted else shape
    size = max(grid.count, 1)
    chunk = (min(size, max(1, (1 << 16) // max(int(np.prod(shape)), 1))), *(max(item, 1) for item in shape))
    out = results.create_dataset(name, (grid.count, *shape), kind, chunks=chunk, maxshape=(None, *shape))
    account: dict[str, Any] = {"source_rate": 1 / members[0][1].step, "low_pass_hz": None, "missing": 0}
    readers = []
    for member, times in members[:1] if counted else members:
        max_gap = stream["max_gap_s"] if stream["max_gap_s"] is not None else 1.5 * times.step
        cutoff = None
        if stream["method"] == "linear" and stream["lowpass"] is not None and grid.step > times.step * _FASTER:
            cutoff = stream["lowpass"] / grid.step / 2
            account["low_pass_hz"] = cutoff
        readers.append(_Reader(file, member, times, grid, stream, max_gap, cutoff))
        account["turns"] = readers[0].turns is not None
    for first, last in _blocks(grid.count, min(reader.rows for reader in readers)):
        block = np.stack([reader.read(first, last) for reader in readers], axis=1)
        out[first:last] = block.reshape(last - first, *shape)
        account["missing"] += int((~np.isfinite(block).all(axis=(1, 2))).sum())
        report(last / grid.count)
    return account


class _Reader:
    """Reads one dataset at rows of the grid, with what lies around them."""

    def __init__(
        self, file: h5py.File, member: Dict[str, Any], times: SampleTimes, grid: Grid, stream: Dict[str, Any],
        max_gap: float, cutoff: Any,
    ) -> None:  # fmt: skip
        self._data, self._times, self._grid, self._method = file[member["data"]], times, grid, stream["method"]
        self._confidence = file[member["confidence"]] if member.get("confidence") else None
        self._least = stream.get("min_likelihood")
        self._scale = np.asarray(member["conversion"], dtype=np.float64)
        self._offset, self._max_gap, self._cutoff = member["offset"], max_gap, cutoff
        self._half = KERNEL_STEPS * grid.step
        width = max(int(np.prod(self._data.shape[1:])), 1)
        in_a_row = max(grid.step / times.step, 1.0) * width
        #: Rows of the grid whose samples fit into memory.
        self.rows = int(np.clip(VALUES / in_a_row, 1, _ROWS))
        blocks = (self._load(*block)[1] for block in _blocks(times.count, max(VALUES // width, 1)))
        #: Which columns are directions, if samples are reckoned with.
        self.turns = find_turns(stream.get("unit", ""), blocks) if self._method in ("linear", "mean") else None

    def read(self, first: int, last: int) -> np.ndarray:
        """Return the values at the rows from `first` up to `last`, (n_rows, n_columns)."""
        values = self._read(first, last)
        return values if self.turns is None else self.turns.wrap(values)

    def _read(self, first: int, last: int) -> np.ndarray:
        at = self._grid.read(first, last)
        if self._method in ("mean", "count"):
            bins = self._grid.bins(first, last)
            low, high = self._times.find(bins[0, 0]), self._times.find(bins[-1, 1]) + 1
            bins -= self._grid.slack
            if self._method == "count":
                return count_in_bins(self._times.read(max(low - 1, 0), high), bins)[:, None]
            times, values = self._load_unwrapped(max(low - 1, 0), high)
            return mean_of_bins(times, values, bins) if times.size else np.full((at.size, values.shape[1]), np.nan)
        margin = self._max_gap + self._times.step + (self._half if self._cutoff else 0.0)
        low, high = self._times.find(at[0] - margin), self._times.find(at[-1] + margin)
        times, values = self._load_unwrapped(max(low - 1, 0), min(high + 1, self._times.count))
        if not times.size:
            return np.full((at.size, values.shape[1]), np.nan)
        slack = max(resolve(float(at[-1])), 1e-6 * self._times.step)
        if self._cutoff is None:
            return sample_at(times, values, at, self._method, self._max_gap, slack)
        return low_pass_at(times, values, at, self._cutoff, self._half, self._max_gap, self._times.step, slack)

    def _load_unwrapped(self, first: int, last: int) -> Tuple[np.ndarray, np.ndarray]:
        times, values = self._load(first, last)
        return times, values if self.turns is None else self.turns.unwrap(values)

    def _load(self, first: int, last: int) -> Tuple[np.ndarray, np.ndarray]:
        raw = np.asarray(self._data[first:last])
        values = raw.reshape(raw.shape[0], -1).astype(np.float64) * self._scale + self._offset
        if self._confidence is not None and self._least is not None:
            likelihood = np.asarray(self._confidence[first:last], dtype=np.float64)
            values[~(likelihood >= self._least)] = np.nan
        return self._times.read(first, last), values


def _count_events(
    file: h5py.File, stream: Dict[str, Any], grid: Grid, results: h5py.File, name: str,
    report: Callable[[float], None],
) -> Dict[str, Any]:  # fmt: skip
    """Leave the number of events of each unit or type in each bin; NaN where a unit was not observed."""
    total, counted = 0, 0
    columns = len(stream["labels"])
    observed = stream.get("observed")
    shape = (grid.count, columns)
    rows = max(1, min(grid.count, 1 << 14))
    out = results.create_dataset(
        name, shape, np.float32 if observed else np.int32, chunks=(rows, 1) if grid.count and columns else None
    )
    for column, times in enumerate(_list_event_times(file, stream)):
        intervals = _read_ragged(file, observed, column) if observed else None
        total += times.size
        for first, last in _blocks(grid.count, 1 << 18):
            bins = grid.bins(first, last)
            counts = count_in_bins(times, bins - grid.slack)
            counted += int(counts.sum())
            if intervals is not None:
                inside = np.zeros(bins.shape[0], dtype=bool)
                for begin, end in np.reshape(intervals, (-1, 2)):
                    inside |= (bins[:, 0] >= begin - grid.step / 2 - grid.slack) & (
                        bins[:, 1] <= end + grid.step / 2 + grid.slack
                    )
                counts = np.where(inside, counts, np.nan)
            out[first:last, column] = counts
        report((column + 1) / columns)
    missing = 0
    if observed:
        missing = int(sum(np.isnan(out[first:last]).any(axis=1).sum() for first, last in _blocks(grid.count, rows)))
    return {"events": total, "counted": counted, "outside": total - counted, "missing": missing}


def _list_event_times(file: h5py.File, stream: Dict[str, Any]) -> Iterator[np.ndarray]:
    if stream["kind"] == "units":
        for unit in range(len(stream["labels"])):
            yield np.sort(_read_ragged(file, stream, unit))
        return
    times = np.asarray(file[stream["times"]][()], dtype=np.float64)
    if stream["types"] is None:
        yield np.sort(times[np.isfinite(times)])
        return
    types = file[stream["types"]].asstr()[()]
    for label in stream["labels"]:
        chosen = times[types == label]
        yield np.sort(chosen[np.isfinite(chosen)])


def _read_ragged(file: h5py.File, column: Dict[str, Any], row: int) -> np.ndarray:
    index = file[column["index"]]
    first, last = int(index[row - 1]) if row else 0, int(index[row])
    return np.asarray(file[column["times"]][first:last], dtype=np.float64)
