"""Export a step's units, with their preprocessed recording, for Phy or SpikeInterface."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from nwbpipe import environments
from nwbpipe.errors import InputError, OverwriteError, UnknownNameError
from nwbpipe.export._write import new_path
from nwbpipe.processors import Context, validate_params
from nwbpipe.processors.ephys import UnitExport, UnitExportParams
from nwbpipe.provenance import RunRecord, find_current_record
from nwbpipe.run import run_aside
from nwbpipe.session import SessionFile, SessionReader

_FOLDER = "export"


def export_units(
    path: Path | str,
    step: str,
    folder: Path | str,
    *,
    to: Literal["phy", "analyzer"] = "phy",
    recording: str | None = None,
    threads: int | None = None,
    timeout: float | None = None,
    progress: Callable[[float, str], None] | None = None,
) -> Path:
    """Write a folder of the units that a step found, for Phy or for SpikeInterface's programs.

    What a person changes in it comes back with `nwbpipe.review.curate`. The folder holds the recording as it was
    preprocessed for sorting (16-bit integers), and is as large. The session file is not changed.

    Parameters
    ----------
    path : path
        The session file.
    step : str
        The step that found, loaded or curated the units.
    folder : path
        It must not exist, or be empty.
    to : {"phy", "analyzer"}
        Phy's template-gui, or a folder with SpikeInterface's SortingAnalyzer (``analyzer``) and ``recording``.
    recording : str, optional
        The `ElectricalSeries`; that of the step by default.
    threads : int, optional
    timeout : float, optional
        Seconds after which the tool is stopped.
    progress : callable, optional
        Called with a fraction (0 to 1) and a text.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    UnknownNameError
        If the file has no units of that step.
    OverwriteError
        If the folder holds files.
    InputError
        If the recording is not known.
    """
    target = Path(folder)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        msg = "the folder exists, and is not empty"
        raise OverwriteError(msg, where=str(target), expected="a new folder", hint="choose another name")
    session = SessionFile.at(path)
    bindings, parameters, seed = session.read(lambda reader: _describe_units(reader, step, recording, str(session)))
    method = UnitExport()
    params = validate_params(method, {**parameters, "to": to})
    environment = environments.find(method.tool_for(params))
    context = Context(f"{step}_{to}", params, {})

    def keep(scratch: Path, _: Mapping[str, Any]) -> None:
        with new_path(target) as partial:
            shutil.move(scratch / _FOLDER, partial)

    run_aside(
        session, method, context, bindings, keep,
        environment=environment, seed=seed, threads=threads, timeout=timeout, progress=progress,
    )  # fmt: skip
    return target


def _describe_units(
    reader: SessionReader, step: str, recording: str | None, where: str
) -> tuple[dict[str, str], dict[str, Any], int]:
    """Return the inputs of the export, and parameters and seed of the sorting."""
    record = find_current_record(reader.records, step)
    units = _find_units(reader, record)
    if record is None or units is None:
        msg = f"the file has no units of a step {step!r}"
        raise UnknownNameError(msg, where=where, found=step, hint="`nwbpipe log FILE.nwb` shows the runs")
    bindings = {"units": units}
    sorting = _find_origin(reader, record)
    if recording is None and "recording" not in {item.name for item in sorting.inputs}:
        msg = "the recording of the units is not known"
        raise InputError(msg, where=units, hint="name it: --recording acquisition/ElectricalSeries")
    bindings |= {
        item.name: item.path for item in sorting.inputs if item.name in UnitExport.inputs and item.name != "units"
    }
    if recording is not None:
        bindings["recording"] = recording
    fields = set(UnitExportParams.model_fields)
    parameters = {name: value for name, value in sorting.parameters.items() if name in fields}
    if parameters.get("motion") == "sorter":  # the sorter's own correction is not in the traces
        parameters["motion"] = "none"
    return bindings, parameters, sorting.seed or 0


def _find_units(reader: SessionReader, record: RunRecord | None) -> str | None:
    """Return the path of a run's table of units."""
    for output in record.outputs if record is not None else ():
        if output.neurodata_type == "Units" and output.path in reader.file:
            return output.path
    return None


def _find_origin(reader: SessionReader, record: RunRecord) -> RunRecord:
    """Return the run that found the units: that of a curation's units, or the run itself."""
    for _ in range(len(reader.records)):
        source = next((item for item in record.inputs if item.neurodata_type == "Units"), None)
        if source is None:
            return record
        origin = next(
            (
                run
                for run in reader.records
                if not run.superseded and any(output.path == source.path for output in run.outputs)
            ),
            None,
        )
        if origin is None:
            return record
        record = origin
    return record
