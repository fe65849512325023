"""Measure the quality of a step's inputs and results, and list the verdicts that a file holds."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from nwbpipe import files
from nwbpipe.errors import NwbpipeError, RequestError, UnknownNameError
from nwbpipe.provenance import RunRecord
from nwbpipe.quality import ThresholdSet, Verdict
from nwbpipe.review._bindings import SESSION_UNITS, WRITTEN, bind_imaging, bind_units, list_current, list_sorted_steps
from nwbpipe.run import Run, process
from nwbpipe.session import SessionFile, SessionReader

_SUFFIX = "_quality"
_TABLES = {"RoiQuality": "roi", "ScanQuality": "scan", "UnitQuality": "unit"}
_NO_METRICS = ("roi", "unit", "verdict", "reasons")


@dataclass(frozen=True)
class QualityVerdict:
    """A verdict in a file.

    Attributes
    ----------
    step : str
        The step that measured.
    about : str
        The step that made the measured result; empty if only a movie was measured.
    of : str
        ``roi``, ``scan`` or ``unit``.
    row : int
        Row of the ROI in its segmentation, of the unit in its table; 0 for the scan.
    verdict : str
        "pass", "warn" or "fail".
    reasons : tuple of str
    metrics : dict of str to float or None
        The measured values; None where one is not defined.
    table : str
        Path of the table in the file.
    label : str
        Name of the unit; empty for ROIs and scans.
    """

    step: str
    about: str
    of: str
    row: int
    verdict: Verdict
    reasons: tuple[str, ...]
    metrics: dict[str, float | None]
    table: str
    label: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return all of it as JSON values."""
        return asdict(self)


def list_imaging_steps(path: Path | str) -> list[str]:
    """Return the steps of a file whose current results are of imaging: a segmentation, or shifts."""
    return SessionFile.at(path).read(lambda reader: list(bind_imaging(reader)))


def list_measurable_steps(path: Path | str) -> list[str]:
    """Return the steps of a file whose current results can be measured: imaging, and units found in a recording."""
    return SessionFile.at(path).read(_list_measurable_steps)


@dataclass(frozen=True)
class SessionQuality:
    """The verdicts of a session of a project.

    Attributes
    ----------
    session : str
        Its key.
    judged : list of QualityVerdict
        As of `verdicts`.
    not_measured : list of str
        Steps with results of imaging, or with units, that have no verdicts.
    missing : bool
        True if the NWB file does not exist yet.
    problem : str
        The error that reading the file gave; empty if it can be read.
    """

    session: str
    judged: list[QualityVerdict] = field(default_factory=list)
    not_measured: list[str] = field(default_factory=list)
    missing: bool = False
    problem: str = ""

    @property
    def failed(self) -> bool:
        """True if any verdict is "fail"."""
        return any(verdict.verdict == "fail" for verdict in self.judged)

    def as_dict(self) -> dict[str, Any]:
        """Return all of it as JSON values."""
        return asdict(self)


def read_session_quality(
    session: str, path: Path | str | None, *, step: str | None = None, thresholds: ThresholdSet | None = None
) -> SessionQuality:
    """Return the verdicts of a session, or the reason for having none (no file: None); see `verdicts`."""
    if path is None:
        return SessionQuality(session, missing=True)

    def read(reader: SessionReader) -> SessionQuality:
        judged = read_verdicts(reader, step, thresholds)
        return SessionQuality(session, judged, _list_unmeasured(_list_measurable_steps(reader), judged, step))

    try:
        return SessionFile.at(path).read(read)
    except (NwbpipeError, OSError) as error:
        return SessionQuality(session, problem=str(error))


def list_unmeasured_steps(path: Path | str, judged: Iterable[QualityVerdict], step: str | None = None) -> list[str]:
    """Return the steps of a file that can be measured, or the named one, that none of these verdicts are about."""
    return _list_unmeasured(list_measurable_steps(path), judged, step)


def _list_unmeasured(steps: Iterable[str], judged: Iterable[QualityVerdict], step: str | None) -> list[str]:
    measured = {name for verdict in judged for name in (verdict.about, verdict.step)}
    return [name for name in steps if name not in measured and step in (None, name)]


def measure_quality(
    path: Path | str,
    step: str,
    *,
    thresholds: ThresholdSet | None = None,
    params: dict[str, Any] | None = None,
    replace: bool = False,
    progress: Callable[[float, str], None] | None = None,
) -> Run:
    """Measure a step's results and what it read, as the step ``<step>_quality``.

    Results of imaging are measured by `ImagingQuality`, units by `UnitQuality`.

    Parameters
    ----------
    path : path
        The session file.
    step : str
        A step with a segmentation, with shifts, or with units; ``units`` is the table ``/units``.
    thresholds : ThresholdSet, optional
        The thresholds of the verdicts. A set without any for the step's kind of result is not used.
    params : dict, optional
        Further parameters of ``imaging_quality`` or ``unit_quality``.
    replace : bool
        Replace earlier metrics of the step, by other thresholds or of another result.
    progress : callable, optional
        Called with a fraction (0 to 1) and a text.

    Raises
    ------
    UnknownNameError
        If the file has no imaging result and no units of that step.
    """
    imaging, units = SessionFile.at(path).read(lambda reader: (bind_imaging(reader), bind_units(reader)))
    if step not in imaging and step not in units:
        msg = f"the file has no imaging result and no units of a step {step!r}"
        hint = "`nwbpipe log FILE.nwb` shows all steps"
        raise UnknownNameError(
            msg, where=str(path), expected=", ".join([*imaging, *units]) or None, found=step, hint=hint
        )
    kinds, processor = (("roi", "scan"), "imaging_quality") if step in imaging else (("unit",), "unit_quality")
    values = dict(params or {})
    if thresholds is not None and any(of in thresholds.bounds for of in kinds):
        bounds = thresholds.as_dict()
        values["thresholds"] = {key: bounds[key] for key in ("name", *kinds) if key in bounds}
    return process(
        path,
        processor,
        step=step + _SUFFIX,
        params=values,
        inputs=imaging[step] if step in imaging else units[step],
        replace=replace,
        progress=progress,
    )


def _list_measurable_steps(reader: SessionReader) -> list[str]:
    return [*bind_imaging(reader), *list_sorted_steps(reader)]


def verdicts(
    path: Path | str, *, step: str | None = None, thresholds: ThresholdSet | None = None
) -> list[QualityVerdict]:
    """Return the verdicts that a file holds, by step: the scan's first, then those of the ROIs or units.

    Parameters
    ----------
    path : path
        The session file.
    step : str, optional
        Only those that this step measured, or that are about its result.
    thresholds : ThresholdSet, optional
        Judge the stored metrics by this set instead; nothing is written.
    """
    return SessionFile.at(path).read(lambda reader: read_verdicts(reader, step, thresholds))


def read_verdicts(
    reader: SessionReader, step: str | None = None, thresholds: ThresholdSet | None = None
) -> list[QualityVerdict]:
    """Do what `verdicts` does, in a file that is open."""
    judged: list[QualityVerdict] = []
    records = list_current(reader)
    for record in records:
        about = _find_measured_step(record, records)
        if step is not None and step not in (record.step, about):
            continue
        for output in record.outputs:
            of = _TABLES.get(output.path.rpartition("/")[2].removesuffix(f"_{record.step}"))
            if of is not None and output.path in reader.file:
                judged += _read_table(reader.file[output.path], record.step, about, of, thresholds)
    return sorted(judged, key=lambda verdict: (verdict.step, verdict.of != "scan", verdict.row))


def passed(path: Path | str, step: str, *, warned: bool = True) -> np.ndarray | None:
    """Return True for each ROI or unit of a step that passed, False for the others; None if they were not measured.

    Parameters
    ----------
    path : path
        The session file.
    step : str
        The step that found the ROIs or units, or the one that measured them.
    warned : bool
        Count those with a warning as passed.

    Raises
    ------
    RequestError
        If several steps measured them.
    """
    return SessionFile.at(path).read(lambda reader: read_passed(reader, step, warned=warned))


def read_passed(reader: SessionReader, step: str, *, warned: bool = True) -> np.ndarray | None:
    """Do what `passed` does, in a file that is open."""
    judged = [verdict for verdict in read_verdicts(reader, step) if verdict.of in ("roi", "unit")]
    if len(measured_by := sorted({verdict.step for verdict in judged})) > 1:
        msg = f"the ROIs or units of {step!r} have more than one verdict"
        hint = "remove all but one of these steps"
        raise RequestError(msg, where=reader.file.filename, found=", ".join(measured_by), hint=hint)
    good = ("pass", "warn") if warned else ("pass",)
    return np.array([verdict.verdict in good for verdict in judged], dtype=bool) if judged else None


def _find_measured_step(record: RunRecord, records: list[RunRecord]) -> str:
    """Return the step that wrote the measured objects, ROIs and units before all others; empty if none did."""
    inputs = {item.name: item.path for item in record.inputs}
    for name in ("units", *WRITTEN):
        for other in records:
            if name in inputs and files.is_below(inputs[name], [output.path for output in other.outputs]):
                return other.step
    return SESSION_UNITS if inputs.get("units") == "/units" else ""


def _read_table(
    table: h5py.Group, step: str, about: str, of: str, thresholds: ThresholdSet | None
) -> Iterator[QualityVerdict]:
    names = [name for name in table.attrs["colnames"] if name not in _NO_METRICS and table[name].dtype.kind in "fiu"]
    columns = {name: table[name][()] for name in names}
    words, reasons = table["verdict"].asstr()[()], table["reasons"].asstr()[()]
    rows = table[of][()] if of in table else range(len(words))
    labels = _read_unit_names(table) if of == "unit" else {}
    for k, row in enumerate(rows):
        metrics = {name: float(values[k]) for name, values in columns.items()}
        causes: tuple[str, ...] = tuple(reason for reason in str(reasons[k]).split("; ") if reason)
        verdict: Verdict = str(words[k])  # type: ignore[assignment]
        if thresholds is not None:
            verdict, broken = thresholds.judge(of, metrics)
            causes = tuple(broken)
        defined = {name: None if math.isnan(value) else value for name, value in metrics.items()}
        label = labels.get(int(row), "")
        yield QualityVerdict(step, about, of, int(row), verdict, causes, defined, table.name, label)


def _read_unit_names(table: h5py.Group) -> dict[int, str]:
    """Return the names of the units that a table is about, by row."""
    units = table.file[table["unit"].attrs["table"]]
    if "unit_name" not in units:
        return {row: str(name) for row, name in enumerate(units["id"][()].tolist())}
    return {row: str(name) for row, name in enumerate(units["unit_name"].asstr()[()])}
