"""Fields of view of ScanImage's multi-ROI mode: rows of a page, with the lines of the fly-to between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nwbpipe.errors import SourceError


@dataclass(frozen=True)
class FieldOfView:
    """A field of view in the pages of a multi-ROI acquisition.

    Attributes
    ----------
    name : str
        Name of its ROI, or its number (from 1) where the ROI has no name of its own.
    first_row, rows, columns : int
        Its place in a page, and its size in pixels.
    spacing_um : (float, float), optional
        Size of a pixel in x and y, in micrometers.
    center_um : (float, float), optional
        Center of the field in x and y, in micrometers from the center of the objective.
    """

    name: str
    first_row: int
    rows: int
    columns: int
    spacing_um: tuple[float, float] | None = None
    center_um: tuple[float, float] | None = None


def list_rois(metadata: Mapping[str, Any]) -> list[tuple[str, list[dict[str, Any]]]]:
    """Return the name and the enabled scan fields of each ROI, in the order in which they are scanned."""
    groups = (metadata.get("RoiGroups") or {}).get("imagingRoiGroup") or {}
    rois = [(roi, _as_list(roi.get("scanfields"))) for roi in _as_list(groups.get("rois"))]
    enabled = [
        (str(roi.get("name") or ""), [field for field in fields if field.get("enable", 1)])
        for roi, fields in rois
        if roi.get("enable", 1)
    ]
    enabled = [(name, fields) for name, fields in enabled if fields]
    names = [name for name, _ in enabled]
    return [
        (name if name and names.count(name) == 1 else str(number), fields)
        for number, (name, fields) in enumerate(enabled, 1)
    ]


def list_fields(metadata: Mapping[str, Any], shape: tuple[int, int]) -> list[FieldOfView]:
    """Find the fields of view of an acquisition in its pages.

    The pages hold the fields below each other, in the order of the ROIs. Between two of them lie the lines that were
    scanned on the way, as many between each pair.

    Parameters
    ----------
    metadata : mapping
        ScanImage's metadata, as tifffile reads them.
    shape : (int, int)
        Rows and columns of a page.

    Returns
    -------
    list of FieldOfView
        Empty without the multi-ROI mode, or with a single field; and where the fields do not fit the page, or differ
        from plane to plane.
    """
    settings = metadata["FrameData"]
    rois = list_rois(metadata)
    if not settings.get("SI.hRoiManager.mroiEnable") or len(rois) < 2 or any(len(fields) > 1 for _, fields in rois):
        return []
    sizes = [(int(fields[0]["pixelResolutionXY"][1]), int(fields[0]["pixelResolutionXY"][0])) for _, fields in rois]
    between = shape[0] - sum(rows for rows, _ in sizes)
    if between < 0 or between % (len(sizes) - 1) or any(columns != shape[1] for _, columns in sizes):
        return []
    scale = settings.get("SI.objectiveResolution")  # micrometers for a degree, the unit of the scan fields
    result, row = [], 0
    for (name, fields), (rows, columns) in zip(rois, sizes, strict=True):
        spacing = center = None
        if scale and "sizeXY" in fields[0] and "centerXY" in fields[0]:
            size = fields[0]["sizeXY"]
            spacing = float(size[0]) * float(scale) / columns, float(size[1]) * float(scale) / rows
            center = float(fields[0]["centerXY"][0]) * float(scale), float(fields[0]["centerXY"][1]) * float(scale)
        result.append(FieldOfView(name, row, rows, columns, spacing, center))
        row += rows + between // (len(sizes) - 1)
    return result


def choose_field(metadata: Mapping[str, Any], shape: tuple[int, int], name: str, where: str) -> FieldOfView:
    """Return the field of view of a name.

    Raises
    ------
    SourceError
        No field has it.
    """
    fields = list_fields(metadata, shape)
    for field in fields:
        if field.name == name:
            return field
    raise SourceError(
        f"the file holds no field of view called {name!r}",
        where=where,
        expected=" or ".join(field.name for field in fields) or "a file with several fields of view, of one plane",
        found=name,
        hint="name a field in args, or leave `field` out",
    )


def _as_list(value: Any) -> list[Any]:
    return [] if value is None else value if isinstance(value, list) else [value]
