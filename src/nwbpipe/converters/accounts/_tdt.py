"""TDT: a block's .tsq lists the records of all stores, each with its time; the samples are in .tev or .sev files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from nwbpipe.converters.accounts._account import Account, Gap, Stream, Times
from nwbpipe.converters.accounts._registry import account
from nwbpipe.errors import Problem

_RECORD = np.dtype(
    [
        *(("size", "<i4"), ("type", "<i4"), ("store", "S4"), ("channel", "<u2"), ("sort_code", "<u2")),
        *(("stamp", "<f8"), ("offset", "<i8"), ("format", "<i4"), ("rate", "<f4")),
    ]
)
_HEADER_WORDS = 10  # of a record's size, which counts words of 4 bytes
_ITEM_BYTES = {0: 4, 1: 4, 2: 2, 3: 1, 4: 8}
_KIND, _STREAM, _SPIKES, _MARK = 0xFF0F, 0x8101, 0x8201, 0x8801
_START = b"\x01"
_TOLERANCE = 1.0  # sample: stamps are rounded to a ten-thousandth of a sample and less


@dataclass(frozen=True)
class Store:
    """A store of continuous samples.

    Attributes
    ----------
    name : str
        ``LFP1``.
    records : ndarray
        Those of its first channel.
    counts : mapping of int to int
        Records of each channel.
    start : float
        Stamp of the block's start, in Unix seconds.
    """

    name: str
    records: Any
    counts: Mapping[int, int]
    start: float

    @property
    def rate(self) -> float:
        """Samples in a second."""
        return float(self.records["rate"][0])

    @property
    def lengths(self) -> Any:
        """Samples of each record."""
        size = _ITEM_BYTES.get(int(self.records["format"][0]), 4)
        return (self.records["size"].astype(np.int64) - _HEADER_WORDS) * 4 // size

    def find_gaps(self) -> tuple[Gap, ...]:
        """Find records that do not begin where the one before ends."""
        stamps, lengths = self.records["stamp"], self.lengths
        extra = np.diff(stamps) * self.rate - lengths[:-1]
        ends = np.cumsum(lengths)
        return tuple(
            Gap(int(ends[i]), float(extra[i]), float(stamps[i] - stamps[0] + lengths[i] / self.rate))
            for i in np.flatnonzero(np.abs(extra) > _TOLERANCE)
        )

    def read_times(self) -> Times:
        """Return the time of each sample, from the block's start: each stretch without gaps by its first stamp."""
        lengths = self.lengths
        stretches = np.zeros(len(lengths), dtype=np.int64)
        stretches[np.searchsorted(np.cumsum(lengths), [gap.sample for gap in self.find_gaps()]) + 1] = 1
        stretches = np.cumsum(stretches)
        begins = np.flatnonzero(np.diff(stretches, prepend=-1))
        counts = np.add.reduceat(lengths, begins)
        times = [
            self.records["stamp"][begin] - self.start + np.arange(count) / self.rate
            for begin, count in zip(begins, counts, strict=True)
        ]
        return np.concatenate(times)


@account("TdtRecordingInterface")
def probe_tdt(arguments: Mapping[str, Any]) -> Account | None:
    """Account for one store of a block, as neo numbers them: in the order of the .Tbk."""
    folder = Path(arguments["folder_path"])
    records = _read_records(folder)
    stores = _read_stores(records)
    name = arguments.get("stream_name")
    if name is None:
        names = [store for store in _list_stores(folder) if store in stores] or sorted(stores)
        index = int(arguments.get("stream_id", 0))
        name = names[index] if 0 <= index < len(names) else None
    store = stores.get(str(name))
    if store is None:
        return None
    gain = arguments.get("gain")
    volts = None if gain is None else float(gain) * 1e-6
    return _describe(folder, records, stores, [store], gain=volts)


@account("TDTFiberPhotometryInterface")
def probe_tdt_photometry(arguments: Mapping[str, Any]) -> Account | None:
    """Account for the stores of a source; without `stream_names`, its metadata say which are written, and how."""
    folder = Path(arguments["folder_path"])
    records = _read_records(folder)
    stores = _read_stores(records)
    names = arguments.get("stream_names") or []
    names = [names] if isinstance(names, str) else list(names)
    by_name = {**{_as_python_name(name): store for name, store in stores.items()}, **stores}
    chosen = [by_name[name] for name in names if name in by_name]
    if not stores or len(chosen) != len(names):
        return None
    return _describe(folder, records, stores, chosen)


def _as_python_name(name: str) -> str:
    """Return the name that TDT's own library gives a store: ``405A`` is ``_405A``."""
    text = re.sub(r"\W", "_", name)
    return f"_{text}" if text[:1].isdigit() else text


def _describe(
    folder: Path, records: Any, stores: Mapping[str, Store], chosen: list[Store], gain: float | None = None
) -> Account:
    files = tuple(
        file
        for file in sorted(folder.iterdir())
        if file.suffix.lower() in (".tsq", ".tev", ".tbk", ".tdx", ".sev", ".tnt")
    )
    streams: tuple[Stream, ...] = ()
    problems = [problem for store in chosen for problem in _check_store(folder, store)]
    if chosen:
        store = chosen[0]
        streams = (
            Stream(
                name=store.name,
                samples=int(store.lengths.sum()),
                channels=sum(len(item.counts) for item in chosen) if gain is not None else None,
                rate=store.rate,
                first_time=float(store.records["stamp"][0]) - store.start,
                find_gaps=store.find_gaps,
                times=store.read_times,
                gain=gain,
                unit=None if gain is None else "volts",
            ),
        )
        problems += _check_agreement(folder, chosen)
    names = {store.name for store in chosen}
    unread = tuple(sorted(name for name in _read_names(records) if name not in names))
    start = next((store.start for store in stores.values()), None)
    return Account(
        "TDT",
        files=files,
        streams=streams,
        others=unread,
        problems=tuple(problems),
        start=None if start is None else datetime.fromtimestamp(start, UTC),
    )


def _check_store(folder: Path, store: Store) -> Iterator[tuple[str, Problem]]:
    """Yield channels that differ in length, and samples that the files lack."""
    if len(set(store.counts.values())) > 1:
        counts = ", ".join(f"{channel}: {count}" for channel, count in sorted(store.counts.items())[:8])
        message = f"the channels of the store {store.name} differ in length"
        yield "samples", Problem(message, str(folder), "as many records in each", counts)
    if any(file.suffix.lower() == ".sev" for file in folder.iterdir()):
        return  # neo compares them itself
    blocks = [file for file in folder.iterdir() if file.suffix.lower() == ".tev"]
    ends = store.records["offset"] + (store.records["size"].astype(np.int64) - _HEADER_WORDS) * 4
    if len(blocks) == 1 and int(ends.max()) > blocks[0].stat().st_size:
        needed, size = f"{int(ends.max())} bytes for {store.name}", f"{blocks[0].stat().st_size} bytes"
        hint = "copy the block again, whole"
        yield "samples", Problem("the .tev is shorter than its .tsq says", str(blocks[0]), needed, size, hint)


def _check_agreement(folder: Path, stores: list[Store]) -> Iterator[tuple[str, Problem]]:
    """Yield stores that are to be columns of one series, and were not sampled together."""
    first = stores[0]
    for store in stores[1:]:
        is_even = len(store.records) == len(first.records) and store.rate == first.rate
        if not is_even or np.abs(store.records["stamp"] - first.records["stamp"]).max() * first.rate > _TOLERANCE:
            message = f"the stores {first.name} and {store.name} were not sampled together"
            figures = [f"{int(item.lengths.sum())} samples at {item.rate:g} Hz" for item in (first, store)]
            yield (
                "shape",
                Problem(message, str(folder), figures[0], figures[1], "give each store a source of its own"),
            )


def _read_records(folder: Path) -> Any:
    """Return the records of the .tsq; none if there is not exactly one."""
    files = [file for file in folder.iterdir() if file.suffix.lower() == ".tsq"]
    return np.fromfile(files[0], _RECORD) if len(files) == 1 else np.empty(0, _RECORD)


def _read_stores(records: Any) -> dict[str, Store]:
    """Return the stores of continuous samples by name."""
    marks = records[(records["type"] == _MARK) & (records["store"] == _START)]
    if not len(marks):
        return {}
    start, stores = float(marks["stamp"][0]), {}
    samples = records[(records["type"] & _KIND) == _STREAM]
    for code in np.unique(samples["store"]):
        chosen = samples[samples["store"] == code]
        channels, counts = np.unique(chosen["channel"], return_counts=True)
        name = code.decode("latin-1")
        firsts = chosen[chosen["channel"] == channels[0]]
        stores[name] = Store(name, firsts, dict(zip(channels.tolist(), counts.tolist(), strict=True)), start)
    return stores


def _read_names(records: Any) -> set[str]:
    """Return the names of all stores: streams, spikes and epochs."""
    names = np.unique(records["store"][(records["type"] != _MARK) & (records["type"] != 0)])
    return {name.decode("latin-1") for name in names if len(name) > 1}  # numpy drops zeros at the end


def _list_stores(folder: Path) -> list[str]:
    """Return the names of the stores in the order of the .Tbk, which is text between other things."""
    files = [file for file in folder.iterdir() if file.suffix.lower() == ".tbk"]
    if len(files) != 1:
        return []
    text = files[0].read_bytes().partition(b"[USERNOTEDELIMITER]")[0]
    names = re.findall(rb"NAME=StoreName;TYPE=\w;VALUE=([^;]{1,4});", text)
    return [name.decode("latin-1") for name in names]
