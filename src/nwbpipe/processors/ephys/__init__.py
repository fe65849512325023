"""Processors of extracellular electrophysiology."""

from nwbpipe.processors.ephys._band_power import BandPower, BandPowerParams
from nwbpipe.processors.ephys._lfp import Lfp, LfpParams
from nwbpipe.processors.ephys._motion import Motion, MotionParams
from nwbpipe.processors.ephys._parameters import SpikeSortingParams
from nwbpipe.processors.ephys._recording_quality import RecordingQuality, RecordingQualityParams
from nwbpipe.processors.ephys._ripples import Ripples, RipplesParams
from nwbpipe.processors.ephys._session_units import SessionUnits, SessionUnitsParams
from nwbpipe.processors.ephys._spikesorting import SpikeSorting
from nwbpipe.processors.ephys._unit_export import UnitExport, UnitExportParams
from nwbpipe.processors.ephys._unit_metrics import DESCRIPTIONS as UNIT_METRICS
from nwbpipe.processors.ephys._unit_psth import UnitPsth, UnitPsthParams
from nwbpipe.processors.ephys._unit_quality import UnitQuality, UnitQualityParams
from nwbpipe.processors.ephys._unitrefine import (
    UnitRefine,
    UnitRefineModel,
    UnitRefineModelParams,
    UnitRefineParams,
)

__all__ = [
    "UNIT_METRICS",
    "BandPower",
    "BandPowerParams",
    "Lfp",
    "LfpParams",
    "Motion",
    "MotionParams",
    "RecordingQuality",
    "RecordingQualityParams",
    "Ripples",
    "RipplesParams",
    "SessionUnits",
    "SessionUnitsParams",
    "SpikeSorting",
    "SpikeSortingParams",
    "UnitExport",
    "UnitExportParams",
    "UnitPsth",
    "UnitPsthParams",
    "UnitQuality",
    "UnitQualityParams",
    "UnitRefine",
    "UnitRefineModel",
    "UnitRefineModelParams",
    "UnitRefineParams",
]
