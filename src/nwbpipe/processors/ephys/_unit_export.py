"""Write units and their recording for a program in which a person curates them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from nwbpipe.processors._base import Context, Results
from nwbpipe.processors.ephys._unit_quality import UnitQuality, UnitQualityParams

if TYPE_CHECKING:
    from pynwb import NWBFile


class UnitExportParams(UnitQualityParams):
    """Parameters of an export: those of preprocessing and waveforms, as the sorting had them, and the format."""

    to: Literal["phy", "analyzer"] = Field("phy", description="Phy's folder, or SpikeInterface's SortingAnalyzer")


class UnitExport(UnitQuality):
    """Write a folder for Phy or SpikeInterface; nothing is added to the session file.

    It is no step of a project: `nwbpipe.export.export_units` runs it.
    """

    name: ClassVar[str] = "unit_export"
    Params: ClassVar[type[UnitQualityParams]] = UnitExportParams
    compute: ClassVar[str] = "nwbpipe.processors.ephys._unit_export_compute"

    def prepare(self, nwbfile: NWBFile, context: Context) -> Mapping[str, Any]:
        """Check the series and the units, and read the units' names and labels."""
        facts = dict(super().prepare(nwbfile, context))
        units = context.input(nwbfile, "units")
        names = units["unit_name"].data[:] if "unit_name" in units.colnames else units.id.data[:]
        labels = units["quality_label"].data[:] if "quality_label" in units.colnames else [""] * len(units)
        return {
            **facts,
            "unit_names": [str(name) for name in names],
            "quality_labels": [str(label) for label in labels],
            "units_object": units.object_id,
        }

    def write(self, nwbfile: NWBFile, results: Results, context: Context) -> None:
        """Add nothing: the folder is the result."""
