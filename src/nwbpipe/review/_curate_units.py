"""Add a person's curation of units as a table of its own, bound to the run that found the units."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nwbpipe.errors import InputError
from nwbpipe.provenance import ObjectRecord, RunRecord, find_current_record, identify_file
from nwbpipe.review._commit_curation import commit_curation, name_curation
from nwbpipe.review._phy_curation import PhyCuration, check_units, list_curated_files, read_phy_curation
from nwbpipe.review._unit_curation import CuratedUnit, UnitCuration, apply_curation, read_unit_curation
from nwbpipe.session import SessionFile, SessionReader

if TYPE_CHECKING:
    from pynwb import NWBFile


def find_units(reader: SessionReader, step: str) -> tuple[RunRecord, ObjectRecord] | None:
    """Return the step's current run and its table of units; None if it has none."""
    record = find_current_record(reader.records, step)
    for output in record.outputs if record else ():
        if output.path in reader.file and output.neurodata_type == "Units":
            return record, output  # type: ignore[return-value]
    return None


def curate_units(
    session: SessionFile,
    step: str,
    run: RunRecord,
    units: ObjectRecord,
    source: Path | UnitCuration,
    *,
    who: str,
    replace: bool,
    lock_timeout: float,
    seen: str | None = None,
) -> RunRecord:
    """Write ``Units_<step>_curation``: the units as the person sees them; the sorter's own table is not touched.

    Parameters
    ----------
    session : SessionFile
    step : str
    run : RunRecord
        The run that found the units.
    units : ObjectRecord
        Its table.
    source : Path or UnitCuration
        See `read_unit_curation`; or a folder that was exported for Phy: see `read_phy_curation`.
    who : str
    replace : bool
        Replace an earlier curation of the step.
    lock_timeout : float
    seen : str, optional
        See `describe_state`.

    Raises
    ------
    InputError
        If the curation is of other units.
    ResultExistsError
        If the step has a curation, and `replace` is false.
    """
    sources: tuple[dict[str, Any], ...] = ()
    curation: UnitCuration | PhyCuration
    if isinstance(source, UnitCuration):
        curation = source
    else:
        curation = read_phy_curation(source) if source.is_dir() else read_unit_curation(source)
        read_files = list_curated_files(source) if source.is_dir() else [source]
        identities = {file.name: identify_file(file) for file in read_files}
        sources = tuple(
            {"path": name, "size": identity.size, "sha256": identity.sha256} for name, identity in identities.items()
        )
    name = name_curation(step)
    started = datetime.now(UTC)
    values = {"who": who, **curation.as_dict()}

    def write(nwbfile: NWBFile) -> None:
        table = nwbfile.objects.get(units.object_id)
        if table is None:
            msg = "the units were replaced meanwhile"
            raise InputError(msg, where=str(session), hint="look at the new units before curating them")
        ends = np.asarray(table["spike_times"].data[:], dtype=np.int64)
        counts = np.diff(ends, prepend=0).tolist()
        titles = table["unit_name"].data[:] if "unit_name" in table.colnames else table.id.data[:]
        names = [str(title) for title in titles]
        if isinstance(curation, PhyCuration):
            check_units(curation, units.object_id, names, int(ends[-1]) if len(ends) else 0)
            curated = curation.apply(ends)
        else:
            curated = apply_curation(curation, names, counts, ends)
        module = nwbfile.processing.get("ecephys") or nwbfile.create_processing_module(
            "ecephys", "Extracellular electrophysiology: spike sorting"
        )
        module.add(_build_table(name, table, curated, who, started, run))

    return commit_curation(
        session,
        step,
        run,
        # of the table and what it links to, as for an input; the run's record has that of the table alone
        ObjectRecord(
            "units", units.path, units.object_id, units.neurodata_type, session.identity(units.path).identity
        ),
        write,
        values=values,
        sources=sources,
        started=started,
        already="a curation",
        replace=replace,
        lock_timeout=lock_timeout,
        seen=seen,
    )


def _build_table(name: str, units: Any, curated: list[CuratedUnit], who: str, when: datetime, run: RunRecord) -> Any:
    from hdmf.common import DynamicTableRegion, VectorData, VectorIndex
    from pynwb.misc import Units

    times = np.asarray(units["spike_times"].target.data[:], dtype=np.float64)
    trains = [np.sort(times[unit.spikes]) for unit in curated]
    columns: list[Any] = []

    def add_ragged(data: Any, lengths: list[int]) -> None:
        columns.extend(
            [VectorIndex(name=f"{data.name}_index", data=np.cumsum(lengths, dtype="int64"), target=data), data]
        )

    flat = np.concatenate(trains) if trains else np.zeros(0)
    text = "Times of the spikes, in seconds in the session's clock"
    add_ragged(VectorData(name="spike_times", description=text, data=flat), [len(train) for train in trains])
    if "obs_intervals" in units.colnames:
        intervals = [np.asarray(units["obs_intervals"][unit.sources[0]]).reshape(-1, 2) for unit in curated]
        data = np.concatenate(intervals) if intervals else np.zeros((0, 2))
        text = "Stretches that were observed, start and end in seconds"
        add_ragged(VectorData(name="obs_intervals", description=text, data=data), [len(part) for part in intervals])
    rows = (
        np.concatenate([np.asarray(unit.sources, dtype="int64") for unit in curated])
        if curated
        else np.zeros(0, "int64")
    )
    text = f"The units of {units.name} that this one comes from: several where they were merged"
    region = DynamicTableRegion(name="source_units", description=text, data=rows, table=units)
    add_ragged(region, [len(unit.sources) for unit in curated])
    if curated:
        stamp = when.isoformat(timespec="seconds")
        texts = {
            "unit_name": ("Name of the unit", [unit.name for unit in curated]),
            "quality_label": ("The person's label; empty where none was given", [unit.label for unit in curated]),
            "curator": ("Who curated the units", [who] * len(curated)),
            "curated_at": ("When the curation was added to the file, ISO 8601 in UTC", [stamp] * len(curated)),
            "run_id": ("Run that found the source units", [run.run_id] * len(curated)),
        }
        columns += [VectorData(name=key, description=text, data=values) for key, (text, values) in texts.items()]
    return Units(
        name=f"Units_{name}",
        description=f"Units of {units.name} as {who} curated them",
        id=np.arange(len(curated), dtype="int64"),
        columns=columns,
        colnames=[column.name for column in columns if not isinstance(column, VectorIndex)],
        resolution=units.resolution,
    )
