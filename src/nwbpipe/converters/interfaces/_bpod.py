"""A Bpod session → trials, and tables of its events and states."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from pydantic import Field

from nwbpipe.converters.interfaces._bpod_files import read_session_data, read_task_data
from nwbpipe.converters.interfaces._columns import infer_column_type
from nwbpipe.converters.interfaces._declaration import interface
from nwbpipe.converters.interfaces._file_interface import FileInterface, add_notes
from nwbpipe.converters.interfaces._interval_tables import IntervalTable, check_intervals, group_into_blocks
from nwbpipe.converters.interfaces._table_arguments import FileArguments
from nwbpipe.nwb_builders import Column, make_events_table

_ROUNDING_S = 1e-4  # a step of the Bpod's clock


class BpodArguments(FileArguments):
    """Arguments of `BpodInterface`."""

    value_columns: list[str] | None = None
    """Values to keep for each trial; ``contrast.value`` is one within a mapping. Default: all that are one number,
    text or truth value, but no paths of files. The description of the trials names what was left out."""
    value_names: dict[str, str] | None = None
    """Other names for them."""
    duration_columns: list[str] | None = None
    """Which of them are durations in seconds. Other numbers called ``…_time`` are not kept."""
    block_column: str | None = None
    """Value, by its name in the session file, that is constant within a block: each run of one becomes an epoch."""
    overshoot_s: float = Field(0.01, ge=0, allow_inf_nan=False)
    """How far the events of a trial may lie outside of its stamped start and end, which the computer takes. They
    belong to the trial all the same; the description says how far they lie."""
    skip_states: list[str] | None = None
    """Names of states to leave out."""
    skip_events: list[str] | None = None
    """Names of events to leave out, such as ``Tup``."""
    metadata_key: str = "Bpod"
    """Ending of the tables' names."""


@interface(extra="behavior")
class BpodInterface(FileInterface[BpodArguments]):
    """Trials, events and states of a Bpod session, from ``SessionData`` (.mat) or IBL's JSON lines.

    Written as ``nwbfile.trials``, with a column for each value that the file has once a trial, and two core
    ``EventsTable``: ``events_<name>`` has a row an event, ``states_<name>`` a row for each time that a state was
    entered, with its duration. Both say in ``trial`` the id of their trial. A state that a trial did not enter has
    no row. Times are in the Bpod's clock: those of the file count from the start of their trial.

    The file is ``SessionData`` of Bpod (.mat, version 5 to 7.3), or ``_iblrig_taskData.raw.jsonable``.

    Raises
    ------
    SourceError
        The file is not a Bpod session, contradicts itself, or its trials overlap.
    """

    display_name = "Bpod"
    keywords = ("trials", "events", "behavior", "Bpod")
    associated_suffixes = (".mat", ".jsonable")
    info = "Interface for sessions of the Bpod state machine."

    def _read(self) -> None:
        args = self.args
        self._skip = {"state": set(args.skip_states or ()), "event": set(args.skip_events or ())}
        read = read_session_data if self._path.suffix.lower() == ".mat" else read_task_data
        self.trials, unfit, self._session_start = read(self._path)
        self._check_trials()
        self._columns, skipped = self._value_columns(args.value_columns, set(args.duration_columns or ()))
        text = (args.description or f"Trials of the Bpod, read from {self._path.name}").rstrip(".")
        text += ". Not kept: " + ", ".join(skipped) if skipped else ""
        text += ". Not one value a trial: " + ", ".join(unfit) if unfit else ""
        text = add_notes(text, self._notes)
        start, stop = (np.array([getattr(trial, name) for trial in self.trials]) for name in ("start", "stop"))
        hint = "check that the file is of one session"
        check_intervals(start, stop, str(self._path), "trial", overlap=False, hint=hint)
        self._intervals = IntervalTable(str(self._path), start, stop, self._columns, description=text)
        self._blocks = None if args.block_column is None else group_into_blocks(self._intervals, args.block_column)

    def _check_trials(self) -> None:
        if not self.trials:
            raise self._error("the session holds no trials", hint="leave this source out")
        limit, outside = self.args.overshoot_s, []
        for number, trial in enumerate(self.trials):
            bounds = [
                *trial.states.values(),
                *([times, times] for times in map(np.atleast_1d, trial.events.values())),
            ]
            low = min((float(np.nanmin(times[0])) for times in bounds if np.isfinite(times[0]).any()), default=0.0)
            high = max((float(np.nanmax(times[1])) for times in bounds if np.isfinite(times[1]).any()), default=0.0)
            beyond = max(-low, high - (trial.stop - trial.start))
            if beyond > limit + _ROUNDING_S:
                raise self._error(
                    "events lie outside of their trial",
                    where=f"{self._path}, trial {number}",
                    expected=f"from 0 to {trial.stop - trial.start:.4f} s after its start, or {limit:g} s beyond",
                    found=f"from {low:.4f} s to {high:.4f} s",
                    hint="check that the file is whole and of one session; where the computer's stamps are late, "
                    "raise overshoot_s",
                )
            if beyond > _ROUNDING_S:
                outside.append(beyond)
        if outside:
            text = f"{len(outside)} of {len(self.trials)} trials have events outside of their stamped start and end"
            self._notes.append(f"{text}, by up to {max(outside) * 1000:.3g} ms")

    def _value_columns(self, names: list[str] | None, durations: set[str]) -> tuple[list[Column], list[str]]:
        """Return the columns of the trials' values, and the names of those that are left out."""
        all_names = dict.fromkeys(name for trial in self.trials for name in trial.values)
        columns, skipped = [], [name for name in all_names if names is not None and name not in names]
        for name in all_names if names is None else names:
            cells = [_find_value(trial.values, name) for trial in self.trials]
            if all(cell is None for cell in cells) and name not in all_names:
                raise self._error(
                    f"no value is called {name!r}",
                    expected=name,
                    found=", ".join(all_names),
                    hint="correct value_columns",
                )
            plain = all(cell is None or isinstance(cell, str | int | float | bool) for cell in cells)
            path = any(isinstance(cell, str) and ("\\" in cell or cell.count("/") > 1) for cell in cells)
            # A guess would move a duration with the clock, or leave a time behind.
            values, new_name = infer_column_type(cells) if plain else np.zeros(0), self._new_name(name)
            unclear = new_name.endswith(("_time", "_times")) and values.dtype.kind in "fiu" and name not in durations
            if plain and not unclear and not (path and names is None):
                kind: Literal["duration", "value"] = "duration" if name in durations else "value"
                columns.append(Column(new_name, f"{name}, as in the file of the Bpod", values, kind))
            elif names is None:
                skipped.append(name)
            elif unclear:
                raise self._error(
                    f"the value {name!r} may be a time or a duration",
                    expected=f"{name} in duration_columns, if it is a duration in seconds",
                    found="not in duration_columns",
                    hint="add it there, or rename it by value_names",
                )
            else:
                raise self._error(
                    f"the value {name!r} is not a single value for each trial",
                    expected="a number, a text or a truth value",
                    found=type(next(cell for cell in cells if cell is not None)).__name__,
                    hint="leave it out, or name a value within it: `contrast.value`",
                )
        return columns, skipped

    def _new_name(self, name: str) -> str:
        return (self.args.value_names or {}).get(name, name)

    def _collect_occurrences(self, kind: Literal["state", "event"]) -> tuple[Any, ...]:
        """Return times, durations, names and trials of all events or states, in the order of time."""
        rows = []
        for number, trial in enumerate(self.trials):
            if kind == "event":
                occurrences = [
                    (t, np.nan, name) for name, times in trial.events.items() for t in np.atleast_1d(times)
                ]
            else:
                occurrences = [
                    (a, b - a, name) for name, (on, off) in trial.states.items() for a, b in zip(on, off, strict=True)
                ]
            rows += [
                (trial.start + time, length, name, number)
                for time, length, name in occurrences
                if np.isfinite(time) and name not in self._skip[kind]
            ]
        rows.sort(key=lambda row: row[0])
        times, lengths, names, trials = zip(*rows, strict=True) if rows else ((), (), (), ())
        return np.array(times), np.array(lengths), list(names), np.array(trials, dtype=np.int64)

    def get_metadata(self) -> Any:
        """Metadata that the file gives: the start of the session, without a time zone.

        Returns
        -------
        neuroconv.utils.DeepDict
        """
        metadata = super().get_metadata()
        if self._session_start is not None:
            metadata["NWBFile"]["session_start_time"] = self._session_start
        return metadata

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
        for kind, content in (("event", "Events that the Bpod saw"), ("state", "States of the Bpod's state machine")):
            times, lengths, names, trials = self._collect_occurrences(kind)  # type: ignore[arg-type]
            if not names:
                continue
            trial = Column("trial", "id of the trial", trials)
            durations = lengths if kind == "state" else None
            table = make_events_table(
                f"{kind}s_{self.metadata_key}",
                f"{content}, read from {source}.",
                times,
                names=names,
                durations=durations,
                columns=[trial],
                source=source,
            )
            nwbfile.add_events_table(table)


def _find_value(values: Any, name: str) -> Any:
    """Return the value of a name, or of a dotted path into mappings; None where it is missing."""
    if name in values:
        return values[name]
    for part in name.split("."):
        values = values.get(part) if isinstance(values, dict) else None
    return values
