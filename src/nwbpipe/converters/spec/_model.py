"""The models of session.yaml."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PrivateAttr

from nwbpipe.converters.spec._clock_spec import ClockSpec
from nwbpipe.converters.spec._clock_spec import StrictModel as _Model
from nwbpipe.converters.spec._entities import DeviceSpec, Implant, Injection, Note, Surgery
from nwbpipe.converters.spec._paths import SpecPaths
from nwbpipe.converters.spec._yaml import YamlMapping, YamlScalar

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_DURATION = re.compile(
    r"P(?=\d|T\d)(\d+(\.\d+)?Y)?(\d+(\.\d+)?M)?(\d+(\.\d+)?W)?(\d+(\.\d+)?D)?(T(?=\d)(\d+H)?(\d+M)?(\d+(\.\d+)?S)?)?"
)
_SPECIES = re.compile(r"[A-Z][a-z]+ [a-z][a-z-]+( [a-z-]+)?|https?://purl\.obolibrary\.org/obo/NCBITaxon_\d+")


def _parse_time(value: Any) -> Any:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise ValueError("expected a date and time such as 2024-05-01T10:00:00-04:00") from None
    if isinstance(value, datetime) and value.utcoffset() is None:
        raise ValueError("expected a time zone, such as -04:00 or Z at the end of the time")
    return value


def _check_species(value: str) -> str:
    if not _SPECIES.fullmatch(value):
        raise ValueError("expected a Latin binomial such as Mus musculus, or an NCBITaxon URL")
    return value


def _check_age(value: str) -> str:
    parts = value.split("/")
    valid = [bool(_DURATION.fullmatch(part)) for part in parts]
    if not (valid == [True] or valid == [True, True] or (len(parts) == 2 and valid[0] and not parts[1])):
        raise ValueError("expected an ISO 8601 duration such as P90D, or a range such as P90D/P100D")
    return value


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _check_filled(value: str) -> str:
    if not value.strip():
        raise ValueError("expected a text that is not empty")
    return value


def _check_file_name(value: str) -> str:
    if not re.fullmatch(r"[^/\\\0:*?\"<>|]+", value) or value in (".", "..") or value != value.strip():
        raise ValueError('expected a text that can stand in a file name: no / \\ : * ? " < > |')
    return value


Filled = Annotated[str, AfterValidator(_check_filled)]
Identifier = Annotated[str, AfterValidator(_check_filled), AfterValidator(_check_file_name)]
Time = Annotated[datetime, BeforeValidator(_parse_time)]
Texts = Annotated[list[Filled], BeforeValidator(_as_list)]


class SubjectSpec(_Model):
    """The animal or person: `pynwb.file.Subject`, with the fields that DANDI asks for required.

    What was done to it (`surgeries`, `injections`, `implants`) stands in `NWBFile.surgery` and `.virus` as text, and
    in tables of our extension.
    """

    subject_id: Identifier
    species: Annotated[str, AfterValidator(_check_species)]
    sex: Literal["M", "F", "O", "U"]
    age: Annotated[str, AfterValidator(_check_age)] | None = None
    age__reference: Literal["birth", "gestational"] | None = None
    date_of_birth: Time | None = None
    description: str | None = None
    genotype: str | None = None
    strain: str | None = None
    line: Filled | None = None
    weight: str | None = None
    surgeries: list[Surgery] = Field(default_factory=list)
    injections: list[Injection] = Field(default_factory=list)
    implants: list[Implant] = Field(default_factory=list)


class SessionInfo(_Model):
    """The session: fields of `pynwb.NWBFile`. `session_start_time` is time 0 of the reference clock."""

    session_id: Identifier
    session_start_time: Time | None = None
    session_description: Filled | None = None
    identifier: Filled | None = None
    experimenter: Texts | None = None
    experiment_description: str | None = None
    institution: str | None = None
    lab: str | None = None
    keywords: Texts | None = None
    notes: str | list[Note] | None = None
    attributes: dict[Filled, Filled] = Field(default_factory=dict)
    pharmacology: str | None = None
    protocol: str | None = None
    related_publications: Texts | None = None
    slices: str | None = None
    surgery: str | None = None
    virus: str | None = None
    stimulus_notes: str | None = None
    data_collection: str | None = None


class SourceKeys(_Model):
    """One raw data stream, as a spec names it."""

    interface: Filled
    args: dict[str, Any] = Field(default_factory=dict)
    options: dict[str, Any] = Field(default_factory=dict)
    clock: str | None = None


class SourceSpec(SourceKeys):
    """One raw data stream.

    `args` and `options` are typed as the interface's constructor and `add_to_nwbfile` declare them; `video` was taken
    out of the options.
    """

    video: Literal["link", "copy", "embed"] | None = None


class SessionSpec(_Model):
    """A whole session.yaml, typed and checked. Made by `load_spec`."""

    nwbpipe: Literal[1]
    subject: SubjectSpec
    session: SessionInfo
    sources: dict[str, SourceSpec]
    reference_clock: str
    clocks: dict[str, ClockSpec] = Field(default_factory=dict)
    devices: dict[str, DeviceSpec] = Field(default_factory=dict)
    metadata: dict[str, Any] = Field(default_factory=dict)
    path: Path
    _paths: SpecPaths = PrivateAttr()
    _files: tuple[Path, ...] = PrivateAttr(default=())

    @property
    def paths(self) -> SpecPaths:
        """What the spec's paths are relative to."""
        return self._paths

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that the spec was read from: those it extends, too."""
        return self._files

    def clock_of(self, source: str) -> str:
        """Name the clock that a source's times are in."""
        return self.sources[source].clock or source

    def as_dict(self) -> dict[str, Any]:
        """Give the whole spec as plain JSON values, defaults filled in, paths as a spec would write them."""
        content: dict[str, Any] = _to_plain(self.model_dump(exclude={"path"}, exclude_none=True), self._paths)
        return content


def _to_plain(value: Any, places: SpecPaths) -> Any:
    if isinstance(value, dict):
        return {str(key): _to_plain(item, places) for key, item in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [_to_plain(item, places) for item in value]
    if isinstance(value, Path):
        return places.display(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, (YamlScalar, YamlMapping)):
        return str(value)
    return value
