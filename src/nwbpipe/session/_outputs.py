"""Which containers a processor's write added, and that they are where results belong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nwbpipe.errors import InvalidResultError
from nwbpipe.provenance import ObjectRecord

if TYPE_CHECKING:
    from pynwb import NWBFile


def list_object_ids(nwbfile: NWBFile) -> set[str]:
    """Ids of all objects of the file as it is now."""
    return {found.object_id for found in nwbfile.all_children()}


def find_new_outputs(nwbfile: NWBFile, before: set[str]) -> tuple[ObjectRecord, ...]:
    """Return the containers that were added since `before`: those of processing modules, and the units.

    Raises
    ------
    InvalidResultError
        If something was added elsewhere, where it could not be told from raw data, or nothing at all.
    """
    added = [found for found in nwbfile.all_children() if found.object_id not in before]
    new = {found.object_id for found in added}
    tops = [found for found in added if _is_top(found, new)]
    if not tops:
        msg = "the processor wrote nothing"
        raise InvalidResultError(msg, expected="containers of a ProcessingModule", hint="a fault of the processor")
    return tuple(
        ObjectRecord(found.name, _find_path(nwbfile, found), found.object_id, _type_name(found)) for found in tops
    )


def _is_top(found: Any, new: set[str]) -> bool:
    if _type_name(found) == "ProcessingModule":
        return False
    parent = found.parent
    return parent is None or parent.object_id not in new or _type_name(parent) == "ProcessingModule"


def _find_path(nwbfile: NWBFile, found: Any) -> str:
    if found is nwbfile.units:
        return "/units"
    parent = found.parent
    if parent is not None and _type_name(parent) == "ProcessingModule":
        return f"/processing/{parent.name}/{found.name}"
    msg = "the processor wrote outside of the processing modules"
    raise InvalidResultError(
        msg, where=f"{getattr(parent, 'name', 'no parent')}/{found.name}", hint="a fault of the processor: report it"
    )


def _type_name(container: Any) -> str:
    """NWB type of an object; hdmf's own types call it otherwise."""
    return str(getattr(container, "neurodata_type", None) or container.data_type)
