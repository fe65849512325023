"""Measure the quality of what steps read and wrote, and list the verdicts that a file holds."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from nwbpipe import files
from nwbpipe import session as session_file
from nwbpipe.errors import NwbpipeError, RequestError, UnknownNameError
from nwbpipe.provenance import RunRecord, read_records
from nwbpipe.quality import ThresholdSet, Verdict
from nwbpipe.review._imaging_results import SEGMENTATION, SHIFTS, find_output
from nwbpipe.run import Run, process

_SUFFIX = "_quality"
_TABLES = {"RoiQuality": "roi", "ScanQuality": "scan"}
_WRITTEN = {
    "segmentation": SEGMENTATION,
    "traces": "Fluorescence_{0}/RoiResponseSeries",
    "neuropil": "Fluorescence_{0}/Neuropil",
    "shifts": SHIFTS,
}


@dataclass(frozen=True)
class QualityVerdict:
    """A verdict in a file.

    Attributes
    ----------
    step : str
        The step that measured.
    about : str
        The step whose result was measured; empty if it was a movie alone.
    of : str
        ``roi`` or ``scan``.
    row : int
        Row of the ROI in its segmentation; 0 for the scan.
    verdict : str
        "pass", "warn" or "fail".
    reasons : tuple of str
    metrics : dict of str to float or None
        What was measured; None where it can't be told.
    table : str
        Path of the table in the file.
    """

    step: str
    about: str
    of: str
    row: int
    verdict: Verdict
    reasons: tuple[str, ...]
    metrics: dict[str, float | None]
    table: str

    def as_dict(self) -> dict[str, Any]:
        """Return all of it as JSON values."""
        return asdict(self)


def list_imaging_steps(path: Path | str) -> list[str]:
    """Return the steps of a file whose current results are of imaging: a segmentation, or shifts."""
    return [step for step, found in _find_bindings(path).items() if found]


@dataclass(frozen=True)
class SessionQuality:
    """The verdicts of a session of a project.

    Attributes
    ----------
    session : str
        Its key.
    judged : list of Judged
        As of `verdicts`.
    not_measured : list of str
        Steps with results of imaging that have no verdicts.
    missing : bool
        Whether there is no NWB file yet.
    problem : str
        Why the file can't be read; empty if it can.
    """

    session: str
    judged: list[QualityVerdict] = field(default_factory=list)
    not_measured: list[str] = field(default_factory=list)
    missing: bool = False
    problem: str = ""

    @property
    def failed(self) -> bool:
        """Whether anything in it fails."""
        return any(one.verdict == "fail" for one in self.judged)

    def as_dict(self) -> dict[str, Any]:
        """Return all of it as JSON values."""
        return asdict(self)


def read_session_quality(
    session: str, path: Path | str | None, *, step: str | None = None, thresholds: ThresholdSet | None = None
) -> SessionQuality:
    """Return the verdicts of a session, or why there are none (no file: None); see `verdicts`."""
    if path is None:
        return SessionQuality(session, missing=True)
    try:
        judged = verdicts(path, step=step, thresholds=thresholds)
        return SessionQuality(session, judged, list_unmeasured_steps(path, judged, step))
    except (NwbpipeError, OSError) as error:
        return SessionQuality(session, problem=str(error))


def list_unmeasured_steps(path: Path | str, judged: Iterable[QualityVerdict], step: str | None = None) -> list[str]:
    """Return the imaging steps of a file, or the one that is named, that none of these verdicts are about."""
    done = {one.about for one in judged} | {one.step for one in judged}
    return [one for one in list_imaging_steps(path) if one not in done and step in (None, one)]


def measure_quality(
    path: Path | str,
    step: str,
    *,
    thresholds: ThresholdSet | None = None,
    params: dict[str, Any] | None = None,
    replace: bool = False,
    progress: Callable[[float, str], None] | None = None,
) -> Run:
    """Measure what an imaging step read and wrote, as the step ``<step>_quality``; see `ImagingQuality`.

    Parameters
    ----------
    path : path
        The session file.
    step : str
        A step with a segmentation, or with shifts.
    thresholds : ThresholdSet, optional
        The set that the verdicts are by.
    params : dict, optional
        Further parameters of ``imaging_quality``.
    replace : bool
        Whether earlier metrics of the step, by other thresholds or of another result, may be replaced.
    progress : callable, optional
        Called with a fraction (0 to 1) and a text.

    Raises
    ------
    UnknownNameError
        If the file has no imaging result of that step.
    """
    found = _find_bindings(path)
    if not found.get(step):
        msg = f"the file has no imaging result of a step {step!r}"
        known = ", ".join(name for name, bindings in found.items() if bindings)
        hint = "`nwbpipe log FILE.nwb` shows all steps"
        raise UnknownNameError(msg, where=str(path), expected=known or None, found=step, hint=hint)
    values = dict(params or {})
    if thresholds is not None:
        values["thresholds"] = thresholds.as_dict()
    name = step + _SUFFIX
    return process(
        path, "imaging_quality", step=name, params=values, inputs=found[step], replace=replace, progress=progress
    )


def _read_current_records(path: Path | str) -> list[RunRecord]:
    return [one for one in read_records(session_file.check_readable(path)) if not one.superseded]


def _find_bindings(path: Path | str) -> dict[str, dict[str, str]]:
    """For each step, the inputs of ``imaging_quality``: what it wrote, and the movie that it read."""
    steps = {}
    records = _read_current_records(path)
    with session_file.open_hdf5(path) as file:
        for record in records:
            places = {name: find_output(file, record, pattern) for name, pattern in _WRITTEN.items()}
            found = {name: place for name, place in places.items() if place is not None}
            if found:
                found.update({one.name: one.path for one in record.inputs if one.name == "movie"})
            steps[record.step] = found
    return steps


def verdicts(
    path: Path | str, *, step: str | None = None, thresholds: ThresholdSet | None = None
) -> list[QualityVerdict]:
    """Return the verdicts that a file holds, by step: the scan's first, then those of the ROIs.

    Parameters
    ----------
    path : path
        The session file.
    step : str, optional
        Only those that this step measured, or that are about its result.
    thresholds : ThresholdSet, optional
        Judge the stored metrics by this set instead; nothing is written.
    """
    judged: list[QualityVerdict] = []
    records = _read_current_records(path)
    with session_file.open_hdf5(path) as file:
        for record in records:
            about = _find_measured_step(record, records)
            if step is not None and step not in (record.step, about):
                continue
            for output in record.outputs:
                of = _TABLES.get(output.path.rpartition("/")[2].removesuffix(f"_{record.step}"))
                if of is not None and output.path in file:
                    judged += _read_table(file[output.path], record.step, about, of, thresholds)
    return sorted(judged, key=lambda one: (one.step, one.of != "scan", one.row))


def passed(path: Path | str, step: str, *, warned: bool = True) -> np.ndarray | None:
    """Return for each ROI of a step whether it passed; None if it was not measured.

    Parameters
    ----------
    path : path
        The session file.
    step : str
        The step whose ROIs they are, or the one that measured them.
    warned : bool
        Whether an ROI with a warning counts as passed.

    Raises
    ------
    RequestError
        If several steps measured them: which is meant?
    """
    found = [one for one in verdicts(path, step=step) if one.of == "roi"]
    if len(measured_by := sorted({one.step for one in found})) > 1:
        msg = f"the ROIs of {step!r} have more than one verdict"
        raise RequestError(
            msg, where=str(path), found=", ".join(measured_by), hint="remove all but one of these steps"
        )
    good = ("pass", "warn") if warned else ("pass",)
    return np.array([one.verdict in good for one in found], dtype=bool) if found else None


def _find_measured_step(record: RunRecord, records: list[RunRecord]) -> str:
    """Return the step that wrote what a run measured, its ROIs before all else; empty if none did."""
    read = {one.name: one.path for one in record.inputs}
    for name in _WRITTEN:
        for other in records:
            if name in read and files.is_below(read[name], [output.path for output in other.outputs]):
                return other.step
    return ""


def _read_table(
    table: h5py.Group, step: str, about: str, of: str, thresholds: ThresholdSet | None
) -> Iterator[QualityVerdict]:
    names = [name for name in table.attrs["colnames"] if name not in ("roi", "verdict", "reasons")]
    columns = {name: table[name][()] for name in names}
    told, reasons = table["verdict"].asstr()[()], table["reasons"].asstr()[()]
    rows = table["roi"][()] if "roi" in table else range(len(told))
    for k, row in enumerate(rows):
        metrics = {name: float(values[k]) for name, values in columns.items()}
        why: tuple[str, ...] = tuple(one for one in str(reasons[k]).split("; ") if one)
        verdict: Verdict = str(told[k])  # type: ignore[assignment]
        if thresholds is not None:
            verdict, found = thresholds.judge(of, metrics)
            why = tuple(found)
        known = {name: None if math.isnan(value) else value for name, value in metrics.items()}
        yield QualityVerdict(step, about, of, int(row), verdict, why, known, table.name)
