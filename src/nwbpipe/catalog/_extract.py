"""Read the rows of a catalogue from a session file, with h5py alone: pynwb takes ten times as long."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import h5py
import numpy as np
import pyarrow as pa

from nwbpipe.catalog._columns import TABLES
from nwbpipe.catalog._dynamic_tables import Columns, decode, find_region, read_columns
from nwbpipe.catalog._merge import merge_tables
from nwbpipe.provenance import read_alignments
from nwbpipe.session import NwbObject, SessionReader

_SUBJECT = "general/subject"
_CURVES = ("knots", "residuals")  # of a clock's alignment
_SPIKES = "spike_times"
_LISTS = ("experimenter", "keywords", "related_publications", "file_create_date")  # one text, or a list of them


def extract_tables(reader: SessionReader, location: str) -> dict[str, pa.Table]:
    """Return the tables of one session file; those without rows are left out.

    Parameters
    ----------
    reader : SessionReader
        The open file.
    location : str
        Its path or address, as the tables give it.
    """
    return _Extraction(reader, location).read_all()


class _Extraction:
    """The tables of one file, while they are read."""

    def __init__(self, reader: SessionReader, location: str) -> None:
        self.file, self.reader, self.location = reader.file, reader, location
        self.session = _read_scalars(self.file, "general") | _read_scalars(self.file, "")
        self.subject = _read_scalars(self.file, _SUBJECT)
        self.keys = {
            "subject_id": self.subject.get("subject_id"),
            "session_id": self.session.get("session_id"),
        }
        self._steps = {
            output.path: record.step
            for record in reader.records
            if not record.superseded
            for output in record.outputs
        }
        self._tables: dict[str, list[pa.Table]] = {}
        self._left_out: list[dict[str, Any]] = []

    def read_all(self) -> dict[str, pa.Table]:
        self._add_rows("sessions", [self._describe_session()])
        if self.subject:
            self._add_rows("subjects", [self.subject])
        self._add_rows("runs", [_describe_run(record.as_dict()) for record in self.reader.records])
        clocks = [alignment.as_dict() for alignment in read_alignments(self.file)]
        self._add_rows("clocks", [{k: v for k, v in clock.items() if k not in _CURVES} for clock in clocks])
        verdicts = dict(self._read_verdicts())
        self._add_rows("series", list(self._iter_series()))
        self._add_rows("devices", list(self._iter_devices()))
        for item in self.reader.objects:
            self._add_object(item, verdicts.get(item.path))
        self._add_rows("left_out", self._left_out)
        return {name: merge_tables(parts)[0] for name, parts in self._tables.items()}

    # Whole files ----------------------------------------------------------------------------------------

    def _describe_session(self) -> dict[str, Any]:
        facts = {name: value for name, value in self.session.items() if name != "session_id"}
        start = _parse_time(facts.pop("session_start_time", None))
        for name in _LISTS:
            if isinstance(facts.get(name), str):
                facts[name] = [facts[name]]
        return {"session_start_time": start, **facts, "age": self.subject.get("age"), "location": self.location}

    def _iter_series(self) -> Iterator[dict[str, Any]]:
        for item in self.reader.objects:
            if "TimeSeries" in item.lineage:
                group = self.file[item.path]
                if isinstance(group, h5py.Group):
                    yield {**self._describe_object(item), "type": item.neurodata_type, **_describe_series(group)}

    def _iter_devices(self) -> Iterator[dict[str, Any]]:
        for item in self.reader.objects:
            if "Device" in item.lineage:
                texts = {name: decode(value) for name, value in self.file[item.path].attrs.items()}
                texts = {name: value for name, value in texts.items() if name in ("description", "manufacturer")}
                yield {"path": item.path, "name": _name(item.path), "type": item.neurodata_type, **texts}

    # Tables of the file ---------------------------------------------------------------------------------

    def _read_verdicts(self) -> Iterator[tuple[str, Columns]]:
        """Yield the path of each judged table with the verdicts on its rows; put all verdicts into ``quality``."""
        for item in self.reader.objects:
            if "DynamicTable" not in item.lineage or not {"verdict", "reasons"} <= set(self.file[item.path]):
                continue
            columns = self._read_table(item)
            region, about = find_region(self.file, item.path)
            rows = columns.pop(region) if region else list(range(len(columns["verdict"])))
            values = {name: column for name, column in columns.items() if name not in ("id", "row")}
            self._add_columns("quality", self._describe_object(item) | {"about": about}, {"row": rows, **values})
            if about is not None:
                yield about, {"row": rows, **values}

    def _add_object(self, item: NwbObject, verdicts: Columns | None) -> None:
        about = self._describe_object(item)
        if "TimeIntervals" in item.lineage:
            columns = self._read_table(item)
            times: Columns = {name: columns[name] for name in ("start_time", "stop_time") if name in columns}
            self._add_columns("intervals", about, times)
            if item.path == "/intervals/trials":
                self._add_columns("trials", {}, columns)
            else:
                self._add_columns(_table_name(about["name"]), about, columns)
        elif "EventsTable" in item.lineage:
            self._add_columns("events", about, self._read_table(item))
        elif "Units" in item.lineage:
            self._add_units(item, verdicts)
        elif "PlaneSegmentation" in item.lineage:
            columns = self._read_table(item)
            self._add_columns("rois", about, _spread(verdicts, columns) | columns)
        elif "DynamicTable" in item.lineage and item.path.startswith("/general/"):
            if item.path == "/general/extracellular_ephys/electrodes":
                self._add_columns("electrodes", {}, self._read_table(item))
            elif about["name"] in ("surgeries", "injections", "implants", "insertions", "notes", "attributes"):
                self._add_columns(about["name"], {}, self._read_table(item))

    def _add_units(self, item: NwbObject, verdicts: Columns | None) -> None:
        columns = self._read_table(item, without=(_SPIKES,))
        group = self.file[item.path]
        if f"{_SPIKES}_index" in group:
            ends = np.asarray(group[f"{_SPIKES}_index"][()], dtype=np.int64)
            columns["spike_count"] = np.diff(ends, prepend=0)
            times = group[_SPIKES][()].astype(np.float64)
            offsets = pa.array(np.concatenate(([0], ends)), pa.int64())
            spikes = pa.LargeListArray.from_arrays(offsets, pa.array(times))
            self._add_columns(_SPIKES, {"path": item.path}, {_SPIKES: spikes})
        self._add_columns("units", self._describe_object(item), _spread(verdicts, columns) | columns)

    def _read_table(self, item: NwbObject, without: Sequence[str] = ()) -> Columns:
        columns, left_out = read_columns(self.file[item.path], without=without)
        self._left_out += [{"path": item.path, "column": name, "reason": reason} for name, reason in left_out.items()]
        return columns

    def _describe_object(self, item: NwbObject) -> dict[str, Any]:
        path, step = item.path, None
        while path and step is None:
            step, path = self._steps.get(path), path.rpartition("/")[0]
        return {"path": item.path, "name": _name(item.path), "step": step}

    # Arrow ----------------------------------------------------------------------------------------------

    def _add_rows(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        if rows:
            self._add_table(table, pa.Table.from_pylist([self.keys | dict(row) for row in rows]))

    def _add_columns(self, table: str, constants: Mapping[str, Any], columns: Columns) -> None:
        length = max((len(values) for values in columns.values()), default=0)
        if length == 0:
            return
        constants = self.keys | dict(constants)
        arrays: dict[str, pa.Array] = {
            name: pa.array([value] * length, pa.string()) for name, value in constants.items()
        }
        for name, values in {"row": np.arange(length), **columns}.items():
            free = f"{name}_column" if name in constants else name
            arrays[free] = values if isinstance(values, pa.Array) else pa.array(values)
        self._add_table(table, pa.table(arrays))

    def _add_table(self, name: str, table: pa.Table) -> None:
        self._tables.setdefault(name, []).append(table)


def _spread(verdicts: Columns | None, columns: Columns) -> Columns:
    """Give the verdicts, which are on some rows of a table, to all its rows; None where there is none."""
    length = max((len(values) for values in columns.values()), default=0)
    if verdicts is None:
        return {}
    spread: Columns = {}
    for name, values in verdicts.items():
        if name in columns or name == "row":
            continue
        column: list[Any] = [None] * length
        for row, value in zip(verdicts["row"], values, strict=True):
            if 0 <= row < length:
                column[row] = value.item() if isinstance(value, np.generic) else value
        spread[name] = column
    return spread


def _table_name(text: str) -> str:
    name = re.sub(r"\W+", "_", text).strip("_").lower() or "unnamed"
    return f"intervals_{name}" if name in TABLES or not name[0].isalpha() else name


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _read_scalars(file: h5py.File, folder: str) -> dict[str, Any]:
    """Return the texts, lists of texts and numbers that stand right in a group, by name."""
    values: dict[str, Any] = {}
    group = file.get(folder or "/")
    for name in group if isinstance(group, h5py.Group) else ():
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            continue
        dataset = group[name]
        if isinstance(dataset, h5py.Dataset) and dataset.size is not None and dataset.size <= 1000:
            values[name] = decode(dataset[()])
    return values


def _parse_time(text: object) -> datetime | None:
    try:
        time = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return time.astimezone(UTC) if time.tzinfo is not None else None


def _describe_series(group: h5py.Group) -> dict[str, Any]:
    data, times = (_own(group, name) for name in ("data", "timestamps"))
    start = rate = stop = None
    samples = int(data.shape[0]) if data is not None and data.shape else None
    if times is not None and len(times):
        start, stop, samples = float(times[0]), float(times[-1]), samples or len(times)
    elif (starting_time := _own(group, "starting_time")) is not None:
        start, rate = float(starting_time[()]), float(starting_time.attrs.get("rate", np.nan))
        stop = start + (samples - 1) / rate if samples and rate > 0 else None
    facts = {name: decode(data.attrs.get(name)) for name in ("unit", "conversion")} if data is not None else {}
    return {
        "shape": None if data is None else [int(size) for size in data.shape],
        "dtype": None if data is None else str(data.dtype),
        "rate": rate,
        "start": start,
        "stop": stop,
        "description": decode(group.attrs.get("description")),
        **facts,
    }


def _own(group: h5py.Group, name: str) -> h5py.Dataset | None:
    """Return a dataset of a group; None if it lacks it, or if it is in another file."""
    if isinstance(group.get(name, getlink=True), h5py.ExternalLink):
        return None
    dataset = group.get(name)
    return dataset if isinstance(dataset, h5py.Dataset) and dataset.shape is not None else None


def _describe_run(record: Mapping[str, Any]) -> dict[str, Any]:
    names = ("step", "processor", "revision", "run_id", "key", "tool", "tool_version", "seed", "host", "software")
    started, ended = (_parse_time(record[name]) for name in ("started", "ended"))
    return {
        **{name: record[name] for name in names},
        "parameters": json.dumps(record["parameters"]),
        "started": started,
        "seconds": (ended - started).total_seconds() if started and ended else None,
        "current": not record["superseded_by"],
        **{name: [item["path"] for item in record[name]] for name in ("inputs", "outputs")},
    }
