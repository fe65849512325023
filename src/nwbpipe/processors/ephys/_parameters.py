"""Parameters of spike sorting, and the sorters that there are."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

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


class SpikeSortingParams(Params):
    """Parameters of spike sorting; times are in ms and frequencies in Hz, as SpikeInterface has them.

    Whitening, and motion correction, are the sorter's own: see its parameters.
    """

    sorter: str = Field("spykingcircus2", description="Name of a sorter, as SpikeInterface has it")
    sorter_params: dict[str, Any] = Field(
        default_factory=dict,
        description="The sorter's own parameters that differ from its defaults; nested ones are merged over them",
    )
    freq_min: float | None = Field(300.0, gt=0, description="High-pass cut-off in Hz; null with freq_max: unfiltered")
    freq_max: float | None = Field(6000.0, gt=0, description="Low-pass cut-off in Hz; null: high-pass only")
    common_reference: Literal["auto", "median", "average", "none"] = Field(
        "auto",
        description="Reference subtracted from each electrode group; auto: the median where all groups have 32 "
        "channels or more, as in fewer channels it carries the spikes themselves",
    )
    bad_channels: Literal["none", "std", "mad", "coherence+psd"] = Field(
        "none", description="How bad channels are found, to be left out (SpikeInterface's detect_bad_channels)"
    )
    group_by: Literal["group_name", "none"] = Field(
        "group_name", description="Whether each electrode group (shank, tetrode) is sorted by itself"
    )
    ms_before: float = Field(1.0, gt=0, le=20, description="Start of the templates before the spike, in ms")
    ms_after: float = Field(2.0, gt=0, le=20, description="End of the templates after the spike, in ms")
    max_spikes_per_unit: int = Field(500, ge=10, description="Spikes, drawn at random, that a template is made of")
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
    def _check_band(self) -> SpikeSortingParams:
        if self.freq_max is not None and self.freq_min is None:
            msg = "freq_max needs freq_min: a low-pass filter alone leaves the field potential in"
            raise ValueError(msg)
        if self.freq_max is not None and self.freq_min is not None and self.freq_min >= self.freq_max:
            msg = f"freq_min is {self.freq_min:g} Hz; expected less than freq_max, {self.freq_max:g} Hz"
            raise ValueError(msg)
        return self
