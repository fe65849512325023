"""The processor ``unit_quality``: metrics of units, and verdicts by a set of thresholds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from nwbpipe.environments import Tool
from nwbpipe.errors import SpecError, suggest_names
from nwbpipe.processors._base import Context, Input, Processor, Results
from nwbpipe.processors.ephys._motion_choice import MOTION, plan_motion
from nwbpipe.processors.ephys._parameters import SPIKEINTERFACE, TORCH_TOOLS, WITH_TORCH, PreprocessingParams
from nwbpipe.processors.ephys._quality_inputs import CHANNELS, read_quality
from nwbpipe.processors.ephys._recording import check_band, describe_recording
from nwbpipe.processors.ephys._unit_metrics import DESCRIPTIONS, KNOWN, THRESHOLDS
from nwbpipe.processors.ephys._units import require_spike_times
from nwbpipe.quality import ThresholdSet

if TYPE_CHECKING:
    from pynwb import NWBFile


class UnitQualityParams(PreprocessingParams):
    """Parameters of ``unit_quality``: those of preprocessing, which metrics, and the thresholds."""

    motion: Literal["auto", "none", "decentralized", "dredge", "dredge_fast", "iterative_template"] = Field(
        "auto", description="How motion is corrected before waveforms are measured, as in spikesorting"
    )
    metrics: Literal["all", "no_pc"] | Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        "all",
        description="no_pc: without those that need principal components, the slowest ones; or the names of columns: "
        "these alone, and those that the thresholds judge by",
    )
    n_components: int = Field(3, ge=1, le=10, description="Principal components of each channel")
    ms_before: float = Field(1.0, gt=0, le=20, description="Start of the waveforms before the spike, in ms")
    ms_after: float = Field(2.0, gt=0, le=20, description="End of the waveforms after the spike, in ms")
    max_spikes_per_unit: int = Field(500, ge=10, description="Spikes, drawn at random, that a waveform is made of")
    isi_threshold_ms: float = Field(1.5, gt=0, description="Inter-spike intervals below this are violations, in ms")
    merges: Literal["none", "similarity_correlograms", "x_contaminations", "temporal_splits", "feature_neighbors"] = (
        Field(
            "x_contaminations",
            description="How units (of 100 spikes or more) that may be one neuron are found, by a preset; "
            "similarity_correlograms needs a thousand spikes; temporal_splits: one takes over where another ends",
        )
    )
    thresholds: dict[str, Any] = Field(
        default_factory=lambda: dict(THRESHOLDS["aind"]),
        description="The set of thresholds, or its name: aind, allen, ibl",
    )

    @field_validator("metrics", mode="before")
    @classmethod
    def _check_metrics(cls, value: Any) -> Any:
        """Refuse names that no column has; a list in another order is the same list."""
        if isinstance(value, str) and value not in ("all", "no_pc"):
            near = suggest_names(value, ["all", "no_pc"])
            hint = f" ({near})" if near else ""
            alone = "; the name of a column goes into a list" if value in DESCRIPTIONS else ""
            msg = f"there is no set of metrics {value!r}{hint}; expected all, no_pc, or a list of names{alone}"
            raise ValueError(msg)
        if not isinstance(value, (list, tuple)) or not all(isinstance(name, str) for name in value):
            return value
        unknown = [name for name in dict.fromkeys(value) if name not in DESCRIPTIONS]
        if unknown:
            hints = [suggest_names(name, DESCRIPTIONS, most=3) for name in unknown]
            texts = [f"{name!r} ({hint})" if hint else repr(name) for name, hint in zip(unknown, hints, strict=True)]
            known = "" if all(hints) else f"; there are: {', '.join(DESCRIPTIONS)}"
            msg = f"there is no metric {', '.join(texts)}{known}"
            raise ValueError(msg)
        return tuple(name for name in DESCRIPTIONS if name in value)

    @field_validator("thresholds", mode="before")
    @classmethod
    def _check_thresholds(cls, value: Any) -> Any:
        if isinstance(value, str):
            if value not in THRESHOLDS:
                msg = f"there is no set of thresholds {value!r}; expected one of {', '.join(THRESHOLDS)}, or a set"
                raise ValueError(msg)
            value = THRESHOLDS[value]
        if not isinstance(value, Mapping):
            return value
        try:
            return ThresholdSet.from_dict(value, KNOWN).as_dict()
        except SpecError as error:
            raise ValueError(str(error)) from error


class UnitQuality(Processor):
    """Measure units, of whatever origin, on the recording that they were found in.

    The recording is preprocessed once; all metrics of SpikeInterface, with those of the mean waveform, are measured
    from there. The result is ``UnitQuality_<step>`` in ``ecephys``: a row for each unit, with a column for each
    metric, the verdict pass, warn or fail, its reasons, Bombcell's label, and the units that may be the same neuron.
    What could not be measured is named in its description.

    Notes
    -----
    SpikeInterface: Buccino et al. 2020, eLife 9:e61834. Each column's description says what it is.
    """

    name: ClassVar[str] = "unit_quality"
    revision: ClassVar[int] = 2
    module: ClassVar[str] = "ecephys"
    containers: ClassVar[tuple[str, ...]] = ("UnitQuality",)
    inputs: ClassVar[Mapping[str, Input]] = {
        "units": Input("Units", doc="The units: sorted, loaded or converted"),
        "recording": Input("ElectricalSeries", but_not=("SpikeEventSeries",), doc="Voltages that they were found in"),
        "channels": CHANNELS,
        "artifacts": Input("TimeIntervals", optional=True, doc="Stretches that are set to zero"),
        "motion": MOTION,
    }
    Params: ClassVar[type[UnitQualityParams]] = UnitQualityParams
    tool: ClassVar[Tool] = SPIKEINTERFACE
    further_tools: ClassVar[tuple[Tool, ...]] = (TORCH_TOOLS["spikeinterface"],)
    compute: ClassVar[str] = "nwbpipe.processors.ephys._unit_quality_compute"

    def tool_for(self, params: Any) -> Tool:
        """Return SpikeInterface, with torch for DREDge."""
        return TORCH_TOOLS["spikeinterface"] if params.motion in WITH_TORCH else self.tool

    def prepare(self, nwbfile: NWBFile, context: Context) -> Mapping[str, Any]:
        """Check the series, its geometry and the units."""
        series, path = context.input(nwbfile, "recording"), context.inputs["recording"].path
        params = context.params
        units = context.input(nwbfile, "units")
        require_spike_times(units, context.inputs["units"].path)
        check_band(series, params.freq_max if params.freq_max is not None else params.freq_min, path)
        facts = describe_recording(series, path, needs="the measurement of units")
        return facts | plan_motion(nwbfile, context, series, facts) | read_quality(nwbfile, context, series)

    def write(self, nwbfile: NWBFile, results: Results, context: Context) -> None:
        """Add the table of metrics and verdicts."""
        from hdmf.common import DynamicTable, DynamicTableRegion, VectorData

        units = context.input(nwbfile, "units")
        thresholds = ThresholdSet.from_dict(context.params.thresholds, KNOWN)
        metrics = {name: np.asarray(results.arrays["metrics"][name][:]) for name in results.arrays["metrics"]}
        order = [name for name in DESCRIPTIONS if name in metrics]
        rows = [{name: float(metrics[name][unit]) for name in order} for unit in range(len(units))]
        verdicts = [thresholds.judge("unit", row) for row in rows]
        region = DynamicTableRegion(
            name="unit", description="The unit", data=np.arange(len(units), dtype="int64"), table=units
        )
        columns = [
            region,
            *(VectorData(name=name, description=DESCRIPTIONS[name], data=metrics[name]) for name in order),
        ]
        if len(units):
            text = f"pass, warn or fail by the thresholds {thresholds.name!r} ({thresholds.hash[:12]})"
            columns += [
                VectorData(name="verdict", description=text, data=[verdict for verdict, _ in verdicts]),
                VectorData(
                    name="reasons",
                    description="The bounds that are crossed, and metrics with bounds that are unknown",
                    data=["; ".join(reasons) for _, reasons in verdicts],
                ),
            ]
            if "bombcell_label" in results.arrays:
                text = "Label by Bombcell's rules (Fabre et al. 2023): good, mua, noise, non_soma"
                labels = [str(label) for label in results.arrays["bombcell_label"].asstr()[:]]
                columns.append(VectorData(name="bombcell_label", description=text, data=labels))
            if "merge_group" in results.arrays:
                text = f"Ids of the units that may be the same neuron, by SpikeInterface's {context.params.merges}"
                names = name_merges(results.arrays["merge_group"][:], np.asarray(units.id[:]))
                columns.append(VectorData(name="merge_candidates", description=text, data=names))
        absent = results.summary["not_measured"]
        text = f"Quality of the units of {units.name!r}"
        if absent:
            text += "; not measured: " + ", ".join(f"{name} ({reason})" for name, reason in absent.items())
        context.module(nwbfile, self.module).add(
            DynamicTable(
                name=context.name("UnitQuality"),
                description=text,
                id=np.arange(len(units)),
                columns=columns,
                colnames=[column.name for column in columns],
            )
        )


def name_merges(groups: NDArray[np.int64], ids: NDArray[np.int64]) -> list[str]:
    """Return for each unit the ids of the others of its group, with commas between; "" for none."""
    others = [
        [int(ids[other]) for other in np.flatnonzero(groups == group) if other != unit] if group >= 0 else []
        for unit, group in enumerate(groups)
    ]
    return [", ".join(map(str, unit)) for unit in others]
