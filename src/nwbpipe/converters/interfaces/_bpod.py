"""A Bpod session → trials, and tables of its events and states."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from pydantic import FilePath

from nwbpipe.converters.interfaces._bpod_files import BpodTrial, read_session_data, read_task_data
from nwbpipe.converters.interfaces._columns import infer_column_type
from nwbpipe.converters.interfaces._declaration import interface
from nwbpipe.converters.interfaces._file_interface import FileInterface
from nwbpipe.converters.interfaces._interval_tables import IntervalTable, check_intervals, group_into_blocks
from nwbpipe.nwb_builders import Column, make_events_table

_INSIDE_S = 1e-3  # what lies that much outside of its trial is not of it


@interface(extra="behavior")
class BpodInterface(FileInterface):
    """Trials, events and states of a Bpod session, from ``SessionData`` (.mat) or IBL's JSON lines.

    Written as ``nwbfile.trials``, with a column for each value that the file has once a trial, and two core
    ``EventsTable``: ``events_<name>`` has a row an event, ``states_<name>`` a row for each time that a state was
    entered, with its duration. Both say in ``trial`` the id of their trial. A state that a trial did not enter has
    no row. Times are in the Bpod's clock: those of the file count from the start of their trial.

    Parameters
    ----------
    file_path : FilePath
        ``SessionData`` of Bpod (.mat, version 5 to 7.3), or ``_iblrig_taskData.raw.jsonable``.
    value_columns : list of str, optional
        Values to keep for each trial; ``contrast.value`` is one within a mapping. Default: all that are one number,
        text or truth value, but no paths of files. The description of the trials names what was left out.
    value_names : dict of str to str, optional
        Other names for them.
    duration_columns : list of str, optional
        Which of them are durations in seconds. Numbers called ``…_time`` that are none of these are not kept.
    block_column : str, optional
        Value, by its name in the session file, that is constant within a block: each run of one becomes an epoch.
    skip_states, skip_events : list of str, optional
        Names to leave out, such as ``Tup``.
    description : str, optional
        Of the trials.
    metadata_key : str
        Ending of the tables' names.
    verbose : bool
        Not used.

    Raises
    ------
    SourceError
        The file is no Bpod session, contradicts itself, or its trials overlap.
    """

    display_name = "Bpod"
    keywords = ("trials", "events", "behavior", "Bpod")
    associated_suffixes = (".mat", ".jsonable")
    info = "Interface for sessions of the Bpod state machine."

    def __init__(
        self,
        file_path: FilePath,
        *,
        value_columns: list[str] | None = None,
        value_names: dict[str, str] | None = None,
        duration_columns: list[str] | None = None,
        block_column: str | None = None,
        skip_states: list[str] | None = None,
        skip_events: list[str] | None = None,
        description: str | None = None,
        metadata_key: str = "Bpod",
        verbose: bool = False,
    ) -> None:
        super().__init__(locals())
        self._names = value_names or {}
        self._skip = {"state": set(skip_states or ()), "event": set(skip_events or ())}
        read = read_session_data if self._path.suffix.lower() == ".mat" else read_task_data
        self.trials: list[BpodTrial] = read(self._path)
        self._check_arguments()
        self._columns, left_out = self._value_columns(value_columns, set(duration_columns or ()))
        text = (description or f"Trials of the Bpod, read from {self._path.name}").rstrip(".")
        text += ". Not kept: " + ", ".join(left_out) if left_out else ""
        start, stop = (np.array([getattr(trial, name) for trial in self.trials]) for name in ("start", "stop"))
        check_intervals(start, stop, str(self._path), "trial", overlap=False)
        self._intervals = IntervalTable(str(self._path), start, stop, self._columns, description=text)
        self._blocks = None if block_column is None else group_into_blocks(self._intervals, block_column)

    def _check_arguments(self) -> None:
        if not self.trials:
            raise self._error("the session holds no trials", hint="leave this source out")
        for number, trial in enumerate(self.trials):
            bounds = [
                *trial.states.values(),
                *([times, times] for times in map(np.atleast_1d, trial.events.values())),
            ]
            low = min((float(np.nanmin(times[0])) for times in bounds if np.isfinite(times[0]).any()), default=0.0)
            high = max((float(np.nanmax(times[1])) for times in bounds if np.isfinite(times[1]).any()), default=0.0)
            if low < -_INSIDE_S or high > trial.stop - trial.start + _INSIDE_S:
                raise self._error(
                    "events lie outside of their trial",
                    where=f"{self._path}, trial {number}",
                    expected=f"from 0 to {trial.stop - trial.start:.4f} s after its start",
                    found=f"from {low:.4f} s to {high:.4f} s",
                    hint="check that the file is whole and of one session",
                )

    def _value_columns(self, wanted: list[str] | None, durations: set[str]) -> tuple[list[Column], list[str]]:
        everything = dict.fromkeys(name for trial in self.trials for name in trial.values)
        columns, left_out = [], [name for name in everything if wanted is not None and name not in wanted]
        for name in everything if wanted is None else wanted:
            cells = [_find_value(trial.values, name) for trial in self.trials]
            if all(cell is None for cell in cells) and name not in everything:
                raise self._error(
                    f"no value is called {name!r}",
                    expected=name,
                    found=", ".join(everything),
                    hint="correct value_columns",
                )
            plain = all(cell is None or isinstance(cell, str | int | float | bool) for cell in cells)
            path = any(isinstance(cell, str) and ("\\" in cell or cell.count("/") > 1) for cell in cells)
            # A guess would move a duration with the clock, or leave a time behind.
            values, shown = infer_column_type(cells) if plain else np.zeros(0), self._names.get(name, name)
            unclear = shown.endswith(("_time", "_times")) and values.dtype.kind in "fiu" and name not in durations
            if plain and not unclear and not (path and wanted is None):
                kind: Literal["duration", "value"] = "duration" if name in durations else "value"
                columns.append(Column(shown, f"{name}, as in the file of the Bpod", values, kind))
            elif wanted is None:
                left_out.append(name)
            elif unclear:
                raise self._error(
                    f"the value {name!r} may be a time or a duration",
                    expected="to be told which",
                    found="not in duration_columns",
                    hint="add it to duration_columns if it is one, in seconds, or rename it by value_names",
                )
            else:
                raise self._error(
                    f"the value {name!r} is not one a trial",
                    expected="a number, a text or a truth value",
                    found=type(next(cell for cell in cells if cell is not None)).__name__,
                    hint="leave it out, or name a value within it: `contrast.value`",
                )
        return columns, left_out

    def _collect_occurrences(self, kind: Literal["state", "event"]) -> tuple[Any, ...]:
        """Times, durations, names and trials of all events or states, in the order of time."""
        rows = []
        for number, trial in enumerate(self.trials):
            if kind == "event":
                found = [(t, np.nan, name) for name, times in trial.events.items() for t in np.atleast_1d(times)]
            else:
                found = [
                    (a, b - a, name) for name, (on, off) in trial.states.items() for a, b in zip(on, off, strict=True)
                ]
            rows += [
                (trial.start + time, length, name, number)
                for time, length, name in found
                if np.isfinite(time) and name not in self._skip[kind]
            ]
        rows.sort(key=lambda row: row[0])
        times, lengths, names, trials = zip(*rows, strict=True) if rows else ((), (), (), ())
        return np.array(times), np.array(lengths), list(names), np.array(trials, dtype=np.int64)

    def add_to_nwbfile(self, nwbfile: Any, metadata: dict[str, Any] | None = None) -> None:
        """Write the trials, the events and the states.

        Parameters
        ----------
        nwbfile : pynwb.NWBFile
        metadata : dict, optional
            Not used: the file holds no metadata of its own.
        """
        source = self._path.name
        self._intervals.add(nwbfile, "trials", "Trials")
        if self._blocks is not None:
            self._blocks.add(nwbfile, "epochs", "Blocks of trials")
        for kind, what in (("event", "Events that the Bpod saw"), ("state", "States of the Bpod's state machine")):
            times, lengths, names, trials = self._collect_occurrences(kind)  # type: ignore[arg-type]
            if not names:
                continue
            trial = Column("trial", "id of the trial", trials)
            durations = lengths if kind == "state" else None
            table = make_events_table(
                f"{kind}s_{self.metadata_key}",
                f"{what}, read from {source}.",
                times,
                names=names,
                durations=durations,
                columns=[trial],
                source=source,
            )
            nwbfile.add_events_table(table)


def _find_value(values: Any, name: str) -> Any:
    """Value of a name, or of a dotted path into mappings; None where there is none."""
    if name in values:
        return values[name]
    for part in name.split("."):
        values = values.get(part) if isinstance(values, dict) else None
    return values
