"""The processors ``shared_pca`` and ``pca_scores``: components of many sessions, and a session's scores on them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field

from nwbpipe.environments import Tool
from nwbpipe.errors import InputError
from nwbpipe.processors._base import Context, Input, Params, Processor, Results
from nwbpipe.processors._project_scope import Artefact, ProjectProcessor

if TYPE_CHECKING:
    from pynwb import NWBFile

_NUMPY = Tool("numpy", ("numpy>=1.24", "h5py>=3.8"), licence="BSD-3-Clause")
_SERIES = Input(
    "TimeSeries",
    but_not=("ImageSeries",),
    doc="features of the behaviour, a column each: keypoints, say; the same ones in every session",
)


class SharedPcaParams(Params):
    """Parameters of ``shared_pca``."""

    n_components: int = Field(3, ge=1, description="How many components are kept.")
    standardize: bool = Field(
        False, description="Divide each feature by its standard deviation: where features have different units."
    )


class SharedPca(ProjectProcessor):
    """Principal components of a series of features, over all sessions of a project together.

    Each sample of each session counts once. Samples with a value that is not finite are left out; how many is in
    ``pca.json``. A component's sign is such that its largest loading is positive. The artefact: ``mean.npy``,
    ``scale.npy`` (both float64, shape (n_features,)), ``components.npy`` (float64, shape (n_components,
    n_features)), ``explained_variance.npy`` (float64, shape (n_components,)), ``pca.json``.
    """

    name: ClassVar[str] = "shared_pca"
    revision: ClassVar[int] = 1
    inputs: ClassVar[Mapping[str, Input]] = {"series": _SERIES}
    Params: ClassVar[type[Params]] = SharedPcaParams
    tool: ClassVar[Tool] = _NUMPY
    compute: ClassVar[str] = "nwbpipe.processors.behavior._shared_pca_compute"

    def prepare(self, nwbfile: NWBFile, context: Context) -> Mapping[str, Any]:
        """Check the series of one session; return its number of features."""
        return _features(nwbfile, context)

    def check(self, facts: Sequence[Mapping[str, Any]]) -> None:
        """Refuse sessions with different numbers of features, or other units."""
        for name, label in (("n_features", "features"), ("unit", "unit")):
            values = sorted({str(session[name]) for session in facts})
            if len(values) > 1:
                msg = f"the sessions' series differ in their {label}"
                raise InputError(msg, expected="the same in every session", found=", ".join(values))

    def make(self, folder: Path, results: Results, context: Context) -> None:
        """Write the components."""
        for name in ("mean", "scale", "components", "explained_variance"):
            np.save(
                folder / f"{name}.npy", np.asarray(results.arrays[name][()], dtype=np.float64), allow_pickle=False
            )
        (folder / "pca.json").write_text(
            json.dumps(dict(results.summary), indent=1, sort_keys=True), encoding="utf-8"
        )


class PcaScores(Processor):
    """A session's series in terms of the components that ``shared_pca`` found over all sessions.

    Results go into ``behavior``: ``PrincipalComponents_<step>``, a column for each component; NaN where a feature is
    not finite.
    """

    name: ClassVar[str] = "pca_scores"
    revision: ClassVar[int] = 1
    module: ClassVar[str] = "behavior"
    containers: ClassVar[tuple[str, ...]] = ("PrincipalComponents",)
    inputs: ClassVar[Mapping[str, Input]] = {
        "series": _SERIES,
        "model": Artefact("shared_pca", doc="the components"),
    }
    Params: ClassVar[type[Params]] = Params
    tool: ClassVar[Tool] = _NUMPY
    compute: ClassVar[str] = "nwbpipe.processors.behavior._pca_scores_compute"

    def prepare(self, nwbfile: NWBFile, context: Context) -> Mapping[str, Any]:
        """Check the series against the components."""
        facts = _features(nwbfile, context)
        n_features = np.load(Path(context.inputs["model"].folder) / "mean.npy", allow_pickle=False).shape[0]
        if facts["n_features"] != n_features:
            msg = "the components are of another number of features"
            raise InputError(
                msg, where=context.inputs["series"].path, expected=f"{n_features}", found=str(facts["n_features"])
            )
        return facts

    def write(self, nwbfile: NWBFile, results: Results, context: Context) -> None:
        """Write the scores at the times of the series."""
        from pynwb import TimeSeries

        from nwbpipe.nwb_builders import Times

        series, summary = context.input(nwbfile, "series"), results.summary
        context.module(nwbfile, self.module).add(
            TimeSeries(
                name=context.name("PrincipalComponents"),
                description=f"Scores of {series.name} on the first {summary['n_components']} principal components "
                f"of {summary['n_sessions']} sessions",
                data=results.arrays["scores"][()],
                unit=series.unit if not summary["standardize"] else "n.a.",
                **Times.of(series).arguments(),
            )
        )


def _features(nwbfile: NWBFile, context: Context) -> dict[str, Any]:
    series, path = context.input(nwbfile, "series"), context.inputs["series"].path
    shape = series.data.shape
    if len(shape) != 2 or series.data.dtype.kind not in "fiu":
        msg = "the series has no features"
        raise InputError(
            msg, where=path, expected="numbers, shape (samples, features)", found=f"{shape}, {series.data.dtype}"
        )
    return {
        "n_features": int(shape[1]),
        "unit": str(series.unit),
        "conversion": float(series.conversion),
        "offset": float(series.offset or 0.0),
    }
