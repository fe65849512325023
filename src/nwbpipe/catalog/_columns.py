"""The tables of a catalogue and their columns, in words."""

from __future__ import annotations

_KEYS = {"subject_id": "Key of the subject.", "session_id": "Key of the session."}
_OBJECT = {
    "path": "Path of the object in the session file.",
    "step": "Step that wrote it; NULL for raw data.",
}
_ROW = {"row": "Row in its table, from 0."}

#: Columns that each table has, and what they hold. Columns of the tables in the files come on top of these.
TABLES: dict[str, dict[str, str]] = {
    "sessions": _KEYS
    | {
        "session_start_time": "Start of the session, time 0 of its reference clock.",
        "session_description": "What was done.",
        "identifier": "Identifier of the NWB file.",
        "experimenter": "List of names.",
        "age": "Age of the subject in this session, ISO 8601.",
        "location": "Path or address of the session file.",
    },
    "subjects": _KEYS
    | {
        "session_id": "Newest session of the subject: the row is from its file.",
        "species": "Latin binomial.",
        "sex": "F, M, U or O.",
        "date_of_birth": "With time zone.",
        "genotype": "",
        "strain": "",
    },
    "surgeries": _KEYS | _ROW,
    "injections": _KEYS | _ROW,
    "implants": _KEYS | _ROW,
    "insertions": _KEYS | _ROW,
    "notes": _KEYS | _ROW,
    "attributes": _KEYS | _ROW,
    "devices": _KEYS | {"path": _OBJECT["path"], "name": "Name of the device.", "type": "NWB type."},
    "trials": _KEYS
    | _ROW
    | {"start_time": "Seconds on the reference clock.", "stop_time": "Seconds on the reference clock."},
    "intervals": _KEYS
    | _OBJECT
    | {"name": "Name of the table, such as trials or epochs."}
    | _ROW
    | {"start_time": "Seconds on the reference clock.", "stop_time": "Seconds on the reference clock."},
    "events": _KEYS
    | _OBJECT
    | {"name": "Name of the events table."}
    | _ROW
    | {"timestamp": "Seconds on the reference clock.", "duration": "Seconds."},
    "units": _KEYS
    | _OBJECT
    | _ROW
    | {"id": "Identifier of the unit.", "spike_count": "Number of spikes.", "verdict": "pass, warn or fail."},
    "spike_times": _KEYS
    | {"path": _OBJECT["path"], "row": _ROW["row"], "spike_times": "List of seconds on the reference clock."},
    "electrodes": _KEYS | _ROW,
    "rois": _KEYS | _OBJECT | _ROW | {"id": "Identifier of the ROI.", "verdict": "pass, warn or fail."},
    "series": _KEYS
    | _OBJECT
    | {
        "name": "Name of the series.",
        "type": "NWB type.",
        "shape": "Shape of the data, samples first.",
        "dtype": "Type of the stored values.",
        "unit": "Unit of the values after conversion.",
        "conversion": "Factor from stored values to the unit.",
        "rate": "Samples per second (Hz); NULL if each sample has its own time.",
        "start": "Time of the first sample, seconds on the reference clock.",
        "stop": "Time of the last sample, seconds on the reference clock.",
    },
    "runs": _KEYS
    | {
        "step": "Name of the step.",
        "processor": "Name of the processor.",
        "run_id": "Identifier of the run.",
        "key": "Hash of all that decides the result.",
        "parameters": "JSON.",
        "started": "Start of the computation (UTC).",
        "seconds": "Time that it took.",
        "current": "True if its results are those in the file.",
        "inputs": "List of paths that it read.",
        "outputs": "List of paths that it wrote.",
    },
    "quality": _KEYS
    | _OBJECT
    | {"about": "Path of the judged table, or NULL for the recording."}
    | _ROW
    | {"verdict": "pass, warn or fail.", "reasons": "What was out of bounds."},
    "clocks": _KEYS
    | {
        "clock": "Name of the clock.",
        "reference": "Reference clock of the session.",
        "method": "How it was aligned.",
        "verdict": "accepted, or what was wrong.",
        "offset_s": "Seconds.",
        "drift_ppm": "Parts per million.",
        "residual_95_s": "95th percentile of the absolute residuals, in seconds.",
    },
    "files": _KEYS
    | {
        "location": "Path or address of the session file.",
        "version": "State of the file that the tables are of.",
        "nwb_version": "Version of NWB.",
        "problem": "Why the file can't be read; NULL if it can.",
    },
    "left_out": _KEYS
    | {"path": _OBJECT["path"], "column": "Name of the column.", "reason": "Why it is in no table."},
}
