"""Rules of identity: the attributes, columns and types that give values their meaning."""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np

from nwbpipe.provenance._hashing import format_type

EXCLUDED = frozenset(
    {
        # Names and bookkeeping of NWB and HDF5.
        "object_id",
        "namespace",
        ".specloc",
        "REFERENCE_LIST",
        "DIMENSION_LIST",
        "DIMENSION_LABELS",
        # Free text (as attributes, or as scalar text datasets).
        "description",
        "comments",
        "help",
        # The individual device.
        "manufacturer",
        "model_name",
        "model_number",
        "serial_number",
    }
)
"""Attributes, and scalar text datasets, that an identity leaves out."""

MASK_COLUMNS = frozenset({"id", "image_mask", "pixel_mask", "voxel_mask"})
ELECTRODE_COLUMNS = frozenset(
    {
        *("id", "x", "y", "z", "rel_x", "rel_y", "rel_z", "imp", "location", "filtering", "reference"),
        *("group", "group_name", "shank_ids", "contact_shapes", "inter_sample_shift"),
        *("gain_to_uV", "offset_to_uV", "gain_to_physical_unit", "offset_to_physical_unit", "physical_unit"),
    }
)
"""Columns of the electrodes table with meaning; columns that others add don't change a recording."""

NO_MEANING_TYPES = frozenset({"Device", "DeviceModel"})
TABLE_LINKS = {"PlaneSegmentation": ("imaging_plane",)}


def read_text_attribute(obj: Any, name: str) -> str:
    """Return a text attribute, or empty text."""
    value = obj.attrs.get(name, "")
    return value.decode() if isinstance(value, bytes) else str(value)


def find_padding(type_id: Any) -> bytes:
    """Return the character that pads fixed-length text of this type; empty for null padding."""
    padded = (
        isinstance(type_id, h5py.h5t.TypeStringID)
        and not type_id.is_variable_str()
        and type_id.get_strpad() == h5py.h5t.STR_SPACEPAD
    )
    return b" " if padded else b""


def is_free_text(name: str, obj: Any) -> bool:
    """Return True if a child of a group is a scalar text that is excluded like an attribute of its name."""
    return (
        name in EXCLUDED
        and isinstance(obj, h5py.Dataset)
        and obj.shape == ()
        and format_type(obj.dtype) == "text"
        and "neurodata_type" not in obj.attrs  # a column of a table is data
    )


def list_meaningful_columns(table: h5py.Group, kind: str) -> list[str]:
    """Return the columns with meaning of a table of that neurodata type.

    Electrodes: position, group, location, …; plane segmentations: the masks. Other tables: all.
    """
    names = {str(name) for name in table.attrs.get("colnames", ())} | {"id"}
    if kind == "PlaneSegmentation":
        names &= MASK_COLUMNS
    elif kind == "ElectrodesTable" or (table.name or "").endswith("/extracellular_ephys/electrodes"):
        names &= ELECTRODE_COLUMNS
    return sorted(name for name in names if name in table)


def describe_selection(reference: h5py.RegionReference, holder: Any) -> str:
    """Return the selection of a region reference as text."""
    space = h5py.h5r.get_region(reference, holder.id)
    chosen = space.get_select_type()
    if chosen == h5py.h5s.SEL_HYPERSLABS:
        selection = space.get_select_hyper_blocklist()
    elif chosen == h5py.h5s.SEL_POINTS:
        selection = space.get_select_elem_pointlist()
    else:
        selection = np.array([chosen])
    return str(np.asarray(selection).tolist())
