"""Compare what a source added to the file with the account of its raw files, and put its times right."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from nwbpipe.converters._added import AddedObjects, Times, load_array, original_times, sample_count
from nwbpipe.converters.accounts._account import Account, Gap, Spikes, Stream
from nwbpipe.converters.clocks._alignment import map_tables, shift_times
from nwbpipe.errors import AccountError, Problem

_RATE_TOLERANCE = 1e-3  # readers round rates; another rate is wrong by more
_GAIN_TOLERANCE = 1e-3
_SAME_TIME_S = 1e-9
_SAME_SPIKE_S = 1e-4
_NAMED = 5  # files and gaps that a message names

_HINTS = {
    "samples": "the reader left samples out: check that all files of the recording are there and of one length",
    "channels": "name the channels to read in args, or give each group of channels a source of its own",
    "shape": "choose the channel, plane or field of the file in args",
    "rate": "give the rate in args, or frame times in the source's clock",
    "unit": "the reader does not scale these channels: report it, or write them with SeriesInterface",
}


def reconcile(
    account: Account, added: AddedObjects, *, where: str, accept: Collection[str] = (), stub: bool = False
) -> list[str]:
    """Hold the objects that a source added to its account.

    Times are put right where the account knows them: the first sample of a stream, and the time of each sample where
    some are missing.

    Parameters
    ----------
    account : Account
        The account of the source's raw files.
    added : AddedObjects
        The objects that the source added, in the source's own time.
    where : str
        The source's place in the spec, for messages.
    accept : collection of str
        Kinds of differences that a person has decided to keep.
    stub : bool
        True if only the first samples were read.

    Returns
    -------
    list of str
        Notes for the record and the user: what was put right, what was accepted.

    Raises
    ------
    AccountError
        The reader got something else than the files hold.
    """
    differences = [(kind, problem) for kind, problem in account.problems]
    series = sorted(added.series(), key=lambda item: (len(item.name), item.name))
    pairs = list(_pair(account, series))
    if series and len(account.streams) > 1 and len(series) != len(account.streams):
        differences.append(("fields", _count_problem(account, series, where)))
    total = sum(sample_count(item) for item in series)
    for stream, item in pairs:
        differences += _compare(account, stream, item, f"{where}: {item.name}", total=total, stub=stub)
    if account.spikes is not None and not stub:
        differences += _compare_spikes(account.spikes, added, where)
    notes = raise_unaccepted(differences, where, accept)
    if not series and account.table_shift_s:
        shift_times(added, account.table_shift_s)
    for stream, item in pairs:
        notes += _correct_times(stream, item, added if len(pairs) == 1 else AddedObjects(objects=[item]))
    return notes


def raise_unaccepted(differences: list[tuple[str, Problem]], where: str, accept: Collection[str]) -> list[str]:
    """Raise an error that names every difference that is not accepted; return notes on the others."""
    refused = [(kind, problem) for kind, problem in differences if kind not in accept]
    if refused:
        problems = [_offer_accept(kind, problem, where) for kind, problem in refused]
        if len(problems) == 1:
            problem = problems[0]
            raise AccountError(
                problem.what, where=problem.where or where, expected=problem.expected, found=problem.found,
                hint=problem.hint,
            )  # fmt: skip
        raise AccountError("the raw files and what was read of them differ", where=where, problems=problems)
    return [
        f"accepted ({kind}): {problem.what}" + (f", {problem.found}" if problem.found else "")
        for kind, problem in differences
    ]


def _offer_accept(kind: str, problem: Problem, where: str) -> Problem:
    source = where.removeprefix("sources.")
    way = f"`accept: [{kind}]` in the source {source} keeps it as it is, and the file's record says so"
    hint = f"{problem.hint}; or {way}" if problem.hint else way
    return Problem(problem.what, problem.where or where, problem.expected, problem.found, hint)


def _pair(account: Account, series: list[Any]) -> Iterator[tuple[Stream, Any]]:
    if len(account.streams) == 1:
        yield from ((account.streams[0], item) for item in series)
    elif len(account.streams) == len(series):
        yield from zip(account.streams, series, strict=True)


def _count_problem(account: Account, series: list[Any], where: str) -> Problem:
    names = ", ".join(stream.name for stream in account.streams)
    return Problem(
        "the reader wrote another number of series than the files hold streams",
        where,
        f"{len(account.streams)} streams ({names})",
        f"{len(series)} series",
        "choose the streams in args, a source each",
    )


def _compare_spikes(spikes: Spikes, added: AddedObjects, where: str) -> Iterator[tuple[str, Problem]]:
    """Compare the units that a source wrote with the spikes of its files."""
    count, units, last = 0, 0, -np.inf
    for table, first in added.tables():
        if any(owner.__name__ == "Units" for owner in type(table).__mro__) and "spike_times" in table.colnames:
            ends = np.asarray(load_array(table["spike_times"].data), dtype=int)
            begin = int(ends[first - 1]) if first else 0
            times = np.asarray(load_array(table["spike_times"].target.data), dtype=np.float64)[begin:]
            count += times.size
            units += int(np.count_nonzero(np.diff(ends[first:], prepend=begin)))
            last = max(last, float(times.max(initial=-np.inf)))
    if (count, units) != (spikes.count, spikes.units):
        yield (
            "samples",
            Problem(
                "the reader got other spikes than the files hold",
                where,
                f"{spikes.count} spikes of {spikes.units} units",
                f"{count} spikes of {units} units",
                "check that the files are of one run of the tool, and that none is cut off",
            ),
        )
    elif spikes.last_s is not None and abs(last - spikes.last_s) > _SAME_SPIKE_S:
        message, hint = "the spikes have other times than the files give", "check sample_rate in params.py"
        yield "rate", Problem(message, where, f"the last one at {spikes.last_s:.6f} s", f"{last:.6f} s", hint)


def _compare(
    account: Account, stream: Stream, series: Any, where: str, *, total: int, stub: bool
) -> Iterator[tuple[str, Problem]]:
    from hdmf.utils import get_data_shape

    external = getattr(series, "external_file", None) is not None
    shape = () if external else tuple(get_data_shape(series.data) or ())
    count = sample_count(series)
    if stream.is_split:
        count = total
    # The frames of an external video are counted by the account, if it gives their times.
    is_counted = external and stream.times is not None
    if stream.samples is not None and not stub and count != stream.samples and not is_counted:
        message = "the reader got another number of samples than the files hold"
        expected = f"{stream.samples} samples in {_name_files(account.files)}"
        yield "samples", Problem(message, where, expected, f"{count} samples", _HINTS["samples"])
    if stream.channels is not None and len(shape) == 2 and shape[1] != stream.channels:
        message = "the reader got another number of channels than the files hold"
        yield (
            "channels",
            Problem(message, where, f"{stream.channels} channels", f"{shape[1]} channels", _HINTS["channels"]),
        )
    if stream.frame_shape is not None and len(shape) >= 3 and shape[1:3] != (stream.frame_shape[::-1]):
        rows, columns = stream.frame_shape
        message = "the reader got frames of another size than the files hold"
        yield (
            "shape",
            Problem(message, where, f"{rows} x {columns} pixels", f"{shape[2]} x {shape[1]} pixels", _HINTS["shape"]),
        )
    planes = shape[3] if len(shape) == 4 else 1
    if stream.planes is not None and len(shape) >= 3 and planes != stream.planes:
        message = "the reader got another number of planes than the files hold"
        yield "planes", Problem(message, where, f"{stream.planes} planes", f"{planes} planes", _HINTS["shape"])
    rate = series.fields.get("rate")
    if stream.rate and rate and abs(rate / stream.rate - 1) > _RATE_TOLERANCE:
        message = "the reader gives another rate than the files"
        yield "rate", Problem(message, where, f"{stream.rate:g} Hz", f"{rate:g} Hz", _HINTS["rate"])
    if stream.gain is not None and not external:
        yield from _compare_gain(stream, series, where)
    if stream.gaps and stream.times is None:
        message = "samples are missing inside the recording"
        yield "gap", Problem(message, where, "samples without gaps", describe_gaps(stream.gaps, stream.rate))


def _compare_gain(stream: Stream, series: Any, where: str) -> Iterator[tuple[str, Problem]]:
    if stream.unit is not None and str(series.unit).lower() not in _spellings(stream.unit):
        message = "the series has another unit than the files give"
        yield "unit", Problem(message, where, stream.unit, str(series.unit), _HINTS["unit"])
        return
    factor = float(series.conversion or 1.0)
    per_channel = series.fields.get("channel_conversion")
    written = factor * (1.0 if per_channel is None else np.asarray(load_array(per_channel), dtype=float))
    stated = np.asarray(stream.gain, dtype=float)
    if stated.ndim and np.ndim(written) and stated.shape != np.shape(written):
        return  # some channels were chosen
    if not np.allclose(written, stated, rtol=_GAIN_TOLERANCE, atol=0.0):
        message = "the numbers have another scale than the files give"
        unit = stream.unit or "units"
        expected = f"{np.ravel(stated)[0]:g} {unit} for a step"
        yield "unit", Problem(message, where, expected, f"{np.ravel(written)[0]:g} {unit} for a step", _HINTS["unit"])


def _spellings(unit: str) -> tuple[str, ...]:
    return ("volts", "volt", "v") if unit in ("volts", "V") else (unit.lower(),)


def _correct_times(stream: Stream, series: Any, added: AddedObjects) -> list[str]:
    """Put a series, and the tables beside it, at the times that the account knows."""
    count = sample_count(series)
    if not count:
        return []
    plane, rate = getattr(series, "imaging_plane", None), series.fields.get("rate")
    if stream.true_rate and rate and plane is not None and plane.imaging_rate == rate:
        plane.fields["imaging_rate"] = stream.true_rate
    if stream.times is not None and (stream.gaps or stream.rate is None):
        times = np.asarray(stream.times(), dtype=np.float64)
        if getattr(series, "external_file", None) is not None:
            count = series._num_samples = len(times)
        times, old = times[:count], original_times(series, count)
        _set_timestamps(series, times)
        map_tables(AddedObjects(objects=added.objects, grown_tables=added.grown_tables), _interpolate(old, times))
        if not stream.gaps:
            return []
        return [f"{series.name}: {describe_gaps(stream.gaps, stream.rate)}; each sample has its time"]
    if stream.true_rate and rate:
        series.fields["rate"] = stream.true_rate
    if stream.first_time is None:
        return []
    timestamps = series.timestamps  # of a series that shares those of another one, the other's
    first = float(series.starting_time or 0.0) if timestamps is None else float(timestamps[0])
    if abs(first - stream.first_time) > _SAME_TIME_S:
        shift_times(added, stream.first_time - first)
    return []


def _set_timestamps(series: Any, times: Times) -> None:
    for name in ("rate", "starting_time", "starting_time_unit", "timestamps", "timestamps_unit", "interval"):
        series.fields.pop(name, None)
    series.fields.update(timestamps=times, timestamps_unit="seconds", interval=1)


def _interpolate(old: Times, new: Times) -> Any:
    """Make the map of the times of a series' samples, and of times beside them, from before to after."""
    if len(old) < 2:
        return lambda times: times + (new[0] - old[0])

    def mapping(times: Times) -> Times:
        is_early, is_late = times < old[0], times > old[-1]
        inner = np.interp(times, old, new)
        return np.where(is_early, times + (new[0] - old[0]), np.where(is_late, times + (new[-1] - old[-1]), inner))

    return mapping


def describe_gaps(gaps: tuple[Gap, ...], rate: float | None) -> str:
    """Say how many samples are missing, and where."""
    first = gaps[0]
    lost = sum(gap.missing for gap in gaps)
    seconds = f" ({lost / rate:.6g} s)" if rate else ""
    if len(gaps) == 1:
        return f"{lost:.0f} samples{seconds} are missing at {first.at_s:.6g} s, before sample {first.sample}"
    return f"{lost:.0f} samples{seconds} are missing in {len(gaps)} gaps, the first at {first.at_s:.6g} s"


def _name_files(files: tuple[Path, ...]) -> str:
    names = ", ".join(path.name for path in files[:_NAMED])
    more = f" and {len(files) - _NAMED} more" if len(files) > _NAMED else ""
    return f"{len(files)} files ({names}{more})" if len(files) != 1 else names
