"""Read what a declaration names from session files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nwbpipe.catalog import Catalog
from nwbpipe.errors import NwbpipeError, RequestError, UnknownNameError, WorkError
from nwbpipe.export._align import Anchors, find_anchors
from nwbpipe.export._read_series import Series, SeriesList, is_named, list_series, select_series, shorten_path
from nwbpipe.export._spikes import list_point_processes, read_point_processes
from nwbpipe.export._stored_array import StoredArray
from nwbpipe.export._xarray import describe_session, name_session
from nwbpipe.export.ml._declaration import Declaration, Stream
from nwbpipe.export.ml._streams import Data, Labels, Points, Session, Signal
from nwbpipe.session import SessionFile, SessionReader

_POPULATIONS = ("roi", "electrode", "channel", "unit")
_RUN = ("run_id", "step", "processor", "revision", "tool", "tool_version", "key", "software", "started")
Rows = Mapping[str, set[int]]  # that meet a condition, by table


def open_sessions(catalog: Catalog, declaration: Declaration) -> tuple[list[Session], dict[str, str]]:
    """Return the sessions of a declaration, in the order of their names; and those left out, with the reason.

    Raises
    ------
    RequestError
        If the query or a condition is wrong, no session is left, or two files are of one session.
    """
    chosen = {
        name: _find_rows(catalog, stream) for name, stream in declaration.streams.items() if stream.where is not None
    }
    sessions: dict[str, Session] = {}
    left_out: dict[str, str] = {}
    errors: list[NwbpipeError] = []
    for location in _list_files(catalog, declaration.dataset.sessions):
        file = SessionFile.at(location)
        try:
            session = _open_session(file, location, declaration, chosen)
        except (UnknownNameError, WorkError) as error:
            left_out[file.name] = (
                f"{error.problem.what} ({error.problem.found})" if error.problem.found else str(error.problem.what)
            )
            errors.append(error)
            continue
        if session.name in sessions:
            raise RequestError(
                f"two files are of the session {session.name}", where=location, hint="name one of them"
            )
        sessions[session.name] = session
    if not sessions:
        if errors:
            raise errors[0]
        raise RequestError(
            "the data set has no session",
            where=declaration.dataset.sessions,
            hint="`nwbpipe query` shows what the SQL of dataset.sessions answers",
        )
    ordered = [sessions[name] for name in sorted(sessions)]
    return _share_kinds(_share_types(ordered, declaration), declaration), left_out


def _share_types(sessions: list[Session], declaration: Declaration) -> list[Session]:
    """Give all sessions the same types of events, in one order."""
    for name, stream in declaration.streams.items():
        if stream.source == "events":
            tables = [data for session in sessions if isinstance(data := session.data[name], Points)]
            types = sorted({label for table in tables for label in table.ids})
            sessions = [
                replace(session, data={**session.data, name: table.with_types(types)})
                for session, table in zip(sessions, tables, strict=True)
            ]
    return sessions


def _share_kinds(sessions: list[Session], declaration: Declaration) -> list[Session]:
    """Give the numbers of a column one type: whole ones become fractions where any session has fractions (or NaN).

    Raises
    ------
    RequestError
        If a column holds texts in a session and fractions in another: classes and numbers can't be mixed.
    """
    for name, stream in declaration.streams.items():
        columns = {s.name: data.values for s in sessions if isinstance(data := s.data[name], Labels)}
        kinds = {values.dtype.kind for values in columns.values()}
        if stream.source != "column" or len(kinds) < 2:
            continue
        if kinds <= set("fiub"):
            kind = np.float64 if "f" in kinds else np.int64
            sessions = [replace(s, data={**s.data, name: Labels(columns[s.name].astype(kind))}) for s in sessions]
        elif "f" in kinds:
            raise RequestError(
                f"{stream.pattern} holds texts in a session and numbers in another",
                expected="one of both",
                found="; ".join(f"{session}: {values.dtype}" for session, values in columns.items()),
                hint="leave sessions out by dataset.sessions, or name another column",
            )
    return sessions


def _list_files(catalog: Catalog, sql: str) -> list[str]:
    answer = catalog.query(sql)
    if "location" not in answer.column_names:
        if not {"subject_id", "session_id"} <= set(answer.column_names):
            raise RequestError(
                "the answer to dataset.sessions does not name sessions",
                where=sql,
                expected="the column location, or subject_id and session_id",
                found=", ".join(answer.column_names),
            )
        keys = "SELECT DISTINCT subject_id, session_id FROM"
        files = "SELECT location FROM sessions JOIN"
        answer = catalog.query(f"{files} ({keys} ({sql})) USING (subject_id, session_id)")
    return sorted({str(location) for location in answer["location"].to_pylist() if location is not None})


def _find_rows(catalog: Catalog, stream: Stream) -> Mapping[str, Rows]:
    """Return the rows that meet the condition of an input or target, by file."""
    table = "units" if stream.source == "units" else "rois"
    _, rows = catalog.find_rows(f"{table} WHERE ({stream.where})")
    chosen: dict[str, dict[str, set[int]]] = {}
    for row in rows.select(["_location", "path", "row"]).to_pylist():
        chosen.setdefault(str(row["_location"]), {}).setdefault(str(row["path"]), set()).add(int(row["row"]))
    return chosen


def _open_session(
    file: SessionFile, location: str, declaration: Declaration, chosen: Mapping[str, Mapping[str, Rows]]
) -> Session:
    def read(reader: SessionReader) -> tuple[Session, set[str]]:
        texts = describe_session(reader)
        name = name_session(texts, file)
        trials = None
        if declaration.dataset.around is not None:
            trials = find_anchors(reader, declaration.dataset.around, str(file))
        data: dict[str, Data] = {}
        paths: dict[str, str] = {}
        list_once = cache(partial(list_series, reader))
        for key, stream in declaration.streams.items():
            rows = chosen[key].get(location, {}) if key in chosen else None
            data[key], paths[key] = _Reading(reader, file, name, stream, rows, list_once).read(trials)
        read_paths = {*paths.values(), *(() if trials is None else (trials.path,))}
        subject, session = texts.get("subject_id", "unknown"), texts.get("session_id", file.name)
        day, runs = texts.get("session_start_time", "")[:10], _list_runs(reader, read_paths)
        anchors = None if trials is None else trials.times
        return Session(name, subject, session, day, data, paths, {}, runs, anchors), read_paths

    session, read_paths = file.read(read)
    ordered = sorted(read_paths)
    identities = {path: item.identity for path, item in zip(ordered, file.identify(ordered), strict=True)}
    return replace(session, identities=identities)


@dataclass(frozen=True)
class _Reading:
    """One input or target of one session."""

    reader: SessionReader
    file: SessionFile
    session: str
    stream: Stream
    rows: Rows | None
    list_series: Callable[[], SeriesList]

    def read(self, trials: Anchors | None) -> tuple[Data, str]:
        """Return the data, and the path of their object."""
        if self.stream.source == "column":
            assert trials is not None
            return self._read_column(trials), trials.path
        if self.stream.source == "series":
            listed = select_series(self.list_series(), [self.stream.pattern], str(self.file))
            series: Series = self._choose(listed)
            return self._read_signal(series), series.path
        path = self._find_table()
        return self._read_points(path), path

    def _read_column(self, trials: Anchors) -> Labels:
        name = self.stream.pattern.rpartition(".")[2]
        if name not in trials.columns:
            msg = f"the trials have no column {name!r} with one value each"
            raise UnknownNameError(
                msg, where=str(self.file), expected=", ".join(trials.columns), found=self.stream.pattern
            )
        return Labels(np.asarray(trials.columns[name]))

    def _find_table(self) -> str:
        kind = "Units" if self.stream.source == "units" else "EventsTable"
        kinds = {item.path: item.lineage for item in self.reader.objects}
        tables = {name: path for name, path in list_point_processes(self.reader).items() if kind in kinds[path]}
        named = {n: path for n, path in tables.items() if is_named(self.stream.pattern, n, path.lstrip("/"))}
        if not named:
            msg = f"the file has no {self.stream.source} {self.stream.pattern!r}"
            raise UnknownNameError(msg, where=str(self.file), expected=f"one of {', '.join(tables) or '(none)'}")
        return str(self._choose(named))

    def _choose(self, named: Mapping[str, Any]) -> Any:
        if len(named) > 1:
            msg, hint = f"{self.stream.pattern!r} fits several objects", "name one of them in the declaration"
            raise UnknownNameError(msg, where=str(self.file), expected="one", found=", ".join(named), hint=hint)
        return next(iter(named.values()))

    def _read_points(self, path: str) -> Points:
        points = read_point_processes(self.reader, path)
        if self.stream.source == "events":
            types = [str(label) for label in points.axis.labels]
            return Points(types, points.times, points.observed, is_population=False)
        keep = list(range(len(points.times))) if self.rows is None else sorted(self.rows.get(path, ()))
        if not keep:
            raise UnknownNameError("no unit meets the condition", where=str(self.file), found=self.stream.where)
        table, spikes = shorten_path(path), np.concatenate([np.zeros(0), *points.times])
        return Points(
            [f"{self.session}/{table}/{points.axis.labels[row]}" for row in keep],
            [points.times[row] for row in keep],
            [points.observed[row] for row in keep],
            {name: values[keep] for name, values in points.axis.columns.items()},
            recorded=(float(np.nanmin(spikes)), float(np.nanmax(spikes))) if np.isfinite(spikes).any() else None,
        )

    def _read_signal(self, series: Series) -> Signal:
        location = f"{self.file}: {series.path}"
        if len(series.axes) > 1 or series.is_image:
            msg = "the series has more than one dimension beside time"
            raise UnknownNameError(msg, where=location, found=str(series.shape))
        axis = series.axes[0] if series.axes else None
        labels = ["value"] if axis is None else [str(label) for label in axis.labels.tolist()]
        columns = list(range(len(labels)))
        if self.rows is not None:
            if axis is None or axis.table is None:
                raise UnknownNameError("the series has no table of ROIs", where=location, found=self.stream.where)
            ids = self.reader.file[axis.table]["id"][()]
            chosen = {str(ids[row]) for row in self.rows.get(axis.table, ())}
            columns = [number for number in columns if labels[number] in chosen]
            if not columns:
                raise UnknownNameError("no ROI meets the condition", where=location, found=self.stream.where)
        is_population = axis is not None and axis.name in _POPULATIONS
        prefix = f"{self.session}/{series.name}/" if is_population else ""
        return Signal(
            labels=[f"{prefix}{labels[column]}" for column in columns],
            is_population=is_population,
            unit=series.unit,
            count=series.times.count,
            rate=series.times.rate or 0.0,
            start=series.times.start or 0.0,
            stamps=None if series.times.rate is not None else series.times.read(self.reader.file),
            read=partial(_read_values, StoredArray(self.file, series, 0, series.times.count), columns),
            method=self.stream.method,
        )


def _read_values(stored: StoredArray, columns: list[int], first: int, last: int) -> NDArray[Any]:
    values = stored[first:last].reshape(last - first, -1)
    return values if len(columns) == values.shape[1] else values[:, columns]


def _list_runs(reader: SessionReader, paths: set[str]) -> list[dict[str, Any]]:
    """Return the runs whose results are at some paths, and those that they built on."""
    records = [record for record in reader.records if not record.superseded]
    pending, runs = set(paths), {}
    while pending:
        path = pending.pop()
        for record in records:
            at = [output.path for output in record.outputs]
            if record.run_id not in runs and any(path == p or path.startswith(f"{p}/") for p in at):
                runs[record.run_id] = record
                pending |= {item.path for item in record.inputs}
    return [
        {name: record.as_dict()[name] for name in _RUN} | {"parameters": dict(record.parameters)}
        for record in records
        if record.run_id in runs
    ]
