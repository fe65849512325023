"""The times of a camera's frames → a table with a row a frame."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import FilePath

from nwbpipe.converters._counters import unwrap_counter
from nwbpipe.converters.interfaces._columns import TableColumns, check_increasing
from nwbpipe.converters.interfaces._declaration import interface
from nwbpipe.converters.interfaces._event_tables import read_npy, read_table
from nwbpipe.converters.interfaces._file_interface import FileInterface, add_notes
from nwbpipe.converters.interfaces._table_arguments import PER_SECOND, TableArguments
from nwbpipe.nwb_builders import Column, make_events_table

# FlyCapture's register TIMESTAMP: 7 bits of seconds, 13 bits of cycles of 125 us, 12 bits of their 3072nd parts.
_FLYCAPTURE_S = 128


class CameraArguments(TableArguments):
    """Arguments of `CameraTimesInterface`."""

    time_column: str = "time|timestamp|timestamps|0"
    """Column of the times, or several spellings."""
    time_format: Literal["s", "ms", "us", "iso", "flycapture"] = "s"
    """``iso``: dates and times with a time zone, which become seconds since `time_zero`. ``flycapture``: the 32-bit
    time stamp of FLIR's cameras, which starts again each 128 s; it becomes seconds since a multiple of them."""
    time_zero: str | None = None
    """Date and time, with a time zone, that is 0 of the clock, where the times are dates."""
    frame_counter_file_path: FilePath | None = None
    """A file with the camera's own number of each frame (``.npy``, one a line, or ``.bin`` of float64): frames that
    the camera counted and the computer did not save become gaps of the column ``frame``."""
    expected_frames: int | None = None
    """Number of frames in the video."""
    metadata_key: str = "CameraFrames"
    """Name of the table."""


@interface(extra="behavior")
class CameraTimesInterface(FileInterface[CameraArguments]):
    """The times of a camera's frames, as a core ``EventsTable``: for videos that stay elsewhere, and for clocks.

    A video that is in the session gets its times by ``align: timestamps`` instead.

    The file is a table with a row a frame (CSV, TSV, Parquet, ``.mat``), or a ``.npy`` array of times.

    Raises
    ------
    SourceError
        The file can't be read, its times go backwards or repeat, or the numbers of frames differ.
    """

    display_name = "Camera times"
    keywords = ("video", "behavior")
    associated_suffixes = (".csv", ".ssv", ".tsv", ".txt", ".parquet", ".mat", ".npy")
    info = "Interface for the times of a camera's frames."

    def _read(self) -> None:
        self.times = self._read_times()
        hint = "check the column and its format, and whether the file holds several recordings"
        check_increasing(self.times, str(self._path), "frames", hint=hint, strictly=True)
        self._check_count(self.args.expected_frames, "expected_frames")
        self.frames = np.arange(self.times.size)
        if self.args.frame_counter_file_path is not None:
            self.frames = self._read_counter(self.args.frame_counter_file_path)

    def _read_times(self) -> npt.NDArray[np.float64]:
        args = self.args
        if self._path.suffix.lower() == ".npy":
            values: Any = read_npy(self._path)
            if args.time_format == "iso" or values.ndim != 1:
                raise self._error(
                    "the array has the wrong shape",
                    expected="(frames,)",
                    found=str(values.shape),
                    hint="save one time a frame",
                )
        else:
            columns = TableColumns(read_table(args)[0], str(self._path), args.time_zero)
            values = columns.times(columns.name(args.time_column, "time_column"), args.time_format)
        missing = np.flatnonzero(~np.isfinite(values))
        if missing.size or not values.size:
            raise self._error(
                "frames without a time",
                expected="one time a frame",
                found=f"{missing.size} of {values.size}",
                hint="check the column, and that the file is whole",
            )
        if args.time_format == "flycapture":
            return _decode_flycapture(values)
        return np.asarray(values / PER_SECOND[args.time_format], dtype=np.float64)

    def _check_count(self, count: int | None, counter: str) -> None:
        if count is not None and count != self.times.size:
            raise self._error(
                "the number of times is not that of the frames",
                expected=f"{count}, by {counter}",
                found=f"{self.times.size} times",
                hint="check that both are of one recording",
            )

    def _read_counter(self, path: Path) -> npt.NDArray[np.int64]:
        try:
            if path.suffix.lower() == ".npy":
                counter = read_npy(path).ravel()
            elif path.suffix.lower() == ".bin":
                counter = np.fromfile(path, dtype="<f8")
            else:
                counter = np.loadtxt(path, ndmin=1)
            counter = counter.astype(np.float64)  # unsigned numbers don't go below 0
            frames: npt.NDArray[np.float64] = counter - counter[:1]
            if not (frames == np.round(frames)).all():
                raise ValueError("not all are whole numbers")
        except (ValueError, OSError) as error:
            raise self._error(
                "the frame counter can't be read",
                where=str(path),
                expected="one whole number a frame",
                found=str(error),
            ) from error
        self._check_count(counter.size, path.name)
        check_increasing(frames, str(path), "frame counter", hint="check the file", strictly=True)
        return frames.astype(np.int64)

    def add_to_nwbfile(self, nwbfile: Any, metadata: dict[str, Any] | None = None) -> None:
        """Write the times.

        Parameters
        ----------
        nwbfile : pynwb.NWBFile
        metadata : dict, optional
            Not used: the file holds no metadata of its own.
        """
        lost = int(self.frames[-1]) + 1 - self.frames.size
        notes = [f"the camera counted {lost} frames that were not saved"] if lost else []
        text = add_notes(self.args.description or "Frames of a camera", notes)
        frame = Column("frame", "number of the frame, from 0", self.frames)
        nwbfile.add_events_table(
            make_events_table(self.metadata_key, text, self.times, columns=[frame], source=self._path.name)
        )


def _decode_flycapture(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    words = values.astype(np.uint64)
    seconds = (words >> np.uint64(25)).astype(np.float64)
    cycles = ((words >> np.uint64(12)) & np.uint64(0x1FFF)).astype(np.float64)
    parts = (words & np.uint64(0xFFF)).astype(np.float64)
    return unwrap_counter(seconds + cycles / 8000 + parts / (8000 * 3072), _FLYCAPTURE_S, rising=True)
