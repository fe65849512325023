"""Find the containers that a processor's write added, and refuse those outside of processing modules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nwbpipe.errors import InvalidResultError
from nwbpipe.provenance import ObjectRecord

if TYPE_CHECKING:
    from pynwb import NWBFile


def list_object_ids(nwbfile: NWBFile) -> set[str]:
    """Return the ids of all objects of the file as it is now."""
    return {item.object_id for item in nwbfile.all_children()}


def find_new_outputs(nwbfile: NWBFile, old_ids: set[str]) -> tuple[ObjectRecord, ...]:
    """Return the containers that are not among `old_ids`: those of processing modules, and the units.

    Raises
    ------
    InvalidResultError
        If something was added elsewhere, where it could not be told from raw data, or nothing at all.
    """
    added = [item for item in nwbfile.all_children() if item.object_id not in old_ids]
    new_ids = {item.object_id for item in added}
    outermost = [item for item in added if _is_outermost(item, new_ids)]
    if not outermost:
        msg = "the processor wrote nothing"
        raise InvalidResultError(msg, expected="containers of a ProcessingModule", hint="a fault of the processor")
    return tuple(
        ObjectRecord(item.name, _find_path(nwbfile, item), item.object_id, _type_name(item)) for item in outermost
    )


def _is_outermost(item: Any, new_ids: set[str]) -> bool:
    if _type_name(item) == "ProcessingModule":
        return False
    parent = item.parent
    return parent is None or parent.object_id not in new_ids or _type_name(parent) == "ProcessingModule"


def _find_path(nwbfile: NWBFile, item: Any) -> str:
    if item is nwbfile.units:
        return "/units"
    parent = item.parent
    if parent is not None and _type_name(parent) == "ProcessingModule":
        return f"/processing/{parent.name}/{item.name}"
    msg = "the processor wrote outside of the processing modules"
    raise InvalidResultError(
        msg, where=f"{getattr(parent, 'name', 'no parent')}/{item.name}", hint="a fault of the processor: report it"
    )


def _type_name(container: Any) -> str:
    """Return the NWB type of an object; hdmf's own types store it under another name."""
    return str(getattr(container, "neurodata_type", None) or container.data_type)
