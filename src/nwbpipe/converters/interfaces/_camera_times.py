"""The times of a camera's frames → a table with a row a frame."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from neuroconv import BaseDataInterface
from pydantic import FilePath

from nwbpipe.converters.interfaces._columns import Columns, check_increasing, unwrap
from nwbpipe.converters.interfaces._event_tables import read_table
from nwbpipe.errors import SourceError
from nwbpipe.nwb_builders import Column, events_table

Format = Literal["s", "ms", "us", "iso", "flycapture"]
_FORMATS = ("s", "ms", "us", "iso", "flycapture")
_SCALE = {"s": 1.0, "ms": 1e3, "us": 1e6}
# FlyCapture's register TIMESTAMP: 7 bits of seconds, 13 bits of cycles of 125 us, 12 bits of their 3072nd parts.
_FLYCAPTURE_S = 128


class CameraTimesInterface(BaseDataInterface):  # type: ignore[misc]  # NeuroConv is untyped
    """When a camera took its frames, as a core ``EventsTable``: for videos that stay elsewhere, and for clocks.

    A video that is in the session gets its times by ``align: timestamps`` instead.

    Parameters
    ----------
    file_path : FilePath
        A table with a row a frame (CSV, TSV, Parquet, ``.mat``), or a ``.npy`` array of times.
    time_column : str
        Column of the times, or several spellings. Without a header columns are called "0", "1", …
    time_format : {"s", "ms", "us", "iso", "flycapture"}
        ``iso``: dates and times with a time zone, which become seconds since `time_zero`. ``flycapture``: the 32-bit
        time stamp of FLIR's cameras, which starts again each 128 s; it becomes seconds since a multiple of them.
    time_zero : str, optional
        Date and time, with a time zone, that is 0 of the clock, where the times are dates.
    frame_counter_file_path : FilePath, optional
        A file with the camera's own number of each frame (``.npy``, one a line, or ``.bin`` of float64): frames
        that the camera counted and the computer did not save become gaps of the column ``frame``.
    expected_frames : int, optional
        Number of frames in the video.
    delimiter, header, column_names, variable, encoding
        How to read the file: as in `BehaviorEventsInterface`.
    description : str, optional
        Of the table.
    metadata_key : str
        Name of the table.
    verbose : bool
        Not used.

    Raises
    ------
    SourceError
        The file can't be read, its times go backwards or repeat, or the numbers of frames differ.
    """

    display_name = "Camera times"
    keywords = ("video", "behavior")
    associated_suffixes = (".csv", ".ssv", ".tsv", ".txt", ".parquet", ".mat", ".npy")
    info = "Interface for the times of a camera's frames."

    def __init__(
        self,
        file_path: FilePath,
        *,
        time_column: str = "time|timestamp|timestamps|0",
        time_format: Format = "s",
        time_zero: str | None = None,
        frame_counter_file_path: FilePath | None = None,
        expected_frames: int | None = None,
        delimiter: str | None = None,
        header: bool = True,
        column_names: list[str] | None = None,
        variable: str | None = None,
        encoding: str = "utf-8-sig",
        description: str | None = None,
        metadata_key: str = "CameraFrames",
        verbose: bool = False,
    ) -> None:
        args = {key: value for key, value in locals().items() if key not in ("self", "__class__")}
        super().__init__(**{key: str(value) if isinstance(value, Path) else value for key, value in args.items()})
        self.metadata_key = metadata_key
        self._where, self._description = str(file_path), description
        if time_format not in _FORMATS:
            raise self._error(
                "an unknown format of times", expected=", ".join(_FORMATS), found=str(time_format), hint="correct it"
            )
        plain = {**args, "pattern": None, "unmatched_lines": "error", "times_file_path": None}
        self.times = self._read(Path(file_path), plain)
        hint = "check the column and its format, and whether the file holds several recordings"
        check_increasing(self.times, self._where, "frames", hint=hint, strictly=True)
        self._check_count(expected_frames, "expected_frames")
        self.frames = np.arange(self.times.size)
        if frame_counter_file_path is not None:
            self.frames = self._counted(Path(frame_counter_file_path))

    def _error(self, what: str, **more: Any) -> SourceError:
        return SourceError(what, where=self._where, **more)

    def _read(self, path: Path, args: dict[str, Any]) -> npt.NDArray[np.float64]:
        if path.suffix.lower() == ".npy":
            values: Any = _load_npy(path)
            if args["time_format"] == "iso" or values.ndim != 1:
                raise self._error(
                    "the array has the wrong shape",
                    expected="(frames,)",
                    found=str(values.shape),
                    hint="save one time a frame",
                )
        else:
            columns = Columns(read_table(path, args)[0], str(path), args["time_zero"])
            name = columns.name(args["time_column"], "time_column")
            values = columns.times(name, args["time_format"])
        missing = np.flatnonzero(~np.isfinite(values))
        if missing.size or not values.size:
            raise self._error(
                "frames without a time",
                expected="one time a frame",
                found=f"{missing.size} of {values.size}",
                hint="check the column, and that the file is whole",
            )
        if args["time_format"] == "flycapture":
            return _flycapture(values)
        return np.asarray(values / _SCALE.get(args["time_format"], 1.0), dtype=np.float64)

    def _check_count(self, count: int | None, what: str) -> None:
        if count is not None and count != self.times.size:
            raise self._error(
                "the number of times is not that of the frames",
                expected=f"{count}, by {what}",
                found=f"{self.times.size} times",
                hint="check that both are of one recording",
            )

    def _counted(self, path: Path) -> npt.NDArray[np.int64]:
        if path.suffix.lower() == ".npy":
            counter = _load_npy(path)
        elif path.suffix.lower() == ".bin":
            counter = np.fromfile(path, dtype="<f8")
        else:
            counter = np.loadtxt(path, ndmin=1)
        self._check_count(counter.size, path.name)
        frames = np.asarray(counter - counter[0], dtype=np.int64)
        check_increasing(frames.astype(float), str(path), "frame counter", hint="check the file", strictly=True)
        return frames

    def add_to_nwbfile(self, nwbfile: Any, metadata: dict[str, Any] | None = None) -> None:
        """Write the times.

        Parameters
        ----------
        nwbfile : pynwb.NWBFile
        metadata : dict, optional
            Not used: the file holds no metadata of its own.
        """
        lost = int(self.frames[-1]) + 1 - self.frames.size
        text = (self._description or "Frames of a camera").rstrip(".") + "."
        text += f" The camera counted {lost} frames that were not saved." if lost else ""
        frame = Column("frame", "number of the frame, from 0", self.frames)
        source = Path(self._where).name
        nwbfile.add_events_table(events_table(self.metadata_key, text, self.times, columns=[frame], source=source))


def _load_npy(path: Path) -> npt.NDArray[np.float64]:
    try:
        return np.asarray(np.load(path, allow_pickle=False), dtype=np.float64)
    except (ValueError, OSError) as error:
        raise SourceError("the array can't be read", where=str(path), expected="numbers", found=str(error)) from error


def _flycapture(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    words = values.astype(np.uint64)
    seconds = (words >> np.uint64(25)).astype(np.float64)
    cycles = ((words >> np.uint64(12)) & np.uint64(0x1FFF)).astype(np.float64)
    parts = (words & np.uint64(0xFFF)).astype(np.float64)
    return unwrap(seconds + cycles / 8000 + parts / (8000 * 3072), _FLYCAPTURE_S, rising=True)
