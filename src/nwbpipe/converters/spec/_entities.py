"""Check what a spec declares about surgeries, devices and notes."""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from nwbpipe.converters.spec._values import SpecFile
from nwbpipe.validation import StrictModel

# The landmarks that stereotaxic coordinates are counted from; "other" needs the words in `description`.
Reference = Literal["bregma", "lambda", "dura", "skull_surface", "brain_surface", "sagittal_suture", "sinus", "other"]
_FAR_MM = 100.0


def _check_filled(value: str) -> str:
    if not value.strip():
        raise ValueError("expected a text that is not empty")
    return value


def _parse_day(value: Any) -> Any:
    if not isinstance(value, str) or not re.fullmatch(r"\d{4}-\d{2}-\d{2}", value):
        raise ValueError("expected a date such as 2024-04-01")
    try:
        date.fromisoformat(value)
    except ValueError:
        raise ValueError("expected a date of the calendar, such as 2024-04-01") from None
    return str(value)


Filled = Annotated[str, AfterValidator(_check_filled)]
Day = Annotated[str, BeforeValidator(_parse_day)]
Angle = Annotated[float, Field(ge=-180, le=180, allow_inf_nan=False)]
Millimeters = Annotated[float, Field(ge=-_FAR_MM, le=_FAR_MM, allow_inf_nan=False)]
Amount = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Entity(StrictModel):
    """Base of what a spec says of subject, equipment and session."""


class Site(Entity):
    """A place in the brain, by its name and its coordinates from a landmark.

    As in ndx-ophys-devices: `ap_in_mm` is positive anterior, `ml_in_mm` to the right, `dv_in_mm` dorsal, so that a
    depth is negative. Positive `pitch_in_deg` turns the nose up, `yaw_in_deg` it to the right, `roll_in_deg` the
    right side down.
    """

    location: Filled
    hemisphere: Literal["left", "right", "midline"] | None = None
    ap_in_mm: Millimeters | None = None
    ml_in_mm: Millimeters | None = None
    dv_in_mm: Millimeters | None = None
    reference: Reference | None = None
    dv_reference: Reference | None = None
    pitch_in_deg: Angle | None = None
    yaw_in_deg: Angle | None = None
    roll_in_deg: Angle | None = None
    description: Filled | None = None

    @model_validator(mode="after")
    def _check_coordinates(self) -> Site:
        coordinates = [self.ap_in_mm, self.ml_in_mm, self.dv_in_mm]
        present = [value is not None for value in coordinates]
        if any(present) and not all(present):
            raise ValueError("expected all of ap_in_mm, ml_in_mm and dv_in_mm, or none")
        if all(present) and self.reference is None:
            raise ValueError("expected `reference`: what the coordinates are counted from, such as bregma")
        if "other" in (self.reference, self.dv_reference) and self.description is None:
            raise ValueError("expected a description that says what the reference is")
        if self.dv_in_mm is not None and self.dv_in_mm > 0:
            raise ValueError(f"expected dv_in_mm of 0 or below, a depth is negative; found {self.dv_in_mm:g}")
        side = {"left": -1, "right": 1, "midline": 0}.get(self.hemisphere or "")
        if side is not None and self.ml_in_mm is not None and self.ml_in_mm * side < 0:
            raise ValueError(
                f"expected ml_in_mm {'below' if side < 0 else 'above'} 0 in the {self.hemisphere} hemisphere "
                f"(positive is right); found {self.ml_in_mm:g}"
            )
        return self

    def describe_place(self) -> str:
        """Say where it is, in words."""
        text = " ".join(part for part in (self.hemisphere, self.location) if part)
        if self.ap_in_mm is None:
            return text
        depth = f" ({self.dv_reference})" if self.dv_reference and self.dv_reference != self.reference else ""
        text += (
            f": AP {self.ap_in_mm:+g}, ML {self.ml_in_mm:+g}, DV {self.dv_in_mm:+g} mm{depth} from {self.reference}"
        )
        angles = {"pitch": self.pitch_in_deg, "yaw": self.yaw_in_deg, "roll": self.roll_in_deg}
        turned = ", ".join(f"{name} {value:g}°" for name, value in angles.items() if value)
        return f"{text}, {turned}" if turned else text


class Surgery(Entity):
    """One surgery."""

    procedure: Filled
    date: Day | None = None
    surgeon: Filled | None = None
    anesthesia: Filled | None = None
    analgesia: Filled | None = None
    protocol: Filled | None = None
    description: Filled | None = None

    def describe(self) -> str:
        """Say it in words."""
        more = [f"{name} {value}" for name, value in (("anesthesia", self.anesthesia), ("analgesia", self.analgesia))
                if value]  # fmt: skip
        head = f"{self.date}: {self.procedure}" if self.date else self.procedure
        return "; ".join([head, *more, *([self.description] if self.description else [])])


class Injection(Site):
    """One injection of a virus or a tracer at one site; a bilateral one is two."""

    substance: Filled
    volume_in_nl: Amount | None = None
    titer_in_vg_per_ml: Amount | None = None
    rate_in_nl_per_min: Amount | None = None
    manufacturer: Filled | None = None
    lot: Filled | None = None
    date: Day | None = None

    def describe(self) -> str:
        """Say it in words."""
        amount = f" {self.volume_in_nl:g} nL" if self.volume_in_nl else ""
        titer = f" ({self.titer_in_vg_per_ml:g} vg/mL)" if self.titer_in_vg_per_ml else ""
        return f"{f'{self.date}: ' if self.date else ''}{self.substance}{titer}{amount} into {self.describe_place()}"


class Implant(Site):
    """One implant; `device` is one of the spec's `devices`."""

    name: Filled
    kind: Filled
    device: Filled | None = None
    date: Day | None = None

    def describe(self) -> str:
        """Say it in words."""
        return f"{f'{self.date}: ' if self.date else ''}{self.kind} {self.name} in {self.describe_place()}"


class Insertion(Site):
    """One insertion of a probe, under the name of its electrode group or device: as `Implant`, for recordings.

    `depth_in_um` is the length of the probe below the surface. `regions` is a CSV file with the columns ``channel``
    (of the group, from 0 at the tip, in the order of its electrodes) and ``region``.
    """

    depth_in_um: Amount | None = None
    date: Day | None = None
    regions: SpecFile | None = None

    def describe(self) -> str:
        """Say it in words."""
        depth = f", {self.depth_in_um:g} µm deep" if self.depth_in_um else ""
        return f"{f'{self.date}: ' if self.date else ''}inserted into {self.describe_place()}{depth}"


class Note(Entity):
    """A remark on the session."""

    text: Filled
    time: Filled | None = None
    author: Filled | None = None

    def describe(self) -> str:
        """Say it in a line."""
        head = " ".join(part for part in (self.time, f"({self.author})" if self.author else None) if part)
        return f"{head}: {self.text}" if head else self.text


class DeviceSpec(Entity):
    """A piece of equipment: `pynwb.device.Device`, and its model."""

    description: Filled
    manufacturer: Filled | None = None
    model_name: Filled | None = None
    model_number: Filled | None = None
    serial_number: Filled | None = None

    @model_validator(mode="after")
    def _check_model(self) -> DeviceSpec:
        if (self.model_name or self.model_number) and not self.manufacturer:
            raise ValueError("expected `manufacturer`, as a model is named")
        return self
