"""The processor ``wheel``: position at a constant rate, velocity and movement bouts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field, model_validator

from nwbpipe.environments import Tool
from nwbpipe.errors import InputError
from nwbpipe.processors._base import Context, Input, Params, Processor, Results

if TYPE_CHECKING:
    from pynwb import NWBFile

# In radians: about 8 and 1.5 steps of an encoder of 4096 steps a turn.
_THRESHOLD_RAD, _ONSET_RAD = 0.012, 0.0023
_RADIANS = {"radians", "radian", "rad"}


class WheelParams(Params):
    """Parameters of ``wheel``; distances are in the unit of the position."""

    rate_hz: float = Field(1000.0, gt=0, description="Rate that the position is brought to.")
    hold_s: float = Field(0.1, gt=0, description="Samples farther apart: the wheel stood until that long before.")
    lowpass_hz: float = Field(20.0, gt=0, description="Cutoff of the low-pass of the velocity.")
    threshold: float | None = Field(
        None, gt=0, description="Least way in a window that is a movement, in the position's unit; null: 0.012 rad."
    )
    onset_threshold: float | None = Field(
        None, gt=0, description="Way from rest at which a movement begins, in the position's unit; null: 0.0023 rad."
    )
    window_s: float = Field(0.2, gt=0, description="Length of the window.")
    min_gap_s: float = Field(0.1, ge=0, description="Movements closer than that are one.")
    min_duration_s: float = Field(0.05, ge=0, description="Shorter movements are not counted.")

    @model_validator(mode="after")
    def _check_consistency(self) -> WheelParams:
        if self.lowpass_hz >= self.rate_hz / 2:
            msg = f"lowpass_hz {self.lowpass_hz:g} is not below half of rate_hz, {self.rate_hz / 2:g}"
            raise ValueError(msg)
        if (self.threshold is None) != (self.onset_threshold is None):
            msg = "give both threshold and onset_threshold, or neither"
            raise ValueError(msg)
        return self


class Wheel(Processor):
    """Velocity and movement bouts of a wheel, from its unwrapped position.

    Results go into ``behavior``: ``WheelPosition_<step>`` and ``WheelVelocity_<step>`` (series at `rate_hz`), and
    ``WheelMovements_<step>`` (`TimeIntervals` with the way and the peak velocity of each movement).

    References
    ----------
    The way to find movements (the range of the position in a moving window, with thresholds of their own for
    detection and onset) follows The International Brain Laboratory (2021), "Standardized and reproducible
    measurement of decision-making in mice", eLife 10:e63711. What differs: the position is held where the encoder is
    silent, and the end of a movement is found as its onset is.
    """

    name: ClassVar[str] = "wheel"
    revision: ClassVar[int] = 1
    module: ClassVar[str] = "behavior"
    containers: ClassVar[tuple[str, ...]] = ("WheelPosition", "WheelVelocity", "WheelMovements")
    inputs: ClassVar[Mapping[str, Input]] = {
        "position": Input("TimeSeries", but_not=("ImageSeries",), doc="the wheel's position, unwrapped")
    }
    Params: ClassVar[type[Params]] = WheelParams
    tool: ClassVar[Tool] = Tool("scipy", ("scipy>=1.10", "numpy>=1.24", "h5py>=3.8"), licence="BSD-3-Clause")
    compute: ClassVar[str] = "nwbpipe.processors.behavior._wheel_compute"

    def prepare(self, nwbfile: NWBFile, context: Context) -> Mapping[str, Any]:
        """Check that the series is one position, with times that increase; return its scale and the thresholds."""
        series, path = context.input(nwbfile, "position"), context.inputs["position"].path
        shape = series.data.shape
        if len([size for size in shape if size != 1]) > 1 or series.data.dtype.kind not in "fiu":
            raise InputError(
                "the series is not a position",
                where=path,
                expected="one number a sample",
                found=f"shape {shape}, {series.data.dtype}",
                hint="name another series: --input position=…",
            )
        if series.rate is None:
            steps = np.diff(np.asarray(series.timestamps[:], dtype=np.float64))
            back = np.flatnonzero(~(steps > 0))
            if back.size:
                raise InputError(
                    "the times of the position don't increase",
                    where=path,
                    expected="each time later than the one before",
                    found=f"{back.size} of {steps.size} steps, the first at sample {back[0] + 1}",
                    hint="convert the encoder again; see its rules for times",
                )
        threshold, onset = context.params.threshold, context.params.onset_threshold
        if threshold is None:
            if series.unit not in _RADIANS:
                raise InputError(
                    "nothing says what a movement is",
                    where=path,
                    expected="a position in radians, or threshold and onset_threshold in its unit",
                    found=f"a position in {series.unit}",
                    hint="give both with -p threshold=… -p onset_threshold=…",
                )
            threshold, onset = _THRESHOLD_RAD, _ONSET_RAD
        return {
            "conversion": float(series.conversion),
            "offset": float(series.offset or 0.0),
            "thresholds": {"threshold": threshold, "onset_threshold": onset},
        }

    def write(self, nwbfile: NWBFile, results: Results, context: Context) -> None:
        """Write the position, the velocity and the movements."""
        from pynwb import TimeSeries

        from nwbpipe.nwb_builders import Column, make_intervals_table

        module, series = context.module(nwbfile, self.module), context.input(nwbfile, "position")
        params, arrays, thresholds = context.params, results.arrays, context.facts["thresholds"]
        times = {"rate": params.rate_hz, "starting_time": float(results.summary["start"])}
        left_out = results.summary["missing"]
        text = f"Position of {series.name} at {params.rate_hz:g} Hz"
        text += f"; {left_out} samples that are not numbers were left out." if left_out else "."
        module.add(
            TimeSeries(
                name=context.name("WheelPosition"),
                description=text,
                data=arrays["position"][()],
                unit=series.unit,
                **times,
            )
        )
        module.add(
            TimeSeries(
                name=context.name("WheelVelocity"),
                description=f"Velocity of {series.name}, low-passed at {params.lowpass_hz:g} Hz.",
                data=arrays["velocity"][()],
                unit=f"{series.unit}/second",
                **times,
            )
        )
        bounds = arrays["bounds"][()].reshape(-1, 2)
        columns = [
            Column("displacement", f"way from start to end, in {series.unit}", arrays["displacement"][()]),
            Column("peak_velocity", f"velocity where it is largest, in {series.unit}/s", arrays["peak_velocity"][()]),
            Column("peak_time", "time of the peak velocity", arrays["peak_time"][()], "time"),
        ]
        text = (
            f"Movements of {series.name}: over {thresholds['threshold']:g} {series.unit} within "
            f"{params.window_s:g} s; {len(bounds)} found."
        )
        module.add(
            make_intervals_table(context.name("WheelMovements"), text, bounds[:, 0], bounds[:, 1], columns=columns)
        )
