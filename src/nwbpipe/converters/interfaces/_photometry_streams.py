"""NeuroConv's photometry readers, where ours differ: Doric with a check of its times, and tables in Parquet."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from neuroconv.datainterfaces import CSVFiberPhotometryInterface
from neuroconv.datainterfaces import DoricFiberPhotometryInterface as _Doric
from neuroconv.datainterfaces.fiber_photometry.csv._demux import DemuxConfiguration
from pydantic import FilePath

from nwbpipe.converters.interfaces._declaration import interface
from nwbpipe.converters.interfaces._event_tables import read_parquet
from nwbpipe.errors import ClockError, SourceError


@interface(extra="photometry")
class DoricFiberPhotometryInterface(_Doric):  # type: ignore[misc]  # NeuroConv is untyped
    """Doric Neuroscience Studio (``.doric``, ``.csv``), refused where streams of one series differ in their times.

    NeuroConv 0.10 gives every stream the times of the first one (neuroconv#1994).

    Parameters
    ----------
    file_path : FilePath
        The ``.doric`` or ``.csv`` file.
    stream_names : str or list of str
        Streams that become one series.
    metadata_key : str, optional
        Key of the series' metadata.
    stream_indices : list of int, optional
        Channels of the streams to keep.
    verbose : bool
        Not used.

    Raises
    ------
    SourceError
        A stream is not in the file.
    ClockError
        The streams have different times.
    """

    def __init__(
        self,
        *,
        file_path: FilePath,
        stream_names: str | list[str],
        metadata_key: str | None = None,
        stream_indices: list[int] | None = None,
        verbose: bool = False,
    ) -> None:
        super().__init__(
            file_path=file_path,
            stream_names=stream_names,
            metadata_key=metadata_key,
            stream_indices=stream_indices,
            verbose=verbose,
        )
        unknown = [name for name in self.stream_names if name not in self._streams]
        if unknown:
            raise SourceError(
                "the file has no such stream",
                where=str(file_path),
                expected=", ".join(sorted(self._streams)) or "no stream at all",
                found=", ".join(unknown),
            )
        first = self._get_stream_timestamps(stream_name=self.stream_names[0])
        for name in self.stream_names[1:]:
            times = self._get_stream_timestamps(stream_name=name)
            if times.shape != first.shape or np.abs(times - first).max(initial=0) > 1e-9:
                apart = f"{len(first)} and {len(times)} samples"
                if times.shape == first.shape:
                    apart = f"up to {np.abs(times - first).max():.6g} s apart"
                raise ClockError(
                    "the streams of one series have different times",
                    where=str(file_path),
                    expected=f"{name} at the times of {self.stream_names[0]}",
                    found=apart,
                    hint="make each a source of its own",
                )


@interface(extra="photometry")
class ParquetFiberPhotometryInterface(CSVFiberPhotometryInterface):  # type: ignore[misc]  # NeuroConv is untyped
    """A table of photometry in Parquet, as the International Brain Laboratory keeps them (``.pqt``).

    The arguments are those of NeuroConv's `CSVFiberPhotometryInterface`; columns go by their names.

    Parameters
    ----------
    file_path : FilePath
        The Parquet file.
    data_columns : str or list of str
        Columns of the samples, which become one series.
    timestamps_column : str
        Column of the times.
    demux_configuration : dict, optional
        For excitations that alternate from row to row: ``{by: column, column: …, values: …}`` takes the rows whose
        column has one of the values.
    time_unit : {"seconds", "milliseconds", "microseconds"}
        Unit of the times.
    metadata_key : str, optional
        Ends the series' name.
    verbose : bool
        Not used.

    Raises
    ------
    SourceError
        The file can't be read, lacks a column, or no row is chosen.
    """

    display_name = "Parquet fiber photometry"
    associated_suffixes = (".parquet", ".pqt")
    info = "Interface for tables of photometry in Parquet."

    def __init__(
        self,
        file_path: FilePath,
        *,
        data_columns: str | list[str],
        timestamps_column: str,
        demux_configuration: DemuxConfiguration | None = None,
        time_unit: Literal["seconds", "milliseconds", "microseconds"] = "seconds",
        metadata_key: str | None = None,
        verbose: bool = False,
    ) -> None:
        self._tables: dict[str, Any] = {}
        columns = [data_columns] if isinstance(data_columns, str) else data_columns
        missing = [
            name for name in [*columns, timestamps_column] if name not in self._read_table(str(file_path)).columns
        ]
        if missing:
            raise SourceError(
                "the table has no such column",
                where=str(file_path),
                expected=", ".join(map(str, self._read_table(str(file_path)).columns)),
                found=", ".join(missing),
            )
        super().__init__(
            file_path=file_path,
            data_columns=columns,
            timestamps_column=timestamps_column,
            demux_configuration=demux_configuration,
            time_unit=time_unit,
            metadata_key=metadata_key,
            verbose=verbose,
        )
        if not len(self._get_stream_timestamps(stream_name=str(file_path))):
            raise SourceError(
                "no row of the table is chosen",
                where=str(file_path),
                expected=str(demux_configuration),
                hint="look at the values of that column",
            )

    def _read_table(self, file_path: str) -> Any:
        if file_path not in self._tables:
            self._tables[file_path] = read_parquet(Path(file_path))
        return self._tables[file_path]

    def _read_csv(self, file_path: str, **options: Any) -> Any:
        """Stand in for NeuroConv's reading of text."""
        table = self._read_table(str(Path(file_path)))
        if options.get("usecols") is not None:
            table = table[list(options["usecols"])]
        return table if options.get("nrows") is None else table.iloc[: options["nrows"]]
