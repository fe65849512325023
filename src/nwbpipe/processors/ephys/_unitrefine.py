"""The processors ``unitrefine_model`` and ``unitrefine``: trained classifiers of units, and their labels."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from nwbpipe.environments import Tool
from nwbpipe.errors import InputError
from nwbpipe.machine import is_trusted
from nwbpipe.processors._base import Context, Input, Params, Processor, Results
from nwbpipe.processors._project_scope import Artefact, Folder, ProjectProcessor

if TYPE_CHECKING:
    from pynwb import NWBFile

# Earlier versions of skops load some types that they call untrusted (CVE-2025-54412, -54413, -54886).
SKOPS = Tool(
    "skops", ("skops>=0.13", "scikit-learn>=1.3", "pandas>=2", "h5py>=3.8"), licence="MIT", module="skops.io"
)


class UnitRefineModelParams(Params):
    """Parameters of ``unitrefine_model``: there are none."""


class UnitRefineModel(ProjectProcessor):
    """Classifiers of units that were trained before (by UnitRefine or SpikeInterface), taken as they are.

    Each is a folder with one ``.skops`` file and, to name its labels, ``model_info.json``. Pickles are refused. A
    file with types that skops does not trust by itself (the trees of a random forest are such) is refused until you
    trust its folder: ``nwbpipe trust FOLDER``.

    The artefact: ``noise_neural/`` and ``sua_mua/`` with these files, ``model.json`` (metrics and labels of each).
    """

    name: ClassVar[str] = "unitrefine_model"
    revision: ClassVar[int] = 1
    inputs: ClassVar[Mapping[str, Input]] = {
        "noise_neural": Folder(doc="a classifier of noise and neural units", optional=True),
        "sua_mua": Folder(doc="a classifier of single and multi-unit activity", optional=True),
    }
    Params: ClassVar[type[UnitRefineModelParams]] = UnitRefineModelParams
    tool: ClassVar[Tool] = SKOPS
    compute: ClassVar[str] = "nwbpipe.processors.ephys._unitrefine_model_compute"

    def prepare_folders(self, context: Context) -> Mapping[str, Any]:
        """Return for each folder whether the user trusts it."""
        if not context.inputs:
            msg = "no classifier is named"
            raise InputError(msg, expected='inputs.noise_neural = "FOLDER", inputs.sua_mua = "FOLDER", or both')
        return {"trusted": {name: is_trusted(Path(bound.folder)) for name, bound in context.inputs.items()}}

    def make(self, folder: Path, results: Results, context: Context) -> None:
        """Write the classifiers, and what they need and give."""
        for name, files in results.arrays["files"].items():
            (folder / name).mkdir()
            for file, content in files.items():
                (folder / name / file).write_bytes(np.asarray(content[()]).tobytes())
        text = json.dumps(dict(results.summary["models"]), indent=1, sort_keys=True)
        (folder / "model.json").write_text(text, encoding="utf-8")


class UnitRefineParams(Params):
    """Parameters of ``unitrefine``: there are none."""


class UnitRefine(Processor):
    """Label units by trained classifiers of their metrics: noise or neural, then single or multi-unit activity.

    Of the metrics that ``unit_quality`` measured nothing is computed again. Results go into ``ecephys``:
    ``UnitLabels_<step>``, a row for each unit, with ``unitrefine_label`` and ``unitrefine_probability``.

    Notes
    -----
    UnitRefine: Jain et al. 2025, bioRxiv 2025.03.30.645770.
    """

    name: ClassVar[str] = "unitrefine"
    revision: ClassVar[int] = 1
    module: ClassVar[str] = "ecephys"
    containers: ClassVar[tuple[str, ...]] = ("UnitLabels",)
    inputs: ClassVar[Mapping[str, Input]] = {
        "quality": Input(
            "DynamicTable", but_not=("Units", "TimeIntervals"), doc="UnitQuality_<step> of unit_quality"
        ),
        "model": Artefact("unitrefine_model", doc="the classifiers"),
    }
    Params: ClassVar[type[UnitRefineParams]] = UnitRefineParams
    tool: ClassVar[Tool] = SKOPS
    compute: ClassVar[str] = "nwbpipe.processors.ephys._unitrefine_compute"

    def prepare(self, nwbfile: NWBFile, context: Context) -> Mapping[str, Any]:
        """Check that the table is of ``unit_quality``; return whether the user trusts the classifiers' folder."""
        table = context.input(nwbfile, "quality")
        if not {"unit", "verdict"} <= set(table.colnames) and not (len(table) == 0 and "unit" in table.colnames):
            msg = "the table does not hold metrics of units"
            found = ", ".join(table.colnames)[:200]
            raise InputError(
                msg, where=context.inputs["quality"].path, expected="UnitQuality_<step> of unit_quality", found=found
            )
        return {"trusted": is_trusted(Path(context.inputs["model"].folder))}

    def write(self, nwbfile: NWBFile, results: Results, context: Context) -> None:
        """Add the table of labels."""
        from hdmf.common import DynamicTable, DynamicTableRegion, VectorData

        quality = context.input(nwbfile, "quality")
        units = quality["unit"]
        labels = [str(label) for label in results.arrays["label"].asstr()[:]]
        text = (
            "Label by the classifiers: noise, or what the second says of the others (sua, mua); neural if none does"
        )
        columns = [
            DynamicTableRegion(
                name="unit", description="The unit", data=np.asarray(units.data[:], "int64"), table=units.table
            )
        ]
        if labels:
            chance = "Probability of the label, by the classifier that gave it"
            columns += [
                VectorData(name="unitrefine_label", description=text, data=labels),
                VectorData(name="unitrefine_probability", description=chance, data=results.arrays["probability"][:]),
            ]
        description = f"Labels of units by {context.inputs['model'].path}, of the metrics in {quality.name!r}"
        notes = results.summary["notes"]
        context.module(nwbfile, self.module).add(
            DynamicTable(
                name=context.name("UnitLabels"),
                description="; ".join([description, *notes]),
                id=np.arange(len(labels)),
                columns=columns,
                colnames=[column.name for column in columns],
            )
        )
