"""The models of the clocks in session.yaml."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, WrapValidator, model_validator

from nwbpipe.converters.spec._values import Column, SpecFile
from nwbpipe.validation import StrictModel, describe_value, mistake

Unit = Literal["s", "ms", "us"]
Seconds = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class TrainSpec(StrictModel):
    """A pulse train: where the times of pulses come from.

    From a source of the session (`source`): its events (of one name, `events`), a column of its table of intervals
    (`column`), the edges of one of its channels (`channel`, or `series`), or the times of its own samples. Or from
    a text log or array (`file`), whose `clock` is the one that is being aligned (or the reference) unless it says.
    """

    source: str | None = None
    events: str | None = None
    table: str | None = None
    channel: str | None = None
    series: str | None = None
    bit: int | None = Field(default=None, ge=0, le=31)
    threshold: float | None = Field(default=None, allow_inf_nan=False)
    edge: Literal["rising", "falling", "both"] = "rising"
    file: SpecFile | None = None
    column: Column = None
    unit: Unit = "s"
    clock: str | None = None
    debounce_s: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    repair: Literal["drop", "unwrap"] | None = None
    wrap_s: Positive | None = None

    @model_validator(mode="after")
    def _check_one_origin(self) -> TrainSpec:
        if (self.source is None) == (self.file is None):
            raise ValueError("expected either `source: NAME` or `file: PATH`")
        field_names = self.model_fields_set
        wrong = field_names & (
            {"events", "table", "channel", "series", "bit", "threshold", "edge"} if self.file else {"unit", "clock"}
        )
        if wrong:
            of = "file" if self.file else "source"
            raise ValueError(f"expected no {', '.join(sorted(wrong))} beside `{of}`")
        if self.events is not None and field_names & {"channel", "bit", "threshold", "edge", "series"}:
            raise ValueError("expected events, or a channel and its edges, not both")
        if (self.repair == "unwrap") != (self.wrap_s is not None):
            raise ValueError(
                "expected `wrap_s` (after how many seconds the counter starts again) with `repair: unwrap`"
            )
        return self

    def __str__(self) -> str:
        parts = {key: getattr(self, key) for key in type(self).model_fields if key in self.model_fields_set}
        if self.file is not None:
            parts["file"] = self.file.name
        return ", ".join(f"{key} {value}" for key, value in parts.items() if value is not None)


class TimesSpec(StrictModel):
    """A file with the time of each sample. `trim` lets surplus times at its end be left out."""

    file: SpecFile
    column: Column = None
    unit: Unit = "s"
    offset_s: Seconds = 0.0
    trim: bool = False
    repair: Literal["interpolate", "unwrap"] | None = None
    wrap_s: Positive | None = None
    max_gap_s: Positive | None = None

    @model_validator(mode="after")
    def _check_wrap(self) -> TimesSpec:
        if (self.repair == "unwrap") != (self.wrap_s is not None):
            raise ValueError(
                "expected `wrap_s` (after how many seconds the counter starts again) with `repair: unwrap`"
            )
        return self


class AlignStart(StrictModel):
    """The clock differs from the reference by a constant: `t_reference = t_source + offset_s`."""

    align: Literal["start"]
    offset_s: Seconds


class AlignUnix(StrictModel):
    """The clock's times are Unix seconds: `t_reference = t_source - session_start_time`."""

    align: Literal["unix"]


class AlignTimestamps(TimesSpec):
    """A file gives the time of each sample, in the reference clock.

    `offset_s` (seconds) is added to times that are `unit`; `trim` lets surplus times at the end of the file be
    left out, as many cameras log a few frames more than they save.
    """

    align: Literal["timestamps"]


class AlignPulses(StrictModel):
    """Pulses that both clocks recorded give the offset and the drift.

    `timestamps` names a file with the time of each sample on this clock, where the source itself has none.
    """

    align: Literal["pulses"]
    pulses: TrainSpec
    reference_pulses: TrainSpec
    tolerance_s: Positive = 0.001
    max_drift_ppm: float = Field(default=500.0, ge=0, le=100_000, allow_inf_nan=False)
    start_within_s: Positive | None = None
    on_misfit: Literal["refuse", "warn"] = "refuse"
    timestamps: TimesSpec | None = None


class AlignIntervals(StrictModel):
    """The pattern of intervals (trial lengths) gives which pulses are the same; no pulse may be missing within."""

    align: Literal["intervals"]
    pulses: TrainSpec
    reference_pulses: TrainSpec
    tolerance_s: Positive = 0.001
    max_drift_ppm: float = Field(default=500.0, ge=0, le=100_000, allow_inf_nan=False)
    on_misfit: Literal["refuse", "warn"] = "refuse"
    timestamps: TimesSpec | None = None


class AlignFrames(StrictModel):
    """Each sample of the source (a frame) made one pulse: the pulses are the samples' times.

    `tolerance_s` bounds how far they may be from even, where something is known of that.
    """

    align: Literal["frames"]
    reference_pulses: TrainSpec
    trim: bool = False
    tolerance_s: Positive | None = None
    on_misfit: Literal["refuse", "warn"] = "refuse"


Aligned = AlignPulses | AlignIntervals
CLOCK_MODELS: dict[str, type[StrictModel]] = {
    "start": AlignStart,
    "unix": AlignUnix,
    "timestamps": AlignTimestamps,
    "pulses": AlignPulses,
    "frames": AlignFrames,
    "intervals": AlignIntervals,
}
TRAINS = ("pulses", "reference_pulses")  # the keys of a clock's pulse trains


def _choose_model(value: Any, handler: Any, info: ValidationInfo) -> Any:
    """Validate a clock by the model that its key `align` names."""
    if not isinstance(value, Mapping):
        return handler(value)
    model = CLOCK_MODELS.get(str(value.get("align")))
    if model is None:
        raise mistake(
            f"the way to align is {'not supported' if 'align' in value else 'missing'}",
            "align",
            expected=f"one of {', '.join(CLOCK_MODELS)}",
            found=describe_value(value.get("align")),
            hint="`{align: start, offset_s: 0.97}`, or by pulses that both recorded: `{align: pulses, "
            "pulses: {source: ..., events: ...}, reference_pulses: {source: ..., channel: ...}}`",
        )
    return model.model_validate(value, context=info.context)


ClockSpec = Annotated[
    Annotated[
        AlignStart | AlignUnix | AlignTimestamps | AlignPulses | AlignIntervals | AlignFrames,
        Field(discriminator="align"),
    ],
    WrapValidator(_choose_model),
]


def files_of(clock: Any) -> Iterator[Path]:
    """Yield the files that a clock names."""
    if isinstance(clock, TimesSpec):
        yield clock.file
    elif isinstance(getattr(clock, "timestamps", None), TimesSpec):
        yield clock.timestamps.file
    trains = (getattr(clock, key, None) for key in TRAINS)
    yield from (train.file for train in trains if isinstance(train, TrainSpec) and train.file is not None)
