"""A pyControl session → tables of its events, states, printed lines and variables, and its trials."""

from __future__ import annotations

import ast
import json
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from nwbpipe.converters.interfaces._columns import check_increasing
from nwbpipe.converters.interfaces._declaration import interface
from nwbpipe.converters.interfaces._file_interface import FileInterface, add_notes
from nwbpipe.converters.interfaces._interval_tables import IntervalTable, check_intervals
from nwbpipe.converters.interfaces._table_arguments import FileArguments
from nwbpipe.nwb_builders import Column, make_events_table

_HEADER = ["time", "type", "subtype", "content"]
# What `info` rows say of the machine or the person, and the session's own keys: not for a public file.
_LATE_S = 0.05  # so much later than it happened may an event be written
_INFO = ("experiment_name", "task_name", "task_file_hash", "framework_version")


@dataclass(frozen=True)
class _LogRow:
    time: float
    kind: str
    subtype: str
    content: str


@dataclass
class _PyControlLog:
    rows: list[_LogRow] = field(default_factory=list)
    info: dict[str, str] = field(default_factory=dict)
    end: float | None = None


class PyControlArguments(FileArguments):
    """Arguments of `PyControlInterface`."""

    trial_start: str | None = None
    """State or event at which a trial starts. Then ``nwbfile.trials`` is written."""
    trial_stop: str | None = None
    """State or event at which it ends; by default the next `trial_start`. A trial that is not over at the end of the
    file is left out, and the description says so."""
    unsorted: Literal["error", "sort"] = "error"
    """What to do with events that are more than 50 ms out of order. Fewer are sorted: under load, pyControl writes
    late. The tables' descriptions say how many."""
    metadata_key: str = "PyControl"
    """Ending of the tables' names."""


@interface(extra="behavior")
class PyControlInterface(FileInterface[PyControlArguments]):
    """Events, states and printed lines of a pyControl session (``.tsv`` of version 2, ``.txt`` of version 1).

    Written as core ``EventsTable``: ``events_<name>``, ``states_<name>`` (each with its duration; the last one's is
    known only if the file has the session's end), ``prints_<name>`` and ``variables_<name>`` (their content as
    text). Errors and warnings of the task that have a time go to ``prints_<name>`` too, by their kind.

    Raises
    ------
    SourceError
        The file is not a session of pyControl, its times go backwards, or it lacks a name.
    """

    display_name = "pyControl"
    keywords = ("events", "behavior", "pyControl")
    associated_suffixes = (".tsv", ".txt")
    info = "Interface for sessions of pyControl."

    def _read(self) -> None:
        try:
            text = self._path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeError) as error:
            raise self._error("the session can't be read", expected="text in UTF-8", found=str(error)) from error
        lines = [line for line in text.splitlines() if line.strip()]
        first = lines[0].split("\t") if lines else []
        # The column of times comes first or second, by the version.
        self._session = self._parse_tsv(lines, first) if set(first) == set(_HEADER) else self._parse_txt(lines)
        times = np.array([row.time for row in self._session.rows if row.kind in ("event", "state")])
        if not times.size:
            raise self._error("the session holds no events and no states", hint="leave this source out")
        self._sort_rows(times)
        start = self.args.trial_start
        self.trials = None if start is None else self._pair_trials(start, self.args.trial_stop)

    def _sort_rows(self, times: npt.NDArray[np.float64]) -> None:
        late = np.maximum.accumulate(times) - times
        if not late.any():
            return
        if late.max() > _LATE_S and self.args.unsorted != "sort":
            hint = "check that the file is of one session; if events are merely written late, say unsorted: sort"
            check_increasing(times, str(self._path), "events", hint=hint)
        count, worst = np.count_nonzero(late), late.max() * 1000
        self._notes.append(f"{count} events were written late, by up to {worst:g} ms, and were sorted")
        keys, last = [], -np.inf
        for row in self._session.rows:  # a row without a time (an error of the task) stays behind the one above it
            last = row.time if np.isfinite(row.time) else last
            keys.append(last)
        self._session.rows = [self._session.rows[i] for i in np.argsort(keys, kind="stable")]

    def _parse_tsv(self, lines: list[str], header: list[str]) -> _PyControlLog:
        session = _PyControlLog()
        for number, line in enumerate(lines[1:], 2):
            cells = dict(zip(header, line.split("\t", 3), strict=False))
            try:
                time = float(cells["time"]) if cells["time"] else np.nan
                row = _LogRow(time, cells["type"], cells["subtype"], cells["content"])
                if row.kind in ("event", "state") and not np.isfinite(time):
                    raise ValueError("no time")
            except (KeyError, ValueError) as error:
                raise self._error(
                    "a row is not as pyControl writes it",
                    where=f"{self._path}, line {number}",
                    expected="time, type, subtype and content, separated by tabs",
                    found=line[:80],
                    hint="check that the file is whole",
                ) from error
            if row.kind == "info":
                session.info[row.subtype] = row.content
                session.end = row.time if row.subtype == "end_time" else session.end
            else:
                session.rows.append(row)
        return session

    def _parse_txt(self, lines: list[str]) -> _PyControlLog:
        session, names = _PyControlLog(), dict[int, tuple[str, str]]()
        for number, line in enumerate(lines, 1):
            mark, _, content = line.strip().partition(" ")
            try:
                if mark == "I":
                    key, _, value = content.partition(" : ")
                    session.info[key.strip().lower().replace(" ", "_")] = value.strip()
                elif mark in ("S", "E"):
                    kind = "state" if mark == "S" else "event"
                    names |= {int(code): (kind, str(name)) for name, code in dict(ast.literal_eval(content)).items()}
                elif mark == "D":
                    time, code = content.split(" ")[:2]
                    kind, name = names[int(code)]
                    session.rows.append(_LogRow(int(time) / 1000, kind, "", name))
                elif mark in ("P", "V"):
                    time, _, text = content.partition(" ")
                    session.rows.append(
                        _LogRow(int(time) / 1000, "variable" if mark == "V" else "print", "", text.strip())
                    )
                elif mark == "!":
                    session.rows.append(_LogRow(np.nan, "error", "", content))
                elif not session.rows or session.rows[-1].kind != "error":  # an error's text runs over several lines
                    raise ValueError("an unknown mark")
            except (ValueError, KeyError, SyntaxError, TypeError) as error:
                raise self._error(
                    "a line is not as pyControl writes it",
                    where=f"{self._path}, line {number}",
                    expected="I, S, E, D, P or V, then its content; or the header " + ", ".join(_HEADER),
                    found=line[:80],
                    hint="check that this is the data file of a pyControl session, and whole",
                ) from error
        return session

    def _times_of(self, name: str, argument: str) -> npt.NDArray[np.float64]:
        rows = [row for row in self._session.rows if row.kind in ("event", "state")]
        times = np.array([row.time for row in rows if row.content == name])
        if not times.size:
            raise self._error(
                f"no state or event is called {name!r}",
                expected=argument,
                found=", ".join(sorted({row.content for row in rows})),
                hint=f"correct {argument}",
            )
        return times

    def _pair_trials(self, start: str, stop: str | None) -> tuple[npt.NDArray[np.float64], ...]:
        starts = self._times_of(start, "trial_start")
        if stop is None:
            end = np.nan if self._session.end is None else self._session.end
            stops = np.append(starts[1:], end)
        else:
            ends = np.append(self._times_of(stop, "trial_stop"), np.nan)
            stops = ends[np.searchsorted(ends[:-1], starts, side="right")]
        finished = np.isfinite(stops)
        hint = "check trial_start and trial_stop, and that the file is of one session"
        check_intervals(starts[finished], stops[finished], str(self._path), "trial", overlap=False, hint=hint)
        return starts, stops

    def _durations(self, times: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        end = np.nan if self._session.end is None else self._session.end
        return np.diff(np.append(times, end))

    def get_metadata(self) -> Any:
        """Metadata that the file gives: the start of the session, without a time zone.

        Returns
        -------
        neuroconv.utils.DeepDict
        """
        metadata = super().get_metadata()
        for text in (self._session.info.get(key, "") for key in ("start_date", "start_time")):
            with suppress(ValueError):
                metadata["NWBFile"]["session_start_time"] = datetime.fromisoformat(text.replace("/", "-"))
                break
        return metadata

    def add_to_nwbfile(self, nwbfile: Any, metadata: dict[str, Any] | None = None) -> None:
        """Write the tables, and the trials if `trial_start` was given.

        Parameters
        ----------
        nwbfile : pynwb.NWBFile
        metadata : dict, optional
            Not used: the file holds no metadata of its own.
        """
        info = {key: self._session.info[key] for key in _INFO if self._session.info.get(key)}
        session = f", of the session {json.dumps(info)}" if info else ""
        groups = {
            "events": ("event",),
            "states": ("state",),
            "prints": ("print", "warning", "error"),
            "variables": ("variable",),
        }
        for table, kinds in groups.items():
            rows = [row for row in self._session.rows if row.kind in kinds and np.isfinite(row.time)]
            if not rows:
                continue
            times = np.array([row.time for row in rows])
            plain = table in ("events", "states")
            columns = [] if plain else [Column("content", "what was printed", np.array([r.content for r in rows]))]
            if any(row.subtype for row in rows):
                text = "what caused it, by pyControl's word"
                columns.append(Column("subtype", text, np.array([row.subtype for row in rows])))
            events_table = make_events_table(
                f"{table}_{self.metadata_key}",
                add_notes(f"{table.capitalize()} of pyControl{session}", self._notes),
                times,
                names=[row.content if plain else row.kind for row in rows],
                durations=self._durations(times) if table == "states" else None,
                columns=columns,
                source=self._path.name,
            )
            nwbfile.add_events_table(events_table)
        if self.trials is not None:
            self._add_trials(nwbfile, *self.trials)

    def _add_trials(self, nwbfile: Any, starts: npt.NDArray[np.float64], stops: npt.NDArray[np.float64]) -> None:
        finished = np.isfinite(stops)
        notes = []
        if not finished.all():
            notes.append(f"{int((~finished).sum())} of {finished.size} trials have no end and were left out")
        text = self.args.description or f"Trials of pyControl, read from {self._path.name}"
        trials = IntervalTable(str(self._path), starts[finished], stops[finished], description=text, notes=notes)
        trials.add(nwbfile, "trials", "Trials")
