"""Fiber photometry in MATLAB files: raw channels of an ADC, or traces that the rig has demultiplexed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
from pydantic import FilePath

from nwbpipe.converters.interfaces import _mat_files as mat
from nwbpipe.converters.interfaces._declaration import interface
from nwbpipe.converters.interfaces._file_interface import FileInterface
from nwbpipe.converters.interfaces._photometry_devices import photometry_metadata
from nwbpipe.converters.interfaces._photometry_settings import PhotometrySettings, read_settings
from nwbpipe.converters.interfaces._table_arguments import FileArguments

_RATES = ("sample_rate", "samplerate", "sampleRate", "sampling_frequency", "fs", "Fs")
STUB_SAMPLES = 1000


class MatlabPhotometryArguments(FileArguments):
    """Arguments of `MatlabFiberPhotometryInterface`."""

    settings_file_path: FilePath
    """The TOML file."""
    variable: str | None = None
    """The variable that holds the data; ``data`` or ``timeSeries`` by default, whichever the file has."""
    unit: str = "a.u."
    """Unit of the recorded values, such as ``volts``."""
    metadata_key: str = "rig"
    """Ends the names of what is written."""


@interface(extra="photometry")
class MatlabFiberPhotometryInterface(FileInterface[MatlabPhotometryArguments]):
    """Photometry of the Sabatini lab's rig: a ``.mat`` file (version 5 to 7.3) and a TOML of its settings.

    Raw: the variable ``data`` holds the channels of the ADC. The detectors' become one
    `FiberPhotometryResponseSeries` with a column each, the recorded carriers a `CommandedVoltageSeries` each, further
    channels a `TimeSeries` each. Demultiplexed: the struct array ``timeSeries`` holds a trace an element, in its
    field ``data``; they become one series with a column a trace. Which channel is which fiber's, in which colour, and
    where the fibers are, the settings say: see `nwbpipe.converters.interfaces._photometry_settings`. Fibers, light
    sources, detectors, indicators and viruses are described by ndx-fiber-photometry; the spec's ``metadata`` add to
    them.

    Raises
    ------
    SourceError
        A file can't be read, is not what it says, or the two don't fit.
    """

    display_name = "MATLAB fiber photometry"
    keywords = ("fiber photometry",)
    associated_suffixes = (".mat",)
    info = "Interface for photometry in MATLAB files with settings in TOML."

    def _read(self) -> None:
        import ndx_fiber_photometry  # noqa: F401  (registers its types)

        self.unit, variable = self.args.unit, self.args.variable
        self.settings: PhotometrySettings = read_settings(self.args.settings_file_path)
        content = mat.open_mat(self._path)
        name = variable or next((name for name in ("data", "timeSeries", "timeseries") if name in content), None)
        if name is None or name not in content:
            raise self._error(
                "the MATLAB file lacks its data",
                expected=f"the variable {variable or 'data (raw channels) or timeSeries (demultiplexed)'}",
                found=", ".join(content) or "no variable",
                hint="name it with args: variable",
            )
        self.kind: Literal["raw", "demultiplexed"] = "raw"
        if mat.as_matrix(content[name]) is not None:
            self._take_raw(mat.as_matrix(content[name]), name)
        elif mat.as_structs(content[name]) is not None:
            self.kind = "demultiplexed"
            self._take_traces(mat.as_structs(content[name]) or [], name)
        else:
            raise self._error(
                "the variable is neither a matrix of channels nor a struct array of traces",
                expected="numbers, channels × samples; or structs with a field data",
                found=f"{name}: {type(content[name]).__name__}",
            )

    def _take_raw(self, matrix: Any, name: str) -> None:
        settings = self.settings
        if settings.rate is None:
            raise self._error(
                "nothing says the sampling rate",
                where=str(settings.path),
                expected="Processing_Parameters.sampling_frequency, in Hz",
            )
        axis = self._channel_axis(matrix.shape, name)
        self.rate, self.start = settings.rate, 0.0
        self._samples = matrix.shape[1 - axis]
        count = matrix.shape[axis]
        self.detectors = list(dict.fromkeys(trace.channel for trace in settings.traces))
        drives = {trace.drive for trace in settings.traces if trace.drive is not None}
        highest = max([*self.detectors, *drives, *settings.other_channels.values()])
        if highest >= count:
            raise self._error(
                "the settings name a channel that the file does not have",
                expected=f"channels 0 to {count - 1}",
                found=f"channel {highest}",
                hint=f"correct Signal_Indices in {settings.path.name}; channels count from 0",
            )
        for trace in settings.traces:
            if trace.carrier_hz is not None and trace.carrier_hz >= self.rate / 2:
                raise self._error(
                    "a carrier beyond the Nyquist frequency",
                    where=f"{settings.path}: Processing_Parameters.{trace.fiber}",
                    expected=f"below {self.rate / 2:g} Hz, at sampling_frequency {self.rate:g} Hz",
                    found=f"{trace.name}: {trace.carrier_hz:g} Hz",
                )
        self._read_channel: Callable[[int, slice], Any] = lambda channel, span: matrix.read_span(axis, channel, span)
        self._dtype = matrix.dtype
        for channel in [*self.detectors, *sorted(drives)]:
            self._check_finite(channel)

    def _channel_axis(self, shape: tuple[int, int], name: str) -> int:
        """Return the axis of the channels: the one whose length is total_channels, or else the shorter one."""
        total = self.settings.channels
        if total is None:
            return int(np.argmin(shape))
        if total in shape and shape[0] != shape[1]:
            return shape.index(total)
        raise self._error(
            "the data have another number of channels than the settings say",
            expected=f"Signal_Indices.total_channels = {total} rows or columns",
            found=f"{name}: {shape[0]} × {shape[1]}",
        )

    def _check_finite(self, channel: int) -> None:
        for start in range(0, self._samples, 2**22):
            values = self._read_channel(channel, slice(start, start + 2**22))
            if not np.isfinite(values).all():
                raise self._error(
                    "the channel holds values that are not numbers",
                    found=f"channel {channel}: {np.count_nonzero(~np.isfinite(values))} NaN or infinite, "
                    f"from sample {start + int(np.flatnonzero(~np.isfinite(values))[0])} on",
                )

    def _take_traces(self, elements: list[dict[str, Any]], name: str) -> None:
        chosen = {trace.name: trace.channel for trace in self.settings.traces}
        if max(chosen.values()) >= len(elements):
            raise self._error(
                "the settings name a trace that the file does not have",
                expected=f"elements 0 to {len(elements) - 1} of {name}",
                found=", ".join(f"{key}: {k}" for key, k in chosen.items() if k >= len(elements)),
            )
        columns, rates, starts = [], set(), set()
        for k in chosen.values():
            values = mat.as_vector(elements[k].get("data"))
            if values is None:
                raise self._error(
                    "an element holds no trace",
                    expected=f"{name}({k + 1}).data: a row of numbers",
                    found=f"the fields {', '.join(elements[k])}",
                )
            columns.append(np.asarray(values, dtype=np.float64))
            rates.add(next((mat.as_scalar(elements[k][field]) for field in _RATES if field in elements[k]), None))
            starts.add(mat.as_scalar(elements[k].get("time_offset", 0.0)))
        if len({len(column) for column in columns}) > 1 or len(rates) > 1 or len(starts) > 1:
            raise self._error(
                "the traces don't share their times",
                found=f"lengths {[len(column) for column in columns]}, rates {sorted(map(str, rates))}, "
                f"time_offset {sorted(map(str, starts))}",
                hint="make traces of different times different sources",
            )
        rate, (start,) = next(iter(rates)) or self.settings.demod_rate, starts
        if not rate or not rate > 0:
            raise self._error(
                "nothing says the sampling rate of the demultiplexed traces",
                expected=f"a field {_RATES[0]}, or Processing_Parameters.demod_sample_rate in the settings",
                found="demux_freq alone, which is the carrier's frequency" if "demux_freq" in elements[0] else None,
            )
        self.rate, self.start, self._samples = float(rate), float(start or 0.0), len(columns[0])
        table = dict(zip(chosen.values(), columns, strict=True))
        self.detectors = list(chosen.values())
        self._read_channel, self._dtype = lambda channel, span: table[channel][span], np.dtype(np.float64)

    def get_metadata(self) -> Any:
        """Describe fibers, light, detectors, indicators and viruses, as the settings do.

        Returns
        -------
        DeepDict
            NeuroConv's metadata.
        """
        metadata = super().get_metadata()
        metadata.deep_update(photometry_metadata(self.settings, self.metadata_key))
        return metadata

    def get_metadata_schema(self) -> dict[str, Any]:
        """Return NeuroConv's schema, open for the block ``FiberPhotometry``.

        Returns
        -------
        dict
        """
        from neuroconv.utils import get_base_schema

        schema: dict[str, Any] = super().get_metadata_schema()
        schema["properties"]["FiberPhotometry"] = {
            **get_base_schema(tag="FiberPhotometry"),
            "additionalProperties": True,
        }
        return schema

    def add_to_nwbfile(
        self, nwbfile: Any, metadata: dict[str, Any] | None = None, *, stub_test: bool = False
    ) -> None:
        """Write the series and what describes them.

        Parameters
        ----------
        nwbfile : pynwb.NWBFile
        metadata : dict, optional
            NeuroConv's metadata; the settings' by default.
        stub_test : bool
            Write the first samples only.
        """
        from ndx_fiber_photometry import FiberPhotometryResponseSeries
        from neuroconv.tools.fiber_photometry import add_fiber_photometry_devices, get_fiber_photometry_table_region
        from pynwb import TimeSeries

        metadata = metadata or self.get_metadata()
        block = metadata["FiberPhotometry"]
        count = min(self._samples, STUB_SAMPLES) if stub_test else self._samples
        times = {"rate": self.rate, "starting_time": self.start}
        drives = self._add_drives(nwbfile, count, times)
        add_fiber_photometry_devices(nwbfile=nwbfile, metadata=metadata)
        table = self._build_table(nwbfile, metadata, drives)
        series = block[self.metadata_key]
        region = get_fiber_photometry_table_region(
            fiber_photometry_table=table,
            table_rows_metadata=block["FiberPhotometryTable"]["rows"],
            row_metadata_keys=series["fiber_photometry_table_region"],
            description="the traces, in the order of the columns of their detectors",
        )
        nwbfile.add_acquisition(
            FiberPhotometryResponseSeries(
                name=series["name"],
                description=series.get("description") or "",
                data=_ChannelArray(self._read_channel, self.detectors, count, self._dtype).iterator(),
                unit=self.unit,
                fiber_photometry_table_region=region,
                **times,
            )
        )
        for name, channel in self.settings.other_channels.items() if self.kind == "raw" else ():
            nwbfile.add_acquisition(
                TimeSeries(
                    name=f"TimeSeries_{self.metadata_key}_{name}",
                    description=f"The channel {name} of the rig",
                    data=_ChannelArray(self._read_channel, [channel], count, self._dtype).iterator(),
                    unit=self.unit,
                    **times,
                )
            )

    def _add_drives(self, nwbfile: Any, count: int, times: Mapping[str, float]) -> dict[str, str]:
        """Write the recorded carriers; return the series of each trace by its name."""
        from ndx_fiber_photometry import CommandedVoltageSeries

        if self.kind != "raw":
            return {}
        written: dict[int, str] = {}
        names = {}
        for trace in self.settings.traces:
            if trace.drive is None:
                continue
            if trace.drive not in written:
                written[trace.drive] = f"CommandedVoltageSeries_{self.metadata_key}_{trace.name}"
                nwbfile.add_acquisition(
                    CommandedVoltageSeries(
                        name=written[trace.drive],
                        description="The drive of a light source, as recorded",
                        data=_ChannelArray(self._read_channel, [trace.drive], count, np.dtype(np.float64)).iterator(),
                        unit="volts",
                        frequency=trace.carrier_hz,
                        **times,
                    )
                )
            names[trace.name] = written[trace.drive]
        return names

    def _build_table(self, nwbfile: Any, metadata: dict[str, Any], drives: Mapping[str, str]) -> Any:
        from neuroconv.tools.fiber_photometry import add_fiber_photometry_lab_metadata, get_fiber_photometry_table

        block = dict(metadata["FiberPhotometry"])
        if drives and get_fiber_photometry_table(nwbfile) is not None:
            raise self._error(
                "another source has written the table of traces already, without this rig's carriers",
                hint="put this source before the other photometry sources of the spec",
            )
        # A column of the table has a value in each row: that fails with a carrier that was not recorded.
        if len(drives) == len(block["FiberPhotometryTable"]["rows"]):
            rows = {
                key: {**row, "commanded_voltage_series_metadata_key": key.removeprefix(f"{self.metadata_key}_")}
                for key, row in block["FiberPhotometryTable"]["rows"].items()
            }
            block["FiberPhotometryTable"] = {**block["FiberPhotometryTable"], "rows": rows}
            block["CommandedVoltageSeries"] = {key: {"name": name} for key, name in drives.items()}
        return add_fiber_photometry_lab_metadata(
            nwbfile=nwbfile, fiber_photometry_metadata=block, devices_metadata=metadata["Devices"]
        )


class _ChannelArray:
    """Some channels as an array of shape (samples, channels), or (samples,) for one, read when it is sliced."""

    def __init__(self, read: Any, channels: list[int], count: int, dtype: np.dtype[Any]) -> None:
        self._read_channel, self._channels, self.dtype = read, channels, dtype
        self.shape = (count,) if len(channels) == 1 else (count, len(channels))
        self.ndim, self.size = len(self.shape), int(np.prod(self.shape))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, selection: Any) -> np.ndarray:
        first, *further = selection if isinstance(selection, tuple) else (selection,)
        span = slice(*first.indices(self.shape[0])) if isinstance(first, slice) else slice(first, first + 1)
        columns = [np.asarray(self._read_channel(channel, span), dtype=self.dtype) for channel in self._channels]
        values = columns[0] if self.ndim == 1 else np.stack(columns, axis=1)
        values = values if isinstance(first, slice) else values[0]
        return values[(slice(None), *further)] if further and self.ndim > 1 else values

    def iterator(self) -> Any:
        """Return an iterator over it, for writing in pieces."""
        from neuroconv.tools.hdmf import SliceableDataChunkIterator

        return SliceableDataChunkIterator(data=self, buffer_gb=0.25)
