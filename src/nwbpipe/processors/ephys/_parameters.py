"""Parameters of spike sorting, and the sorters that there are."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal, Self

from pydantic import Field, SerializerFunctionWrapHandler, field_validator, model_serializer, model_validator

from nwbpipe.environments import Tool
from nwbpipe.errors import suggest_names
from nwbpipe.processors._base import Params

#: Every sorter that SpikeInterface 0.105 can run, by its name there.
SORTERS = (
    "combinato", "dartsort", "hdsort", "herdingspikes", "ironclust", "kilosort", "kilosort2", "kilosort2_5",
    "kilosort3", "kilosort4", "lupin", "mountainsort4", "mountainsort5", "pykilosort", "rtsort", "simple",
    "spykingcircus", "spykingcircus2", "tridesclous", "tridesclous2", "waveclus", "waveclus_snippets", "yass",
)  # fmt: skip
#: Sorters that look at no channel's position.
WITHOUT_GEOMETRY = frozenset({"combinato", "waveclus", "waveclus_snippets"})

# Two of its extras hold what most of its own sorters and the metrics need; [full] adds widgets, CUDA and web clients.
_SPIKEINTERFACE = "spikeinterface[metrics,sortingcomponents]>=0.105,<0.106"
_PYTHON = ">=3.10,<3.14"
SPIKEINTERFACE = Tool("spikeinterface", (_SPIKEINTERFACE, "h5py>=3.8"), python=_PYTHON, licence="MIT")
#: Sorters that need a package beside SpikeInterface; each is a tool of its own.
TOOLS = {
    "kilosort4": Tool(
        "kilosort4",
        ("kilosort>=4.1.7", _SPIKEINTERFACE, "h5py>=3.8"),
        python=_PYTHON,
        licence="GPL-3.0-or-later",
        gpu="torch",
    ),
    "mountainsort5": Tool(
        "mountainsort5", ("mountainsort5>=0.5", _SPIKEINTERFACE, "h5py>=3.8"), python=_PYTHON, licence="Apache-2.0"
    ),
    "lupin": Tool("lupin", (_SPIKEINTERFACE, "torch>=2", "h5py>=3.8"), python=_PYTHON, licence="MIT", gpu="torch"),
}
#: Sorters that come in a container of SpikeInterface's, with their programs; each is a tool of its own.
IMAGES = {
    "combinato": "combinato", "hdsort": "hdsort-compiled", "herdingspikes": "herdingspikes",
    "ironclust": "ironclust-compiled", "kilosort": "kilosort-compiled", "kilosort2": "kilosort2-compiled",
    "kilosort2_5": "kilosort2_5-compiled", "kilosort3": "kilosort3-compiled", "mountainsort4": "mountainsort4",
    "pykilosort": "pykilosort", "rtsort": "rtsort", "spykingcircus": "spyking-circus", "tridesclous": "tridesclous",
    "waveclus": "waveclus-compiled",
}  # fmt: skip
#: Sorters that run on an NVIDIA GPU alone.
GPU_ONLY = frozenset({"kilosort", "kilosort2", "kilosort2_5", "kilosort3", "pykilosort", "rtsort", "yass"})
TOOLS |= {
    name: Tool(
        name,
        (_SPIKEINTERFACE, "h5py>=3.8"),
        python=_PYTHON,
        image=f"docker.io/spikeinterface/{image}-base",
        gpu="cuda" if name in GPU_ONLY or name == "ironclust" else None,
    )
    for name, image in IMAGES.items()
}
TOOLS["waveclus_snippets"] = TOOLS["waveclus"]
#: Methods of motion correction that need torch, and the tools with it.
WITH_TORCH = frozenset({"dredge", "dredge_fast"})
TORCH_TOOLS = {
    tool.name: replace(tool, name=f"{tool.name}_torch", requirements=(*tool.requirements, "torch>=2"))
    for tool in (SPIKEINTERFACE, TOOLS["mountainsort5"])
}
#: Sorters that correct motion themselves, as a part of their method.
CORRECT_MOTION = frozenset({"dartsort", "ironclust", "kilosort2_5", "kilosort3", "kilosort4", "pykilosort"})
#: Parameters of sorters that turn their own motion correction on or off.
MOTION_KEYS = frozenset({"apply_motion_correction", "do_correction", "nblocks"})
MotionMethod = Literal["auto", "none", "sorter", "decentralized", "dredge", "dredge_fast", "iterative_template"]


class PreprocessingParams(Params):
    """Parameters of preprocessing, the same for every method that reads spikes; times in ms, frequencies in Hz."""

    freq_min: float | None = Field(300.0, gt=0, description="High-pass cut-off in Hz; null with freq_max: unfiltered")
    freq_max: float | None = Field(6000.0, gt=0, description="Low-pass cut-off in Hz; null: high-pass only")
    common_reference: Literal["auto", "median", "average", "none"] = Field(
        "auto",
        description="Reference subtracted from each electrode group; auto: the median where all groups have 32 "
        "channels or more, as in fewer channels it carries the spikes themselves",
    )
    bad_channels: Literal["auto", "none", "std", "mad", "coherence+psd"] = Field(
        "auto",
        description="How bad channels are found, to be left out; auto: dead and noisy ones by their noise, their "
        "power at high frequencies and their coherence with the others; else a method of SpikeInterface's "
        "detect_bad_channels",
    )
    artifacts: bool = Field(
        True,
        description="Whether stretches in which most channels exceed their noise many times at once are set to zero, "
        "and cut out of obs_intervals (16 channels or more)",
    )
    artifact_threshold: float = Field(20.0, gt=0, description="Multiple of a channel's noise that it exceeds")
    artifact_fraction: float = Field(0.6, gt=0, le=1, description="Share of the channels that do so at once")
    motion: MotionMethod = Field(
        "auto",
        description="How the motion of the tissue is estimated and corrected before sorting; auto: the sorter's own "
        "method if it is a part of the sorter (Kilosort), else decentralized for groups with more than 32 channels "
        "within 60 micrometers of width, else none; dredge and dredge_fast need torch",
    )

    @model_validator(mode="after")
    def _check_band(self) -> Self:
        if self.freq_max is not None and self.freq_min is None:
            msg = "freq_max needs freq_min: a low-pass filter alone leaves the field potential in"
            raise ValueError(msg)
        if self.freq_max is not None and self.freq_min is not None and self.freq_min >= self.freq_max:
            msg = f"freq_min is {self.freq_min:g} Hz; expected less than freq_max, {self.freq_max:g} Hz"
            raise ValueError(msg)
        return self


class SpikeSortingParams(PreprocessingParams):
    """Parameters of spike sorting; times are in ms and frequencies in Hz, as SpikeInterface has them.

    Whitening is the sorter's own: see its parameters.
    """

    sorter: str = Field("spykingcircus2", description="Name of a sorter, as SpikeInterface has it")
    sorter_params: dict[str, Any] = Field(
        default_factory=dict,
        description="The sorter's own parameters that differ from its defaults; nested ones are merged over them",
    )
    group_by: Literal["group_name", "none"] = Field(
        "group_name", description="Whether each electrode group (shank, tetrode) is sorted by itself"
    )
    join_fragments: bool = Field(
        True,
        description="Whether a unit that has the waveform and the place of another, and never fires within its "
        "refractory period, is joined to it",
    )
    min_spikes: int = Field(10, ge=1, description="Units of fewer spikes are left out; their number is kept")
    ms_before: float = Field(1.0, gt=0, le=20, description="Start of the templates before the spike, in ms")
    ms_after: float = Field(2.0, gt=0, le=20, description="End of the templates after the spike, in ms")
    max_spikes_per_unit: int = Field(500, ge=10, description="Spikes, drawn at random, that a template is made of")
    waveforms_per_unit: int = Field(
        0,
        ge=0,
        description="Spikes of each unit, of those that its template is made of, whose waveforms on the nearest "
        "electrodes are kept (Units.waveforms); at most max_spikes_per_unit; 0: none, as they take much space",
    )
    isi_threshold_ms: float = Field(1.5, gt=0, description="Inter-spike intervals below this are violations, in ms")

    @field_validator("sorter")
    @classmethod
    def _check_sorter(cls, value: str) -> str:
        if value not in SORTERS:
            near = suggest_names(value, SORTERS)
            hint = f" ({near})" if near else ""
            msg = f"there is no sorter {value!r}{hint}; SpikeInterface has: {', '.join(SORTERS)}"
            raise ValueError(msg)
        return value

    @model_validator(mode="after")
    def _check_motion(self) -> Self:
        keys = sorted(MOTION_KEYS & set(self.sorter_params))
        if keys and self.motion not in ("auto", "sorter"):
            msg = f"motion is {self.motion!r}, and sorter_params sets {keys[0]}: only one of them may decide"
            raise ValueError(msg)
        if self.motion in WITH_TORCH and self.sorter in TOOLS and TOOLS[self.sorter].image:
            msg = (
                f"motion is {self.motion!r}, which needs torch, and the container of the sorter {self.sorter!r} may "
                "lack it; estimate it before, in a step of the processor motion, and bind it: inputs.motion"
            )
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _check_waveforms(self) -> Self:
        if self.waveforms_per_unit > self.max_spikes_per_unit:
            msg = (
                f"waveforms_per_unit is {self.waveforms_per_unit}; expected at most max_spikes_per_unit, "
                f"{self.max_spikes_per_unit}: waveforms are kept of spikes that the template is made of"
            )
            raise ValueError(msg)
        return self

    @model_serializer(mode="wrap")
    def _leave_out_default(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what came later, where it is off: results without it stay those of the same parameters."""
        values: dict[str, Any] = serialize(self)
        if not self.waveforms_per_unit:
            values.pop("waveforms_per_unit", None)
        return values

    @property
    def motion_is_the_sorters(self) -> bool:
        """True if the sorter's own parameters decide on motion correction."""
        return self.motion == "sorter" or (self.motion == "auto" and bool(MOTION_KEYS & set(self.sorter_params)))

    @property
    def needs_torch(self) -> bool:
        """True if motion correction needs torch: DREDge, here or as SpyKING CIRCUS 2 and Tridesclous 2 call it."""
        if self.motion in WITH_TORCH:
            return True
        if not self.motion_is_the_sorters or self.sorter not in ("spykingcircus2", "tridesclous2"):
            return False
        applied = self.sorter_params.get("apply_motion_correction", self.sorter == "spykingcircus2")
        preset = (self.sorter_params.get("motion_correction") or {}).get("preset", "dredge_fast")
        preset = self.sorter_params.get("motion_correction_preset", preset)
        return bool(applied) and preset in ("dredge", "dredge_fast", "rigid_fast")
