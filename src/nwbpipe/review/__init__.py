"""A person's look at results: compare methods, judge quality, curate."""

from nwbpipe.review._compare import Comparison, StepCost, StepPair, compare
from nwbpipe.review._compare_models import ModelComparison, ModelErrors, compare_models
from nwbpipe.review._compare_units import UnitComparison, UnitMatch, UnitPair, UnitTable, compare_units, has_units
from nwbpipe.review._curate import curate, read_curated_cells, read_labels
from nwbpipe.review._label_tables import LabelRow, LabelTable, list_label_steps, read_label_table
from nwbpipe.review._pose_labels import ImportedLabels, export_pose_labels, import_pose_labels
from nwbpipe.review._pose_project import NewProject, new_pose_project
from nwbpipe.review._quality import (
    QualityVerdict,
    SessionQuality,
    list_imaging_steps,
    list_measurable_steps,
    list_unmeasured_steps,
    measure_quality,
    passed,
    read_session_quality,
    read_verdicts,
    verdicts,
)

__all__ = [
    "Comparison",
    "ImportedLabels",
    "LabelRow",
    "LabelTable",
    "ModelComparison",
    "ModelErrors",
    "NewProject",
    "QualityVerdict",
    "SessionQuality",
    "StepCost",
    "StepPair",
    "UnitComparison",
    "UnitMatch",
    "UnitPair",
    "UnitTable",
    "compare",
    "compare_models",
    "compare_units",
    "curate",
    "export_pose_labels",
    "has_units",
    "import_pose_labels",
    "list_imaging_steps",
    "list_label_steps",
    "list_measurable_steps",
    "list_unmeasured_steps",
    "measure_quality",
    "new_pose_project",
    "passed",
    "read_curated_cells",
    "read_label_table",
    "read_labels",
    "read_session_quality",
    "read_verdicts",
    "verdicts",
]
