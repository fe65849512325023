"""The model of a recording's probe in session.yaml."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from nwbpipe.converters.spec._values import SpecFile
from nwbpipe.validation import StrictModel, mistake

_LIBRARY = re.compile(r"[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+")


def read_short_form(value: Any) -> Any:
    """Return the section that a single text stands for: a JSON file, or a probe of the library."""
    if not isinstance(value, str):
        return value
    return {"file" if value.endswith(".json") else "library": value}


def _check_library(value: Any) -> Any:
    if isinstance(value, str) and not (_LIBRARY.fullmatch(value) and ".." not in value):
        raise mistake(
            "the probe is neither a file nor in the library",
            expected="a JSON file of probeinterface (x.json), or manufacturer/model as in its library",
            found=str(value),
            hint="write a .prb file as JSON with probeinterface.read_prb and write_probeinterface",
        )
    return value


def _check_wiring(value: Any) -> Any:
    """Read a list of channels; anything else is a text."""
    if not isinstance(value, list):
        return value
    try:
        return [int(str(item)) for item in value]
    except ValueError:
        raise mistake(
            "the wiring is not a list of channels", expected="whole numbers; -1 for a contact without a channel"
        ) from None


class ProbeSpec(StrictModel):
    """The probe of a recording whose raw files do not say where its contacts are.

    One of `file` (a JSON file of probeinterface), `library` (manufacturer/model in the library of probeinterface) and
    `tetrodes` (their number; four channels each, in order). `device_channel_indices` is the channel that each contact
    is wired to (-1: none), in the order of the contacts; `in_order`; or a pathway that probeinterface knows, such as
    ``H32>RHD2132``. It may be left out where the file has it. `group_by` says what an electrode group is.
    """

    file: SpecFile | None = None
    library: Annotated[str | None, BeforeValidator(_check_library)] = None
    tetrodes: int | None = Field(default=None, ge=1, le=1024)
    device_channel_indices: Annotated[list[int] | str | None, BeforeValidator(_check_wiring)] = None
    group_by: Literal["probe", "shank"] = "probe"

    @model_validator(mode="before")
    @classmethod
    def _check_one_origin(cls, value: Any) -> Any:
        if (
            isinstance(value, Mapping)
            and sum(value.get(key) is not None for key in ("file", "library", "tetrodes")) != 1
        ):
            raise ValueError("expected one of `file: x.json`, `library: manufacturer/model` and `tetrodes: N`")
        return value

    def __str__(self) -> str:
        if self.file is not None:
            return self.file.name
        return f"{self.tetrodes} tetrodes" if self.tetrodes is not None else f"{self.library} of the library"
