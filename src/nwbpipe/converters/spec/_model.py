"""The models of session.yaml."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PrivateAttr,
    TypeAdapter,
    ValidationInfo,
    WrapValidator,
    computed_field,
)

from nwbpipe.converters._interface_names import is_interface, make_unknown_error
from nwbpipe.converters._names import is_object_name
from nwbpipe.converters.spec._arguments import Parameter, option_parameters, source_parameters, type_arguments
from nwbpipe.converters.spec._clock_spec import ClockSpec
from nwbpipe.converters.spec._entities import DeviceSpec, Filled, Implant, Injection, Insertion, Note, Surgery
from nwbpipe.converters.spec._paths import SpecPaths
from nwbpipe.converters.spec._probe_spec import ProbeSpec, read_short_form
from nwbpipe.converters.spec._signatures import read_parameters
from nwbpipe.converters.spec._yaml import YamlMapping, YamlScalar
from nwbpipe.errors import NwbpipeError, show_text
from nwbpipe.validation import FormatVersion, StrictModel, mistake

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
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


_ID_BYTES = 80  # file names hold two ids and more, in at most 255 bytes


def _check_file_name(value: str) -> str:
    """Refuse an id that can't stand in a file name on some system, hides, or can't be shown as it is."""
    plain = re.fullmatch(r"[^/\\:*?\"<>|]+", value) and show_text(value) == value == value.strip()
    if not plain or value.startswith(".") or len(value.encode()) > _ID_BYTES:
        raise ValueError(
            f'expected a text of at most {_ID_BYTES} bytes that can stand in a file name: no / \\ : * ? " < > |, no '
            "control or invisible characters, and no dot at its beginning"
        )
    return value


def _check_source_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise mistake(f"{name!r} can't be the name of a source", expected="a letter, then letters, digits and _")
    return name


def _check_device_name(name: str) -> str:
    if not is_object_name(name):
        raise mistake(
            f"{name!r} can't be the name of a device", expected="a text without / and :, other than a dot",
            hint="give the device another name",
        )  # fmt: skip
    return name


def _require_entries(value: dict[str, Any]) -> dict[str, Any]:
    if not value:
        raise mistake("there are no sources", expected="at least one")
    return value


def _fill_empty(value: Any) -> Any:
    """Read a section without content as an empty mapping."""
    return {} if value is None else value


def _read_notes(value: Any, _handler: Any) -> Any:
    return _NOTES.validate_python(value) if isinstance(value, list) else value and str(value)


# Kinds of differences between raw files and what is read of them (`nwbpipe.converters.accounts` finds them), and
# rules that the result breaks (`nwbpipe.converters._rules`).
Accepted = Literal[
    "parts", "gap", "samples", "channels", "planes", "fields", "shape", "rate", "unit", "extent",
    "span", "order",
]  # fmt: skip
Empty = BeforeValidator(_fill_empty)
Identifier = Annotated[Filled, AfterValidator(_check_file_name)]
SourceName = Annotated[str, AfterValidator(_check_source_name)]
DeviceName = Annotated[str, AfterValidator(_check_device_name)]
Time = Annotated[datetime, BeforeValidator(_parse_time)]
_NOTES = TypeAdapter(list[Note])
Texts = Annotated[list[Filled], BeforeValidator(_as_list)]


class SubjectSpec(StrictModel):
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


class SessionInfo(StrictModel):
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
    notes: Annotated[str | list[Note] | None, WrapValidator(_read_notes)] = None
    attributes: dict[Filled, Filled] = Field(default_factory=dict)
    pharmacology: str | None = None
    protocol: str | None = None
    related_publications: Texts | None = None
    slices: str | None = None
    surgery: str | None = None
    virus: str | None = None
    stimulus_notes: str | None = None
    data_collection: str | None = None


def _find_interface(name: str) -> type[Any]:
    from nwbpipe.converters.interfaces import interface_class

    try:
        return interface_class(name)
    except NwbpipeError as error:
        problem = error.problem
        raise mistake(problem.what, expected=problem.expected, found=problem.found, hint=problem.hint) from error


def _is_draft(context: Any) -> bool:
    return isinstance(context, SpecPaths) and context.is_draft


def _check_interface(name: str, info: ValidationInfo) -> str:
    if not _is_draft(info.context):
        _find_interface(name)
    elif not is_interface(name):
        problem = make_unknown_error(name).problem
        raise mistake(problem.what, expected=problem.expected, found=problem.found, hint=problem.hint)
    return name


def _writes_videos(interface: type[Any]) -> bool:
    """Return True if an interface writes external videos: it has an option of ours, too."""
    return any(owner.__name__ == "ExternalVideoInterface" for owner in interface.__mro__)


def _type_arguments(value: Any, info: ValidationInfo) -> Any:
    """Type the arguments or options of a source as its interface declares them."""
    if not isinstance(value, Mapping) or "interface" not in info.data:
        return value  # a mistake of the interface's own has its own problem
    if _is_draft(info.context):
        declared = read_parameters(info.data["interface"], str(info.field_name))
        return value if declared is None else type_arguments(value, declared, False, info.context)
    interface = _find_interface(info.data["interface"])
    if info.field_name == "args":
        return type_arguments(value, *source_parameters(interface), info.context)
    parameters, open_ended = option_parameters(interface)
    if not _writes_videos(interface):
        return type_arguments(value, parameters, open_ended, info.context)
    parameters = {**parameters, "video": Parameter(Literal["link", "copy", "embed"], required=False)}
    return {"video": "link", **type_arguments(value, parameters, open_ended, info.context)}


Arguments = Annotated[dict[str, Any], BeforeValidator(_type_arguments), Empty, Field(validate_default=True)]


class SourceSpec(StrictModel):
    """One raw data stream.

    `args` and `options` are typed as the interface's constructor and `add_to_nwbfile` declare them; `video` is taken
    out of the options. `accept` names kinds of differences between the raw files and what is read of them
    (`gap`, `parts`, …) that a person has decided to keep. `probe` says where the contacts of a recording are, where
    its raw files do not: see `ProbeSpec`. `mm_per_px` is the size of a pixel of a video, or of a pose, in the plane
    that is filmed.
    """

    interface: Annotated[Filled, AfterValidator(_check_interface)]
    args: Arguments = Field(default_factory=dict)
    options: Arguments = Field(default_factory=dict)
    clock: str | None = None
    accept: Annotated[list[Accepted], BeforeValidator(_as_list)] | None = None
    probe: Annotated[ProbeSpec | None, BeforeValidator(read_short_form)] = None
    mm_per_px: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    _video: Literal["link", "copy", "embed"] | None = PrivateAttr(default=None)

    def model_post_init(self, context: Any) -> None:
        """Take our own option out of those of the interface."""
        if not _is_draft(context) and _writes_videos(_find_interface(self.interface)):
            self._video = self.options.pop("video")

    @computed_field  # type: ignore[prop-decorator]
    @property
    def video(self) -> Literal["link", "copy", "embed"] | None:
        """Say if videos are linked or copied beside the NWB file, or embedded in it; None if there are none."""
        return self._video


class SessionSpec(StrictModel):
    """A whole session.yaml, typed and checked. Made by `load_spec`."""

    nwbpipe: FormatVersion
    subject: SubjectSpec
    session: SessionInfo
    sources: Annotated[dict[SourceName, SourceSpec], AfterValidator(_require_entries)]
    reference_clock: str
    clocks: Annotated[dict[str, ClockSpec], Empty] = Field(default_factory=dict)
    devices: Annotated[dict[DeviceName, DeviceSpec], Empty] = Field(default_factory=dict)
    insertions: dict[DeviceName, Insertion] | None = None
    metadata: Annotated[dict[str, Any], Empty] = Field(default_factory=dict)
    _path: Path = PrivateAttr()
    _paths: SpecPaths = PrivateAttr()
    _files: tuple[Path, ...] = PrivateAttr(default=())
    _raw_files: tuple[tuple[str, Path], ...] | None = PrivateAttr(default=None)  # what its sources' accounts name

    @property
    def path(self) -> Path:
        """The spec's file."""
        return self._path

    @property
    def paths(self) -> SpecPaths:
        """Base folders of the spec's relative paths."""
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
        content: dict[str, Any] = _to_plain(self.model_dump(exclude_none=True), self._paths)
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
