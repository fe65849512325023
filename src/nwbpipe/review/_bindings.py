"""Find what the quality of a step is measured on: its results, and the data that it read."""

from __future__ import annotations

from nwbpipe.provenance import RunRecord
from nwbpipe.review._imaging_results import SEGMENTATION, SHIFTS, find_output
from nwbpipe.session import SessionReader

#: The table of a file that no step needs to have written.
SESSION_UNITS = "units"
#: What `imaging_quality` measures: its inputs, and the objects of a step that they are.
WRITTEN = {
    "segmentation": SEGMENTATION,
    "traces": "Fluorescence_{0}/RoiResponseSeries",
    "neuropil": "Fluorescence_{0}/Neuropil",
    "shifts": SHIFTS,
}


def list_current(reader: SessionReader) -> list[RunRecord]:
    """Return the records that are not superseded."""
    return [record for record in reader.records if not record.superseded]


def bind_imaging(reader: SessionReader) -> dict[str, dict[str, str]]:
    """Return the inputs of ``imaging_quality`` for each step: its results, and the movie that it read."""
    bindings = {}
    for record in list_current(reader):
        outputs = {name: find_output(reader.file, record, pattern) for name, pattern in WRITTEN.items()}
        inputs = {name: path for name, path in outputs.items() if path is not None}
        if inputs:
            inputs |= {item.name: item.path for item in record.inputs if item.name == "movie"}
            bindings[record.step] = inputs
    return bindings


def bind_units(reader: SessionReader) -> dict[str, dict[str, str]]:
    """Return the inputs of ``unit_quality`` for each step: its units, and the recording that they were found in.

    What a sorter read beside the recording (labels of channels, artefacts) is bound as well. Units that were curated
    or put together are measured on the recording of their source; they have none here if it is not a single one.
    """
    records, bindings = list_current(reader), {}
    for record in records:
        path = find_units_path(reader, record)
        if path is None:
            continue
        sources = _find_sources(record, records)
        recordings = {item.path for source in sources for item in source.inputs if item.name == "recording"}
        inputs = {"units": path}
        if len(recordings) == 1:
            inputs |= {
                item.name: item.path
                for item in sources[0].inputs
                if item.name in ("recording", "channels", "artifacts") and item.path in reader.file
            }
        bindings[record.step] = inputs
    if "units" in reader.file and not any(inputs["units"] == "/units" for inputs in bindings.values()):
        bindings[SESSION_UNITS] = {"units": "/units"}
    return bindings


def list_sorted_steps(reader: SessionReader) -> list[str]:
    """Return the steps whose units were found in a recording of the file."""
    sorted_steps = {
        record.step for record in list_current(reader) if any(item.name == "recording" for item in record.inputs)
    }
    return [step for step in bind_units(reader) if step in sorted_steps]


def find_units_path(reader: SessionReader, record: RunRecord) -> str | None:
    """Return the path of the table of units that a run wrote."""
    paths = [output.path for output in record.outputs if output.neurodata_type == "Units"]
    return next((path for path in paths if path in reader.file), None)


def _find_sources(record: RunRecord, records: list[RunRecord]) -> list[RunRecord]:
    """Return the runs that found the units of a run in a recording: itself, or those that its units come from."""
    sources, open_records, visited = [], [record], set()
    while open_records:
        current = open_records.pop()
        if current.run_id in visited:
            continue
        visited.add(current.run_id)
        if any(item.name == "recording" for item in current.inputs):
            sources.append(current)
            continue
        tables = {item.path for item in current.inputs if item.neurodata_type == "Units"}
        open_records += [source for source in records if tables & {output.path for output in source.outputs}]
    return sources
