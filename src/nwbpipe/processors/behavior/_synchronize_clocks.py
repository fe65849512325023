"""Refuse series whose clock was not aligned to the session's reference clock."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from nwbpipe.errors import InputError
from nwbpipe.provenance import RunRecord, find_current_record, read_alignments, read_records

if TYPE_CHECKING:
    import h5py

_CONVERSION = "convert"


def check_clocks(file: h5py.File, items: Mapping[str, Any]) -> None:
    """Refuse objects whose times, or those of the data that they were computed from, are in an unaligned clock.

    In a file that nwbpipe did not convert nothing says which clock a series was recorded with: NWB's own rule holds
    there, by which all times are seconds from the session's start.

    Parameters
    ----------
    file : h5py.File
        The session file.
    items : mapping of str to pynwb object
        The objects by their paths, which an error names.

    Raises
    ------
    InputError
        The clock was not aligned, or its alignment did not hold and was used nonetheless (``on_misfit: warn``).
    """
    records = read_records(file)
    conversion = find_current_record(records, _CONVERSION)
    if conversion is None:
        return
    specs = conversion.parameters.get("sources", {})
    reference = conversion.parameters.get("reference_clock") or next(iter(specs), "")
    alignments = {record.clock: record for record in read_alignments(file)}
    sources = {output.object_id: output.name.partition(":")[0] for output in conversion.outputs}
    for path, source in _list_sources(items, sources, records):
        clock = specs.get(source, {}).get("clock") or source
        alignment = alignments.get(clock)
        if clock == reference or (alignment is not None and alignment.accepted):
            continue
        if alignment is None and clock in conversion.parameters.get("clocks", {}):
            continue  # a constant that the spec gives, or Unix seconds: there is no evidence to judge
        verdict = "nothing aligns it" if alignment is None else f"its alignment: {alignment.verdict}"
        raise InputError(
            f"the clock {clock!r} is not aligned to the reference clock {reference!r}",
            where=path,
            expected="an accepted alignment",
            found=verdict,
            hint="align the clock in the session.yaml and convert again, or give -p unaligned_clocks=true",
        )


def _list_sources(
    items: Mapping[str, Any], sources: dict[str, str], records: list[RunRecord]
) -> Iterator[tuple[str, str]]:
    """Yield the path of each object with each source that it came from."""
    for path, item in items.items():
        for source in sorted(set(_find_sources(list(_ids(item)), sources, records))):
            yield path, source


def _ids(item: Any) -> Iterator[str]:
    """Return the ids of an object and of what it lies in; a module also holds objects of other sources."""
    while item is not None and type(item).__name__ not in ("ProcessingModule", "NWBFile"):
        yield item.object_id
        item = item.parent


def _find_sources(ids: list[str], sources: dict[str, str], records: list[RunRecord]) -> Iterator[str]:
    """Return the sources that objects came from: by their conversion, or by the runs that computed them."""
    visited: set[str] = set()
    while ids:
        name = ids.pop()
        if name in visited:
            continue
        visited.add(name)
        if name in sources:
            yield sources[name]
        for record in records:
            if record.step != _CONVERSION and any(output.object_id == name for output in record.outputs):
                ids += [bound.object_id for bound in record.inputs]
