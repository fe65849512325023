"""Digital lines beside a recording, as pulses: Open Ephys (binary, legacy), Blackrock's .nev, SpikeGLX's boards."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from neuroconv import BaseDataInterface
from pydantic import DirectoryPath, FilePath

from nwbpipe.converters.accounts._blackrock import find_zero
from nwbpipe.converters.accounts._openephys import Part, SharedClock, list_parts
from nwbpipe.converters.accounts._spikeglx import Part as Stream
from nwbpipe.converters.accounts._spikeglx import list_parts as list_streams
from nwbpipe.converters.interfaces._declaration import interface
from nwbpipe.errors import SourceError
from nwbpipe.nwb_builders import make_events_table

Times = npt.NDArray[np.float64]
_BLOCK = 4_000_000  # samples of a line that are read at a time
_LEGACY = np.dtype(
    [
        ("stamp", "<i8"),
        ("sample", "<i2"),
        ("kind", "u1"),
        ("node", "u1"),
        ("state", "u1"),
        ("line", "u1"),
        ("recording", "<u2"),
    ]
)
_TTL = 3


class DigitalEvents:
    """What interfaces share that read the pulses of digital lines: a row a pulse, with its duration.

    A pulse that is not over at the end has no known length: its duration is NaN.
    """

    metadata_key: str
    keywords = ("events", "TTL", "digital")

    def _set_pulses(self, pulses: Iterable[tuple[str, float, float]], where: Path) -> None:
        self._pulses = sorted(pulses, key=lambda pulse: pulse[1])
        self._where = where
        if not self._pulses:
            raise SourceError(
                "the recording has no digital events", where=str(where), expected="one pulse or more",
                hint="check the stream, or leave this source out",
            )  # fmt: skip

    def add_to_nwbfile(self, nwbfile: Any, metadata: dict[str, Any] | None = None) -> None:
        """Write the pulses.

        Parameters
        ----------
        nwbfile : pynwb.NWBFile
        metadata : dict, optional
            Not used: the events have no metadata of their own.
        """
        table = make_events_table(
            self.metadata_key,
            f"Pulses of digital lines, read from {self._where.name}.",
            [start for _, start, _ in self._pulses],
            names=[name for name, _, _ in self._pulses],
            durations=[stop - start for _, start, stop in self._pulses],
            source=self._where.name,
        )
        nwbfile.add_events_table(table)


def pair_edges(
    lines: npt.NDArray[np.int64], states: npt.NDArray[np.bool_], times: Times
) -> Iterator[tuple[str, float, float]]:
    """Make pulses of the edges of lines.

    Parameters
    ----------
    lines : ndarray of int, shape (n,)
        Line of each edge.
    states : ndarray of bool, shape (n,)
        True where the line rose.
    times : ndarray of float, shape (n,)
        In seconds, in order.

    Yields
    ------
    (str, float, float)
        Name of the line (``TTL1``), begin and end of a pulse; NaN where it does not end.
    """
    for line in np.unique(lines):
        rows = np.flatnonzero(lines == line)
        for row, following in zip(rows, [*rows[1:], None], strict=True):
            if states[row]:
                ends = following is not None and not states[following]
                yield f"TTL{line}", float(times[row]), float(times[following]) if ends else np.nan


@interface(extra="ephys")
class OpenEphysEventsInterface(DigitalEvents, BaseDataInterface):  # type: ignore[misc]  # NeuroConv is untyped
    """Digital lines (TTL) of an Open Ephys recording, binary or legacy format, on the clock of its streams.

    Parameters
    ----------
    folder_path : DirectoryPath
        The recording's folder.
    stream_name : str, optional
        Events of this stream only: ``Record Node 101#Acquisition_Board-100.Rhythm Data``. Needed if
        there are several.
    block_index : int
        Number of the experiment, from 0.
    metadata_key : str
        Name of the table.
    verbose : bool
        Not used.
    """

    display_name = "Open Ephys events"
    associated_suffixes = (".npy", ".events", ".oebin")
    info = "Interface for the digital lines of Open Ephys."

    def __init__(
        self,
        folder_path: DirectoryPath,
        *,
        stream_name: str | None = None,
        block_index: int = 0,
        metadata_key: str = "OpenEphysEvents",
        verbose: bool = False,
    ) -> None:
        super().__init__(
            folder_path=str(folder_path), stream_name=stream_name, block_index=block_index, verbose=verbose
        )
        self.metadata_key = metadata_key
        folder = Path(folder_path)
        if any(folder.rglob("structure.oebin")):
            self._set_pulses(self._read_binary(folder, stream_name, block_index), folder)
        else:
            self._set_pulses(self._read_legacy(folder), folder)

    def _read_binary(self, folder: Path, stream: str | None, index: int) -> Iterator[tuple[str, float, float]]:
        parts = [part for part in list_parts(folder) if part.folder.is_relative_to(folder)]
        experiments = sorted({part.experiment for part in parts})
        if index >= len(experiments):
            raise SourceError("there is no such experiment", where=str(folder), found=f"block_index {index}")
        parts = [part for part in parts if part.experiment == experiments[index] and list(_list_events(part))]
        names = sorted({part.name for part in parts})
        if (stream is None and len(names) > 1) or (stream is not None and stream not in names):
            raise SourceError(
                "nothing says which stream's digital events are meant",
                where=str(folder),
                expected="stream_name with a stream that has events",
                found=", ".join(names) or "no stream with events",
                hint="give stream_name",
            )
        clock = SharedClock(folder, experiments[index])
        for part in parts:
            for events in _list_events(part) if stream in (None, part.name) else ():
                states = _load(events, "states.npy", "channel_states.npy")
                yield from pair_edges(np.abs(states), states > 0, _event_times(events, part, clock))

    @staticmethod
    def _read_legacy(folder: Path) -> Iterator[tuple[str, float, float]]:
        for path in sorted(folder.rglob("*.events")):
            if path.name.startswith("messages"):
                continue
            head = path.read_bytes()[:1024].decode("ascii", "replace")
            rate = float(head.partition("header.sampleRate = ")[2].partition(";")[0] or 0)
            count = (path.stat().st_size - 1024) // _LEGACY.itemsize
            if rate <= 0 or count <= 0:
                continue
            events = np.fromfile(path, _LEGACY, count, offset=1024)
            events = events[events["kind"] == _TTL]
            times = events["stamp"] / rate
            yield from pair_edges(events["line"].astype(np.int64) + 1, events["state"] == 1, times)


def _list_events(part: Part) -> Iterator[Path]:
    """Yield the folders with the edges of a stream's lines: ``TTL`` since 0.6, ``TTL_1`` before."""
    folder = part.folder.parents[1] / "events" / part.folder.name
    yield from (
        path.parent for name in ("states.npy", "channel_states.npy") for path in sorted(folder.glob(f"TTL*/{name}"))
    )


def _load(folder: Path, *names: str) -> npt.NDArray[np.int64]:
    path = next(folder / name for name in names if (folder / name).is_file())
    values: npt.NDArray[np.int64] = np.load(path, allow_pickle=False).astype(np.int64)
    return values


def _event_times(folder: Path, part: Part, clock: SharedClock) -> Times:
    """Return the times of edges: the seconds that were written, or the counter of the stream's samples."""
    seconds = folder / "timestamps.npy"
    if clock.is_synchronized and seconds.is_file():
        values = np.load(seconds, allow_pickle=False)
        if values.dtype.kind == "f" and np.isfinite(values).all():
            return np.asarray(values, dtype=np.float64)
    numbers = _load(folder, "sample_numbers.npy", "timestamps.npy")
    return (numbers - int(part.numbers()[0])) / part.rate + clock.first_time(part)


@interface(extra="ephys")
class SpikeGLXEventsInterface(DigitalEvents, BaseDataInterface):  # type: ignore[misc]  # NeuroConv is untyped
    """Digital lines that a board of SpikeGLX sampled (NIDQ, OneBox), of all gates and triggers of the run.

    Parameters
    ----------
    folder_path : DirectoryPath
        The run's folder.
    stream_id : str
        The board's stream.
    metadata_key : str
        Name of the table.
    verbose : bool
        Not used.
    """

    display_name = "SpikeGLX digital lines"
    associated_suffixes = (".bin", ".meta")
    info = "Interface for the digital lines of SpikeGLX's boards."

    def __init__(
        self,
        folder_path: DirectoryPath,
        *,
        stream_id: str = "nidq",
        metadata_key: str = "SpikeGLXEvents",
        verbose: bool = False,
    ) -> None:
        super().__init__(folder_path=str(folder_path), stream_id=stream_id, verbose=verbose)
        self.metadata_key = metadata_key
        folder, streams = Path(folder_path), list_streams(Path(folder_path))
        zero = min((stream.first_s for stream in streams), default=0.0)
        boards = [stream for stream in streams if stream.stream == stream_id]
        self._set_pulses((pulse for board in boards for pulse in _read_board(board, zero)), folder)


def _read_board(board: Stream, zero: float) -> Iterator[tuple[str, float, float]]:
    """Yield the pulses of each bit of a board's digital words, which are its last channels."""
    saved = int(board.values["nSavedChans"])
    counts = board.values.get("snsMnMaXaDw") or board.values.get("snsXaDwSy", "")
    numbers = [int(count) for count in counts.split(",") if count.strip().isdigit()]
    words, first = (numbers[3], saved - numbers[3]) if len(numbers) == 4 else (numbers[1], numbers[0])
    data = np.memmap(board.binary, "<u2", "r").reshape(-1, saved)
    for word in range(words):
        edges: list[tuple[int, int]] = []
        state = 0
        for offset in range(0, len(data), _BLOCK):
            values = np.asarray(data[offset : offset + _BLOCK, first + word]).astype(np.int64)
            changes = np.flatnonzero(np.diff(values, prepend=state))
            edges += [(offset + int(i), int(values[i])) for i in changes]
            state = int(values[-1]) if len(values) else state
        yield from _pulses_of_bits(edges, lambda sample: sample / board.rate + board.first_s - zero, 16 * word)


def _pulses_of_bits(
    edges: list[tuple[int, int]], time_of: Callable[[int], float], first_line: int
) -> Iterator[tuple[str, float, float]]:
    """Make pulses of each bit of the values that a word takes."""
    stamps = np.array([time_of(stamp) for stamp, _ in edges])
    values = np.array([value for _, value in edges], dtype=np.int64)
    for bit in range(16):
        states = (values >> bit) & 1
        rows = np.flatnonzero(np.diff(states, prepend=0))
        lines = np.full(len(rows), first_line + bit)
        yield from pair_edges(lines, states[rows] == 1, stamps[rows])


@interface(extra="ephys")
class BlackrockEventsInterface(DigitalEvents, BaseDataInterface):  # type: ignore[misc]  # NeuroConv is untyped
    """Digital input of a Blackrock ``.nev``, on the clock of the ``.nsX`` beside it.

    Parameters
    ----------
    file_path : FilePath
        The ``.nev``.
    read_as : {"lines", "codes"}
        Each bit is a line with pulses, or each value other than 0 a kind of event: ``code 12``.
    metadata_key : str
        Name of the table.
    verbose : bool
        Not used.
    """

    display_name = "Blackrock digital input"
    associated_suffixes = (".nev",)
    info = "Interface for the digital input of Blackrock."

    def __init__(
        self,
        file_path: FilePath,
        *,
        read_as: Literal["lines", "codes"] = "lines",
        metadata_key: str = "BlackrockEvents",
        verbose: bool = False,
    ) -> None:
        super().__init__(file_path=str(file_path), read_as=read_as, verbose=verbose)
        self.metadata_key = metadata_key
        path = Path(file_path)
        edges, resolution = _read_nev(path)
        zero = find_zero(path)
        if read_as == "codes":
            pulses = [(f"code {value}", stamp / resolution - zero, np.nan) for stamp, value in edges if value]
        else:
            pulses = list(_pulses_of_bits(edges, lambda stamp: stamp / resolution - zero, 0))
        self._set_pulses(pulses, path)


def _read_nev(path: Path) -> tuple[list[tuple[int, int]], float]:
    """Read the digital input of a .nev: time stamp and value of each packet, and the ticks in a second."""
    with path.open("rb") as file:
        kind, major, _, _, head, size, resolution = struct.unpack("<8s2BHIII", file.read(24))
    if kind not in (b"NEURALEV", b"BREVENTS"):
        raise SourceError("the file is not a .nev", where=str(path), found=repr(kind[:8]))
    stamp = "<u8" if major >= 3 else "<u4"
    fields = [("stamp", stamp), ("kind", "<u2"), ("reason", "u1"), ("reserved", "u1"), ("value", "<u2")]
    used = np.dtype(fields).itemsize
    layout = np.dtype([*fields, ("further", "V", size - used)])
    packets = np.fromfile(path, layout, (path.stat().st_size - head) // size, offset=head)
    packets = packets[(packets["kind"] == 0) & (packets["reason"] & 1 == 1)]
    pairs = zip(packets["stamp"].tolist(), packets["value"].tolist(), strict=True)
    return [(int(at), int(value)) for at, value in pairs], float(resolution)
