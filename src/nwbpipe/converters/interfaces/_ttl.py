"""Lick, lever and other lines: a sampled line → a table of its pulses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from nwbpipe.converters.interfaces._columns import TableColumns
from nwbpipe.converters.interfaces._declaration import interface
from nwbpipe.converters.interfaces._event_tables import read_npy, read_table
from nwbpipe.converters.interfaces._file_interface import FileInterface
from nwbpipe.converters.interfaces._table_arguments import TableArguments
from nwbpipe.errors import SourceError
from nwbpipe.nwb_builders import make_events_table

_BLOCK = 4_000_000  # samples that are read at a time


class TtlArguments(TableArguments):
    """Arguments of `TtlEventsInterface`."""

    sampling_frequency: float = Field(gt=0, allow_inf_nan=False)
    """In Hz; the first sample is at 0."""
    event_name: str
    """What a pulse is: ``lick``."""
    channel: str | int = 0
    """Column of the table by its name, or channel by its number from 0."""
    threshold: float | None = None
    """Level that is neither high nor low, in the file's unit. Needed unless the line has two values only."""
    hysteresis: float = 0.0
    """Width of the band around the threshold that changes nothing."""
    bit: int | None = None
    """Of a digital word: the bit that is the line, 0 the lowest."""
    inverted: bool = False
    """The line is low during a pulse."""
    min_gap_s: float = 0.0
    """Pulses closer than that are one: the switch bounced."""
    min_duration_s: float = 0.0
    """Shorter pulses don't count. The description says how many were joined or left out."""
    dtype: str = "int16"
    """Of raw binary, such as ``int16`` or ``<u2``."""
    num_channels: int = 1
    """Of raw binary, sample by sample."""
    metadata_key: str = "TtlEvents"
    """Name of the table."""


@interface(extra="behavior")
class TtlEventsInterface(FileInterface[TtlArguments]):
    """Pulses of a line that was sampled at a constant rate (a lick detector, a lever, a valve) as an ``EventsTable``.

    A row a pulse: its start, and how long it lasted. A pulse that was there at the first sample, or not over at the
    last one, has no known length: the duration is NaN, and the description says so.

    The file is ``.npy`` (samples) or (samples, channels); raw binary (``.bin``, ``.dat``) with `dtype` and
    `num_channels`; or a table (CSV, TSV, Parquet, ``.mat``) with a column a line.

    Raises
    ------
    SourceError
        The file can't be read, has no such channel, no clear threshold, or no pulses.
    """

    display_name = "TTL events"
    keywords = ("events", "behavior", "TTL")
    associated_suffixes = (".npy", ".bin", ".dat", ".csv", ".tsv", ".parquet", ".mat")
    info = "Interface for sampled digital and analog lines."

    def _read(self) -> None:
        line = self._read_line()
        start, stop = self._find_pulses(line)
        self.times = start / self.args.sampling_frequency
        cut = (start == 0) | (stop == line.shape[0])
        self.durations = np.where(cut, np.nan, (stop - start) / self.args.sampling_frequency)
        if cut.any():
            self._notes.append(f"{int(cut.sum())} pulses are cut off by the recording's start or end")

    def _read_line(self) -> npt.NDArray[Any]:
        """Return the samples of the line; those of arrays and raw files stay on disk."""
        channel, suffix = self.args.channel, self._path.suffix.lower()
        if suffix in (".npy", ".bin", ".dat"):
            data = read_npy(self._path, mmap_mode="r") if suffix == ".npy" else self._map_binary()
            count = 1 if data.ndim == 1 else data.shape[-1]
            if data.ndim > 2 or str(channel) not in map(str, range(count)):
                raise self._missing_channel_error(f"0 to {count - 1}", f"shape {data.shape}")
            return data if data.ndim == 1 else data[:, int(channel)]
        table = TableColumns(read_table(self.args)[0], str(self._path))
        if isinstance(channel, int):
            names = [str(name) for name in table.table.columns]
            if not 0 <= channel < len(names):
                raise self._missing_channel_error(f"0 to {len(names) - 1}", "the columns " + ", ".join(names))
            channel = names[channel]
        return table.numbers(table.name(channel, "channel"), "sample")

    def _missing_channel_error(self, expected: str, found: str) -> SourceError:
        channel = self.args.channel
        return self._error(
            f"the file lacks the channel {channel!r}", expected=expected, found=found, hint="correct channel"
        )

    def _map_binary(self) -> npt.NDArray[Any]:
        try:
            kind = np.dtype(self.args.dtype)
        except TypeError as error:
            raise self._error(
                "an unknown dtype", expected="e.g. int16", found=self.args.dtype, hint="correct it"
            ) from error
        size, frame = self._path.stat().st_size, kind.itemsize * self.args.num_channels
        if not size or size % frame:
            raise self._error(
                "the file's size is not that of whole samples",
                expected=f"a multiple of {frame} bytes: {self.source_data['num_channels']} channels of {kind}",
                found=f"{size} bytes",
                hint="correct dtype or num_channels, or copy the file again",
            )
        return np.memmap(self._path, dtype=kind, mode="r").reshape(-1, self.args.num_channels)

    def _blocks(self, line: npt.NDArray[Any]) -> Iterator[npt.NDArray[Any]]:
        bit = self.args.bit
        for first in range(0, line.shape[0], _BLOCK):
            block = np.asarray(line[first : first + _BLOCK])
            if block.dtype.kind == "f" and not np.isfinite(block).all():
                raise self._error(
                    "samples are missing",
                    expected="a number in each row",
                    found=f"the first in row {first + int(np.argmin(np.isfinite(block))) + 1} of {line.shape[0]}",
                    hint="check that the file is whole",
                )
            yield block if bit is None else (block.astype(np.int64) >> bit) & 1

    def _choose_threshold(self, line: npt.NDArray[Any]) -> float:
        if self.args.threshold is not None:
            return self.args.threshold
        levels: set[float] = set()
        for block in self._blocks(line):
            levels |= set(np.unique(block)[:3].tolist())
        if len(levels) > 2:
            raise self._error(
                "nothing says which samples are high",
                expected="a line with two values, or a threshold",
                found=f"more than two values, from {min(levels):g}",
                hint="give `threshold`, or `bit` for a digital word",
            )
        if len(levels) < 2:
            raise self._error(
                "the line never changes",
                found=f"always {min(levels, default=0):g}",
                hint="check channel and bit, or leave this source out",
            )
        return sum(levels) / 2

    def _find_pulses(self, line: npt.NDArray[Any]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return the first sample of each pulse, and the first one after it."""
        threshold, half = self._choose_threshold(line), self.args.hysteresis / 2
        edges, offset, state = [np.zeros(0, np.int64)], 0, False
        for block in self._blocks(line):
            block = -block.astype(np.float64) if self.args.inverted else block.astype(np.float64)
            level = -threshold if self.args.inverted else threshold
            high, low = block > level + half, block < level - half
            if half == 0:
                low = ~high
            # Between the two levels the state is that of the last sample that was clear.
            clear = np.where(high | low, np.arange(block.size), -1)
            last = np.maximum.accumulate(clear)
            states = np.where(last < 0, state, high[last])
            previous = np.concatenate([[state], states[:-1]])
            edges.append(np.flatnonzero(states != previous) + offset)
            state, offset = bool(states[-1]), offset + block.size
        changes = np.concatenate(edges)
        if changes.size % 2:
            changes = np.append(changes, line.shape[0])
        start, stop = changes[::2], changes[1::2]
        return self._debounce(start, stop)

    def _debounce(
        self, start: npt.NDArray[np.int64], stop: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        rate = self.args.sampling_frequency
        near = (start[1:] - stop[:-1]) / rate < self.args.min_gap_s
        if near.any():
            self._notes.append(f"{int(near.sum())} bounces under {self.source_data['min_gap_s']:g} s were joined")
            start, stop = start[np.append(True, ~near)], stop[np.append(~near, True)]
        short = (stop - start) / rate < self.args.min_duration_s
        if short.any():
            self._notes.append(
                f"{int(short.sum())} pulses under {self.source_data['min_duration_s']:g} s were left out"
            )
            start, stop = start[~short], stop[~short]
        if not start.size:
            raise self._error(
                "the line has no pulses",
                expected="one or more",
                found="none" + ("; " + "; ".join(self._notes) if self._notes else ""),
                hint="check channel, bit and threshold, or leave this source out",
            )
        return start, stop

    def add_to_nwbfile(self, nwbfile: Any, metadata: dict[str, Any] | None = None) -> None:
        """Write the pulses.

        Parameters
        ----------
        nwbfile : pynwb.NWBFile
        metadata : dict, optional
            Not used: the file holds no metadata of its own.
        """
        name, source = self.args.event_name, self._path.name
        table = make_events_table(
            self.metadata_key,
            self._describe(f"Pulses of a line ({name}), read from {source}"),
            self.times,
            names=[name] * self.times.size,
            durations=self.durations,
            source=source,
        )
        nwbfile.add_events_table(table)
