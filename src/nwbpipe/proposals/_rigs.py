"""Recognise files of rigs for behaviour: Bpod, the International Brain Laboratory's rig, MED-PC, pyControl, logs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

from nwbpipe.proposals._candidate import Candidate, Mark, Noted, count, listed, plain
from nwbpipe.proposals._tables import Table, find_times, find_unit, read_table
from nwbpipe.proposals._tree import RawTree

_UNIT = "ms or us: the rig's version says it"
_TEXT_MODES = {"delimiter": " ", "header": False}
_ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?([+-]\d\d:\d\d|Z)")


def find_bpod(tree: RawTree) -> Iterator[Candidate]:
    """Find sessions of Bpod in the International Brain Laboratory's JSON lines."""
    for path in tree.free(".jsonable"):
        with tree.note_errors(path), path.open(encoding="utf-8", errors="replace") as file:
            first = json.loads(file.readline())
            if not isinstance(first, dict) or "behavior_data" not in first:
                tree.dismiss([path], f"JSON lines with {listed(first)}")
                continue
            trials = 1 + sum(1 for line in file if line.strip())
            text = str(first.get("init_datetime", ""))
            start = datetime.fromisoformat(text) if text else None
            notes = [f"{count(trials, 'trial')}; {first.get('task_protocol', 'no protocol named')}"]
            yield Candidate(
                "task",
                "BpodInterface",
                {"file_path": path},
                [path],
                device="bpod",
                role="trials",
                start=start,
                notes=notes,
                is_accounted=False,
            )


def find_ibl(tree: RawTree) -> Iterator[Candidate]:
    """Find what the International Brain Laboratory's rig writes beside the Bpod: encoder, stimuli, camera."""
    for path in tree.free(".ssv"):
        with tree.note_errors(path):
            table = read_table(path)
            if table is None or table.is_headed:
                continue
            yield from _look_at_ssv(table)


def _look_at_ssv(table: Table) -> Iterator[Candidate]:
    name, path, width = table.path.name, table.path, len(table.names)
    first = [table.texts(column)[0] for column in table.names]
    dated = [number for number, cell in enumerate(first) if _ISO.fullmatch(cell)]
    options: dict[str, Any] = {"files": [path], "is_accounted": False}
    rows = count(table.rows, "row")
    zero = first[dated[0]] if dated else ""
    if "encoderPositions" in name and width == 2:
        arguments: dict[str, Any] = {"file_path": path, **_TEXT_MODES, "column_names": ["time", "position"]}
        arguments |= {
            "time_unit": Mark(_UNIT),
            "counts_per_turn": Mark("steps of the encoder in a turn (1024 in IBL's rigs)"),
        }
        yield Candidate("wheel", "EncoderInterface", arguments, device="encoder", notes=[f"wheel: {rows}"], **options)
    elif "encoderEvents" in name and width == 2:
        arguments = {"file_path": path, **_TEXT_MODES, "column_names": ["time", "code"], "time_unit": Mark(_UNIT)}
        arguments["name_column"] = "code"
        codes = listed(sorted(set(table.texts("1"))))
        yield Candidate(
            "encoder_events",
            "BehaviorEventsInterface",
            arguments,
            device="encoder",
            role="events",
            notes=[f"{rows}; codes {codes}"],
            **options,
        )
    elif "encoderEvents" in name and width == 5 and dated == [4]:
        arguments = _dated(path, ["kind", "module_ms", "from", "code", "date"], zero)
        arguments |= {"name_column": "code", "value_columns": ["module_ms"]}
        codes = listed(sorted(set(table.texts("3"))))
        yield Candidate(
            "encoder_events",
            "BehaviorEventsInterface",
            arguments,
            device="computer",
            role="events",
            notes=[f"{rows}; codes {codes}"],
            start=datetime.fromisoformat(zero),
            **options,
        )
    elif "encoderTrialInfo" in name and dated == [width - 1]:
        columns = ["trial", "position", "contrast", "frequency", "angle", "gain", "sigma", "phase"][: width - 1]
        arguments = {**_dated(path, [*columns, "date"], zero), "event_name": "stimulus"}
        yield Candidate(
            "stimuli",
            "BehaviorEventsInterface",
            arguments,
            device="computer",
            role="events",
            notes=[f"{rows}: a stimulus each"],
            start=datetime.fromisoformat(zero),
            **options,
        )
    elif "Camera.timestamps" in name and width == 2 and dated == [0]:
        arguments = {"file_path": path, **_TEXT_MODES, "time_column": "1", "time_format": "flycapture"}
        notes = [f"{rows}: the camera's own counter (FlyCapture), and the computer's date of each frame"]
        yield Candidate("frames", "CameraTimesInterface", arguments, device="camera", notes=notes, **options)
        arguments = {"file_path": path, **_TEXT_MODES, "time_column": "0", "time_format": "iso", "time_zero": zero}
        yield Candidate(
            "frames_saved",
            "CameraTimesInterface",
            arguments,
            device="computer",
            notes=[f"{rows}: by the computer"],
            start=datetime.fromisoformat(zero),
            **options,
        )


def _dated(path: Path, columns: list[str], zero: str) -> dict[str, Any]:
    arguments: dict[str, Any] = {"file_path": path, **_TEXT_MODES, "column_names": columns, "time_column": "date"}
    return arguments | {"time_unit": "iso", "time_zero": Noted(zero, "the first row")}


def share_zero(candidates: list[Candidate]) -> None:
    """Count the dates of one clock from one zero: the first of them all."""
    zeros: dict[str, list[str]] = {}
    for candidate in candidates:
        if "time_zero" in candidate.args:
            zeros.setdefault(candidate.device, []).append(str(plain(candidate.args["time_zero"])))
    for candidate in candidates:
        if "time_zero" in candidate.args:
            first = min(zeros[candidate.device], key=datetime.fromisoformat)
            candidate.args["time_zero"] = Noted(first, "the first date of this clock")
            candidate.start = datetime.fromisoformat(first)


def find_medpc(tree: RawTree) -> Iterator[Candidate]:
    """Find files of MED-PC: sessions of animals, one after the other."""
    for path in tree.files:
        if path in tree.claimed or path.suffix.lower() not in ("", ".txt"):
            continue
        with tree.note_errors(path):
            with path.open("rb") as binary:
                if not binary.read(64).lstrip().startswith(b"File: "):
                    continue
            text = path.read_text("utf-8", "replace")
            subjects = re.findall(r"^Subject: *(.*?)\s*$", text, re.MULTILINE)
            starts = re.findall(r"^Start Time: *(.*?)\s*$", text, re.MULTILINE)
            dates = re.findall(r"^Start Date: *(.*?)\s*$", text, re.MULTILINE)
            if not subjects:
                continue
            arrays = sorted(set(re.findall(r"^([A-Z]):\s*$", text, re.MULTILINE)))
            sessions = [
                f"Subject {subject}, Start Time {start}" for subject, start in zip(subjects, starts, strict=False)
            ]
            header: Any = {"Subject": subjects[0], "Start Time": starts[0]} if len(subjects) == 1 and starts else None
            hint = "a header line of the session that is meant: {Subject: ..., Start Time: ...}"
            events = "the arrays that hold times of events, each as A: null; their names go into metadata.Events"
            yield Candidate(
                "box",
                "MedPCArrayEventsInterface",
                {"file_path": path, "session_header": header or Mark(hint), "event_configuration": Mark(events)},
                [path],
                role="events",
                is_accounted=False,
                start=_read_medpc_date(dates, starts, len(subjects)),
                notes=[
                    f"{count(len(subjects), 'session')} of MED-PC: {'; '.join(sessions[:9])}",
                    f"arrays {listed(arrays, 30)}",
                ],
            )


def _read_medpc_date(dates: list[str], starts: list[str], sessions: int) -> datetime | None:
    if sessions != 1 or not dates or not starts:
        return None
    try:
        return datetime.strptime(f"{dates[0]} {starts[0]}", "%m/%d/%y %H:%M:%S")
    except ValueError:
        return None


def find_pycontrol(tree: RawTree) -> Iterator[Candidate]:
    """Find sessions of pyControl, of version 1 (.txt) and 2 (.tsv)."""
    for path in tree.free(".txt", ".tsv"):
        with tree.note_errors(path), path.open(encoding="utf-8", errors="replace") as file:
            head = list(islice(file, 3))
            is_first = bool(head) and head[0].startswith("I Experiment name")
            is_second = bool(head) and head[0].rstrip("\r\n").split("\t")[:3] == ["time", "type", "subtype"]
            if is_first or is_second:
                yield Candidate(
                    "task",
                    "PyControlInterface",
                    {"file_path": path},
                    [path],
                    device="pycontrol",
                    role="events",
                    is_accounted=False,
                    notes=["a session of pyControl"],
                )


def find_logs(tree: RawTree) -> Iterator[Candidate]:
    """Find logs of text whose times stand in a second file, one for each line."""
    stamps = [
        (table, times)
        for path in tree.free(".csv", ".txt")
        if (table := read_table(path)) is not None
        and len(table.names) == 1
        and not table.is_headed
        and (times := find_times(table)) is not None
    ]
    for path in tree.free(".txt", ".log"):
        with tree.note_errors(path):
            if read_table(path) is not None:
                continue
            with path.open(encoding="utf-8-sig", errors="replace") as file:
                lines = sum(1 for line in file if line.strip())
            fitting = [(table, times) for table, times in stamps if table.rows == lines and lines > 10]
            if len(fitting) != 1:
                continue
            table, times = fitting[0]
            unit = times.unit or find_unit("", table.numbers(table.names[0]))  # type: ignore[arg-type]
            arguments: dict[str, Any] = {
                "file_path": path,
                "times_file_path": table.path,
                "time_unit": unit or Mark("s, ms or us: the file of times does not say it"),
                "pattern": Mark("a regular expression for a line; its groups (?P<event>...) are the columns"),
                "name_column": Mark("the group with the name of the event"),
            }
            yield Candidate(
                path.stem,
                "BehaviorEventsInterface",
                arguments,
                [path, table.path],
                device="computer",
                role="events",
                is_accounted=False,
                notes=[
                    f"{lines:,} lines of text, as many as {table.path.name} has times, from {times.first_text} on"
                ],
            )
