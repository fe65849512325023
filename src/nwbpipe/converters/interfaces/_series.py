"""Any plain series of numbers and times → a ``TimeSeries`` or ``SpatialSeries``."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, FilePath

from nwbpipe.converters._counters import unwrap_counter
from nwbpipe.converters.interfaces._columns import TableColumns, check_increasing
from nwbpipe.converters.interfaces._declaration import interface
from nwbpipe.converters.interfaces._event_tables import read_npy, read_table
from nwbpipe.converters.interfaces._file_interface import FileInterface
from nwbpipe.converters.interfaces._mat_files import load_mat
from nwbpipe.converters.interfaces._table_arguments import PER_SECOND, LineArguments
from nwbpipe.errors import SourceError
from nwbpipe.nwb_builders import regular_times

Values = npt.NDArray[Any]
Seconds = npt.NDArray[np.float64]


class SeriesArguments(LineArguments):
    """Arguments of `SeriesInterface`."""

    unit: str
    """Unit of the values times `conversion`, as NWB spells it: ``meters``, ``cm/s``, ``volts``, ``n.a.``"""
    conversion: float = Field(1.0, allow_inf_nan=False)
    """Factor that makes `unit` of the numbers in the file: the volts of one step of a converter."""
    offset: float = Field(0.0, allow_inf_nan=False)
    """Added to the values times `conversion`."""
    data_columns: list[str] | None = None
    """Columns of a table, in the order in which they are written. Default: all that hold numbers, but the times."""
    time_column: str = "time|timestamp|timestamps|t"
    """Column of the times, or several spellings. Of an array of two dimensions, the index of the column: ``0``."""
    times_file_path: FilePath | None = None
    """A file with one time for each sample: ``.npy``, or text with a time a line. In `time_unit`."""
    times_variable: str | None = None
    """Of a ``.mat`` file: dotted path of the vector of times."""
    sampling_frequency: float | None = Field(None, gt=0)
    """In Hz, where there are no times."""
    starting_time: float = Field(0.0, allow_inf_nan=False)
    """Time of the first sample in seconds, with `sampling_frequency`."""
    dtype: str | None = None
    """Of a file of plain numbers (``.pca``, ``.bin``, ``.dat``): the type of one, such as ``<i4``, ``<f8``. Those of
    pyControl (``.pca``) are ``<i4``."""
    number_of_columns: int | None = Field(None, gt=0)
    """Of such a file: numbers a sample, the time among them. Those of pyControl have 2: milliseconds and value."""
    type: Literal["TimeSeries", "SpatialSeries"] = "TimeSeries"
    """NWB type of the series. ``SpatialSeries``: positions or directions, with `reference_frame`."""
    reference_frame: str | None = None
    """Zero and axes of a ``SpatialSeries``: ``(0, 0) is the top left corner of the arena``."""
    module: Literal["acquisition", "behavior"] = "acquisition"
    """Place in the session file: as recorded, or as processed behaviour."""
    skip_first: int = Field(0, ge=0)
    """Number of samples to leave out at the start."""
    time_wrap: float | None = Field(None, gt=0)
    """Value, in the unit of the times, at which the clock's counter starts again at 0."""
    bad_rows: Literal["error", "drop"] = "error"
    """What to do with samples without a time. The description says how many were left out."""
    unsorted: Literal["error", "sort"] = "error"
    """What to do with samples that are not in the order of time."""
    repeats: Literal["error", "drop"] = "error"
    """What to do with a sample that has the time of the one above: ``drop`` keeps the later one."""
    metadata_key: str = "Series"
    """Name of the series."""


_BINARY = (".pca", ".bin", ".dat", ".raw")
_PCA = ("<i4", 2, "ms")


@interface(extra="behavior")
class SeriesInterface(FileInterface[SeriesArguments]):
    """Any series of numbers, with its unit and its times: speed, temperature, an analog input, a position.

    The file is a table (CSV, TSV, Parquet, ``.mat``, lines by `pattern`), a ``.npy`` array with a sample a row (of
    any number of dimensions), a matrix in a ``.mat`` file (`variable`), or plain numbers (`dtype`,
    `number_of_columns`), such as pyControl's ``.pca``. Written with a rate where the times are regular, else with
    timestamps.

    Raises
    ------
    SourceError
        The file can't be read, or its times are not sound.
    """

    display_name = "Series"
    keywords = ("series", "analog", "behavior")
    associated_suffixes = (".csv", ".tsv", ".txt", ".parquet", ".mat", ".npy", ".pca", ".bin", ".dat")
    info = "Interface for any series of numbers and times."

    def _read(self) -> None:
        args = self.args
        if (args.type == "SpatialSeries") != (args.reference_frame is not None):
            hint = "say type: SpatialSeries, and what its zero and axes are: reference_frame"
            raise self._error("a reference_frame belongs to a SpatialSeries, and to no other", hint=hint)
        self._time_unit = args.time_unit
        times, values = self._read_samples()
        times = self._choose_times(times, len(values))
        times, values = times[args.skip_first :], values[args.skip_first :]
        self.times, self.values = self._order(times, values)

    def _read_samples(self) -> tuple[Seconds | None, Values]:
        """Read the values, and the times where the same file has them, in its unit."""
        suffix = self._path.suffix.lower()
        if suffix == ".npy":
            return self._split(read_npy(self._path), timed=self._has_time_column())
        if suffix in _BINARY or self.args.dtype is not None:
            return self._read_binary()
        if suffix == ".mat":
            variable = self._find_variable(self.args.variable)
            if isinstance(variable, np.ndarray) and variable.dtype.kind in "biuf":
                return self._split(variable, timed=self._has_time_column())
        return self._read_columns()

    def _has_time_column(self) -> bool:
        return self.args.time_column.isdigit()

    def _split(self, values: Values, *, timed: bool) -> tuple[Seconds | None, Values]:
        """Take the column of times out of an array."""
        if not timed:
            return None, values
        column = int(self.args.time_column)
        if values.ndim != 2 or column >= values.shape[1]:
            expected = f"two dimensions, and a column {column} of times"
            raise self._error("the array has no such column", expected=expected, found=f"shape {values.shape}")
        channels = np.delete(values, column, axis=1)
        return values[:, column].astype(np.float64), channels[:, 0] if channels.shape[1] == 1 else channels

    def _read_binary(self) -> tuple[Seconds | None, Values]:
        pca = self._path.suffix.lower() == ".pca"
        kind, columns = (
            self.args.dtype or (_PCA[0] if pca else None),
            self.args.number_of_columns or (2 if pca else 1),
        )
        try:
            dtype = np.dtype(kind) if kind is not None else None
        except TypeError:
            dtype = None
        if dtype is None or dtype.kind not in "iuf":
            hint = "say dtype (<i2, <i4, <f4, <f8, …) and number_of_columns"
            raise self._error("nothing says what the numbers of the file are", found=repr(kind), hint=hint)
        size = self._path.stat().st_size
        if size % (dtype.itemsize * columns):
            expected = f"a multiple of {dtype.itemsize * columns} bytes: {columns} numbers of {dtype}"
            hint = "check dtype and number_of_columns, and that the file is whole"
            raise self._error("the file ends within a sample", expected=expected, found=f"{size} bytes", hint=hint)
        values = np.fromfile(self._path, dtype=dtype).reshape(-1, columns)
        if pca:
            self._time_unit = "ms" if "time_unit" not in self.args.model_fields_set else self._time_unit
            return values[:, 0].astype(np.float64), values[:, 1]
        times, channels = self._split(values, timed=self._has_time_column())
        return times, channels[:, 0] if channels.ndim == 2 and channels.shape[1] == 1 else channels

    def _find_variable(self, name: str | None) -> Any:
        content: Any = load_mat(self._path)
        for part in name.split(".") if name else ():
            if not isinstance(content, dict) or part not in content:
                names = ", ".join(content) if isinstance(content, dict) else type(content).__name__
                raise self._error(f"the MATLAB file lacks the variable {name}", expected=name, found=names)
            content = content[part]
        return content

    def _read_columns(self) -> tuple[Seconds | None, Values]:
        table, self._notes = read_table(self.args)
        columns = TableColumns(table, str(self._path), self.args.time_zero)
        elsewhere = self.args.sampling_frequency or self.args.times_file_path or self.args.times_variable
        time_column = None if elsewhere else columns.name(self.args.time_column, "time_column")
        names = self.args.data_columns
        if names is None:
            names = [str(name) for name in table.columns if name != time_column]
            kinds = {name: columns.values(name) for name in names}
            left_out = [
                name for name in names if isinstance(kinds[name], list) or kinds[name].dtype.kind not in "biuf"
            ]
            names = [name for name in names if name not in left_out]
            if left_out:
                self._notes.append("not numbers, and left out: " + ", ".join(left_out))
        if not names:
            raise self._error("the table has no column of numbers beside the times", hint="name it: data_columns")
        data = [self._as_numbers(columns, columns.name(name, "data_columns")) for name in names]
        if len(names) > 1:
            self._notes.append("columns: " + ", ".join(names))
        times = None if time_column is None else columns.times(time_column, self.args.time_unit)
        return times, data[0] if len(data) == 1 else np.stack(data, axis=1)

    @staticmethod
    def _as_numbers(columns: TableColumns, name: str) -> Values:
        numbers = columns.numbers(name, "value")
        exact = np.isfinite(numbers).all() and (numbers == np.round(numbers)).all() and np.abs(numbers).max() < 2**53
        return numbers.astype(np.int64) if exact and numbers.size else numbers

    def _choose_times(self, times: Seconds | None, count: int) -> Seconds:
        """Return the times in seconds, from wherever they come."""
        args = self.args
        origins = {
            "time_column": times is not None,
            "times_file_path": args.times_file_path is not None,
            "times_variable": args.times_variable is not None,
            "sampling_frequency": args.sampling_frequency is not None,
        }
        named = [name for name, is_given in origins.items() if is_given]
        if len(named) != 1:
            expected = "one of time_column, times_file_path, times_variable, sampling_frequency"
            raise self._error(
                "nothing says when the samples were taken"
                if not named
                else "several things say when the samples were",
                expected=expected,
                found=", ".join(named) or "none of them",
            )
        if args.sampling_frequency is not None:
            return args.starting_time + np.arange(count) / args.sampling_frequency
        if args.times_file_path is not None:
            times = self._read_times_file(args.times_file_path)
        elif args.times_variable is not None:
            times = np.asarray(self._find_variable(args.times_variable), dtype=np.float64).ravel()
        assert times is not None
        if len(times) != count:
            expected = f"{count} times, one for each sample"
            raise self._error("the times don't fit the samples", expected=expected, found=f"{len(times)} times")
        return unwrap_counter(times, args.time_wrap, rising=True) / PER_SECOND[self._time_unit]

    def _read_times_file(self, path: Any) -> Seconds:
        if path.suffix.lower() == ".npy":
            return np.asarray(read_npy(path), dtype=np.float64).ravel()
        try:
            return np.loadtxt(path, dtype=np.float64, ndmin=1, encoding=self.args.encoding)
        except ValueError as error:
            raise SourceError(
                "the file of times can't be read", where=str(path), expected="a time a line", found=str(error)
            ) from error

    def _order(self, times: Seconds, values: Values) -> tuple[Seconds, Values]:
        args = self.args
        bad = np.flatnonzero(~np.isfinite(times))
        if bad.size and args.bad_rows != "drop":
            count = f"{bad.size} of {times.size}, the first in row {bad[0] + 1 + args.skip_first}"
            hint = "say bad_rows: drop to leave them out"
            raise self._error("samples without a time", expected="a time for each", found=count, hint=hint)
        if bad.size:
            self._notes.append(f"{bad.size} samples without a time were left out")
            times, values = np.delete(times, bad), np.delete(values, bad, axis=0)
        if not times.size:
            raise self._error("the file holds no samples", hint="leave this source out")
        back = np.count_nonzero(np.diff(times) < 0)
        if back and args.unsorted == "sort":
            self._notes.append(f"{back} samples were out of order and were sorted")
            order = np.argsort(times, kind="stable")
            times, values = times[order], values[order]
        hint = "say time_wrap if the clock's counter overflows, unsorted: sort if samples are written out of order"
        check_increasing(times, str(self._path), "samples", hint=hint)
        repeats = np.flatnonzero(np.diff(times) == 0)
        if repeats.size and args.repeats != "drop":
            check_increasing(
                times,
                str(self._path),
                "samples",
                hint="say repeats: drop to keep the later of the two",
                strictly=True,
            )
        if repeats.size:
            self._notes.append(f"{repeats.size} samples with the time of the next one were left out")
        return np.delete(times, repeats), np.delete(values, repeats, axis=0)

    def add_to_nwbfile(self, nwbfile: Any, metadata: dict[str, Any] | None = None) -> None:
        """Write the series.

        Parameters
        ----------
        nwbfile : pynwb.NWBFile
        metadata : dict, optional
            Not used: the file holds no metadata of its own.
        """
        from neuroconv.tools.nwb_helpers import get_module
        from pynwb import TimeSeries
        from pynwb.behavior import SpatialSeries

        args = self.args
        spatial = args.type == "SpatialSeries"
        kind: Any = SpatialSeries if spatial else TimeSeries
        more = {"reference_frame": args.reference_frame} if spatial else {}
        series = kind(
            name=self.metadata_key,
            description=self._describe(f"Series read from {self._path.name}"),
            data=self.values,
            unit=args.unit,
            conversion=args.conversion,
            offset=args.offset,
            **more,
            **regular_times(self.times).arguments(),
        )
        if args.module == "acquisition":
            nwbfile.add_acquisition(series)
        else:
            get_module(nwbfile, "behavior", "Processed behaviour.").add(series)
