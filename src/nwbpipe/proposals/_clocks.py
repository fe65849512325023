"""Propose how the clocks of a session are aligned: with the evidence, and without guessing an offset."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nwbpipe.converters import match_pulses
from nwbpipe.converters.accounts import read_spikeglx_meta
from nwbpipe.proposals._candidate import Candidate, Mark, Noted, TimesFile
from nwbpipe.proposals._tables import PER_SECOND, Table, find_times, find_unit, read_table

_QUICK_BYTES = 2_000_000_000
_QUICK_PULSES = 200_000
_ROLES = ("recording", "sync", "movie", "trials", "signal", "video", "events", "pose", "cells", "sorting")
_OFFSET = "time 0 of this clock on the reference clock, in seconds; or another way to align it"
_TIMED = ("video", "pose", "cells", "movie")
Times = npt.NDArray[np.float64]


@dataclass
class Clock:
    """A proposed clock: its entry in the spec, and comments above it."""

    entry: dict[str, Any]
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Train:
    """A pulse train that a spec can name."""

    spec: dict[str, Any]
    times: Times
    words: str


def add_times(candidates: list[Candidate], tables: list[Table]) -> None:
    """Give streams the file beside them that has a time for each of their samples."""
    timed = [candidate for candidate in candidates if candidate.role in _TIMED and candidate.samples]
    lengths = {candidate.samples for candidate in timed}  # the cells of other tables are not read
    files = [(table, times) for table in tables if table.rows in lengths and (times := find_times(table)) is not None]
    for candidate in timed:
        fitting = [(table, times) for table, times in files if table.rows == candidate.samples]
        if len(fitting) > 1:
            fitting = [(table, times) for table, times in fitting if _is_named_after(table.path, candidate)]
        if len(fitting) == 1:
            candidate.times = fitting[0][1]


def _is_named_after(path: Path, candidate: Candidate) -> bool:
    stems = [file.stem for file in candidate.files] + [candidate.name]
    return any(path.stem.startswith(stem) or stem.startswith(path.stem.split("_")[0]) for stem in stems)


def choose_reference(candidates: list[Candidate]) -> str:
    """Return the clock that the others are aligned to: that of a recording, if there is one."""
    return min(candidates, key=lambda candidate: _ROLES.index(candidate.role)).device


def find_start(candidates: list[Candidate], reference: str) -> Any:
    """Return the session's start: as the files say it, without a zone that they do not have."""
    members = [candidate for candidate in candidates if candidate.device == reference]
    start = next((candidate.start for candidate in members if candidate.start is not None), None)
    unix = _first_unix(candidates) if _is_unix(members) else None
    if unix is not None:
        moment = datetime.fromtimestamp(unix.first_s, UTC)
        return Noted(moment.isoformat(), f"the first time in {unix.path.name}, in Unix seconds: so in UTC")
    if start is not None and start.tzinfo is not None:
        return Noted(start.isoformat(), "as its files say")
    if start is not None:
        return Mark("add the time zone, as in 2024-05-01T10:00:00-04:00; the files have none", start.isoformat())
    return Mark("time 0 of the reference clock, with its time zone: 2024-05-01T10:00:00-04:00")


def _is_unix(candidates: list[Candidate]) -> bool:
    return any(candidate.times is not None and candidate.times.is_unix for candidate in candidates)


def _first_unix(candidates: list[Candidate]) -> TimesFile | None:
    files = [candidate.times for candidate in candidates if candidate.times is not None and candidate.times.is_unix]
    return min(files, key=lambda times: times.first_s, default=None)


def propose_clocks(candidates: list[Candidate], names: dict[int, str], reference: str) -> dict[str, Clock]:
    """Return an entry for each clock that needs one.

    Parameters
    ----------
    candidates : list of Candidate
    names : dict
        Name of the source of each candidate, by its position.
    reference : str
        The reference clock.
    """
    devices = list(dict.fromkeys(candidate.device for candidate in candidates))
    of_reference = [(names[i], item) for i, item in enumerate(candidates) if item.device == reference]
    unix = _first_unix(candidates) if _is_unix([item for _, item in of_reference]) else None
    trains = list(_read_reference_trains(of_reference)) if len(devices) > 1 else []
    clocks: dict[str, Clock] = {}
    for device in devices:
        members = [(names[i], item) for i, item in enumerate(candidates) if item.device == device]
        times = next((item.times for _, item in members if item.times is not None), None)
        if device == reference:
            if times is not None:
                clocks[device] = _align_to_file(times, unix, is_reference=True)
            continue
        clock = _match(members, times, trains)
        if clock is None and times is not None:
            clock = _align_to_file(times, unix, is_reference=False)
        if clock is None:
            hint = _first_of_recording(candidates, members) or _OFFSET
            clock = Clock({"align": "start", "offset_s": Mark(hint)})
        if trains and clock.entry["align"] == "start":
            clock.notes.append(f"no pulses of it were found on {trains[0].words.partition(',')[0]}")
        clocks[device] = clock
    return clocks


def _first_of_recording(candidates: list[Candidate], members: list[tuple[str, Candidate]]) -> str:
    """Return the hint for a sorting: its times count from the first sample of the recording that was sorted."""
    recordings = [item for item in candidates if item.role == "recording" and item.account is not None]
    if len(recordings) != 1 or any(item.role != "sorting" for _, item in members):
        return ""
    streams = recordings[0].account.streams if recordings[0].account else ()
    first = (streams[0].first_time if streams else 0.0) or 0.0
    return f"{first!r} if these units were sorted from {recordings[0].name} and count from its first sample"


def _align_to_file(times: TimesFile, unix: TimesFile | None, *, is_reference: bool) -> Clock:
    entry: dict[str, Any] = {"align": "timestamps", **_file_entry(times)}
    notes = [f"{times.path.name} has a time for each of its samples, from {times.first_text} on"]
    if times.is_unix and unix is not None:
        start = unix.first_text if unix.unit == "s" else repr(unix.first_s)  # the text has all of its digits
        entry["offset_s"] = Noted(_negate(start), "minus session_start_time, in Unix seconds")
    elif times.is_unix:
        entry["offset_s"] = Mark("minus session_start_time, in Unix seconds")
    elif is_reference:
        entry["offset_s"] = Mark(
            f"0 if session_start_time is the file's time 0; {-times.first_s!r} if it is its first row"
        )
    else:
        entry["offset_s"] = Mark("seconds to add to the file's times, so that they are in the reference clock")
    if not times.is_increasing:
        entry["repair"] = Mark("interpolate: a few times do not lie after the one before; look at the file")
    return Clock(entry, notes)


def _negate(text: str) -> str:
    return text.removeprefix("-") if text.startswith("-") else f"-{text}"


def _file_entry(times: TimesFile) -> dict[str, Any]:
    entry: dict[str, Any] = {"file": times.path}
    if times.column is not None:
        entry["column"] = times.column
    if times.unit != "s":
        entry["unit"] = times.unit or Mark("s, ms or us: the file does not say it")
    return entry


def _match(members: list[tuple[str, Candidate]], times: TimesFile | None, trains: list[_Train]) -> Clock | None:
    """Find a train of the clock whose pulses the reference recorded, too: the longest match that is beyond chance."""
    best: tuple[int, Clock] | None = None
    for train in _read_own_trains(members, times):
        for reference in trains:
            pairs, clock = _compare(train, reference, times)
            if clock is not None and (best is None or pairs > best[0]):
                best = (pairs, clock)
    return best[1] if best is not None else None


def _compare(train: _Train, reference: _Train, times: TimesFile | None) -> tuple[int, Clock | None]:
    entry: dict[str, Any] = {"align": "pulses", "pulses": train.spec, "reference_pulses": reference.spec}
    match = match_pulses(train.times, reference.times)
    if not match.is_accepted and len(train.times) == len(reference.times):
        within = match_pulses(train.times, reference.times, start_within_s=0.01)
        if within.is_accepted:
            hint = (
                f"0.01 if the first pulses of both are the same event: both trains have {len(train.times):,} pulses"
            )
            entry["start_within_s"] = Mark(hint)
            match = within
    if not match.is_accepted or match.best is None:
        return 0, None
    best = match.best
    if times is not None:
        entry["timestamps"] = _file_entry(times)
    evidence = (
        f"{best.num_pairs:,} of {len(match.source):,} pulses of {train.words} pair with {reference.words} "
        f"({len(match.reference):,}): spread {best.sigma * 1e3:.3f} ms, drift {best.fit.line.drift * 1e6:.1f} ppm"
    )
    return best.num_pairs, Clock(entry, [evidence])


def _read_own_trains(members: list[tuple[str, Candidate]], times: TimesFile | None) -> Iterator[_Train]:
    if times is not None and times.unit and times.is_increasing:
        values = _load(times)
        if 3 <= len(values) <= _QUICK_PULSES:
            yield _Train(_file_entry(times), values, f"{times.path.name}")
    for name, candidate in members:
        column = candidate.args.get("time_column")
        if candidate.interface != "BehaviorEventsInterface" or not isinstance(column, str):
            continue
        table = read_table(candidate.args["file_path"])
        numbers = table.numbers(column) if table is not None and column in table.names else None
        if table is None or numbers is None or find_unit(column, numbers) != "s" or len(numbers) > _QUICK_PULSES:
            continue
        if np.all(np.diff(numbers) > 0):
            yield _Train({"source": name, "events": "*"}, numbers, f"{name} (all events)")
        labels = table.texts(str(candidate.args["name_column"]))
        for label in sorted(set(labels))[:20]:
            chosen = numbers[[text == label for text in labels]]
            if len(chosen) >= 3 and np.all(np.diff(chosen) > 0) and len(chosen) < len(numbers):
                yield _Train({"source": name, "events": label}, chosen, f"{name} ({label})")


def _load(times: TimesFile) -> Times:
    table = read_table(times.path)
    assert table is not None
    name = table.names[0] if times.column is None else str(times.column)
    values = table.numbers(name)
    assert values is not None
    return values / PER_SECOND[times.unit]


def _read_reference_trains(members: list[tuple[str, Candidate]]) -> Iterator[_Train]:
    """Read the pulses of each bit of a SpikeGLX sync channel, where the file is small enough to be quick."""
    for name, candidate in members:
        binaries = [path for path in candidate.files if path.suffix == ".bin"]
        if candidate.role != "sync" or len(binaries) != 1 or binaries[0].stat().st_size > _QUICK_BYTES:
            continue
        meta = read_spikeglx_meta(binaries[0].with_suffix(".meta"))
        width, rate = int(meta["nSavedChans"]), float(meta["imSampRate"])
        samples = binaries[0].stat().st_size // (2 * width)
        words = np.memmap(binaries[0], "<u2", "r", shape=(samples, width))[:, -1]
        word = np.array(words)
        for bit in range(16):
            high = (word >> bit) & 1
            edges = np.flatnonzero(np.diff(high.astype(np.int8)) == 1) + 1
            if 3 <= len(edges) <= _QUICK_PULSES:
                yield _Train({"source": name, "bit": bit}, edges / rate, f"{name}, bit {bit}")
