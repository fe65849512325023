"""Check a session for DANDI: by its spec before the conversion, or by its file before anything is sent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from nwbpipe.converters import SessionSpec, open_spec, preview_conversion
from nwbpipe.errors import NwbpipeError, Problem, RequestError
from nwbpipe.publish._check import check_metadata, find_refusals, silence
from nwbpipe.publish._layout import SessionAssets, find_assets, place_session
from nwbpipe.publish._packages import require
from nwbpipe.stores import is_remote

_SPECS = (".yaml", ".yml")


@dataclass
class ReadinessReport:
    """The outcome of `check_readiness`.

    Attributes
    ----------
    path : str
        The spec or session file.
    assets : list of str
        Places in a dandiset: that of the session file, and those of its videos.
    problems : list of Problem
        Why DANDI would refuse it.
    notes : list of Problem
        What the user should know.
    """

    path: str
    assets: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    notes: list[Problem] = field(default_factory=list)

    @property
    def is_ready(self) -> bool:
        """True if there is no problem."""
        return not self.problems

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {**asdict(self), "is_ready": self.is_ready}


def check_readiness(path: Path | str) -> ReadinessReport:
    """Find everything that DANDI would refuse of a session.

    Parameters
    ----------
    path : path
        A session.yaml: its fields, names, clocks and sources are checked, and the file as it would be written,
        without its data. Or a session file: also its content, by dandi's own validation and schema, and its videos.

    Raises
    ------
    RequestError
        If it is neither, or not on this machine.
    """
    report = ReadinessReport(str(path))
    if str(path).endswith(_SPECS):
        _check_spec(path, report)
        return report
    file = Path(path)
    if is_remote(path) or not file.is_file() or file.suffix != ".nwb":
        msg = "the file can't be checked for DANDI"
        expected = "a session.yaml, or a file .nwb on this machine"
        raise RequestError(msg, where=str(path), expected=expected)
    session = find_assets(file)
    if session.assets:
        session.problems += find_refusals(session, thorough=True)
    _copy(session, report)
    return report


def _copy(session: SessionAssets, report: ReadinessReport) -> None:
    report.assets = [asset.path for asset in session.assets]
    report.problems, report.notes = session.problems, session.notes


def _check_spec(path: Path | str, report: ReadinessReport) -> None:
    try:
        with open_spec(path) as spec:
            name = place_session(spec.subject.subject_id, spec.session.session_id)
            report.assets.append(name)
            report.problems += [*_check_videos(spec), *_check_fields(spec, name)]
            report.notes += _check_names(spec, name)
        preview_conversion(path)
    except NwbpipeError as error:
        report.problems += error.problems or [error.problem]


def _check_names(spec: SessionSpec, name: str) -> Iterator[Problem]:
    plain = f"sub-{spec.subject.subject_id}_ses-{spec.session.session_id}.nwb"
    if not name.endswith(f"/{plain}"):
        hint = "give ids of letters, digits and - for names that are the same everywhere"
        yield Problem("DANDI's names can't hold the ids as they are", "subject_id, session_id", plain, name, hint)


def _check_videos(spec: SessionSpec) -> Iterator[Problem]:
    """Yield the videos that stay outside of the file, and that DANDI does not take."""
    suffixes = require("dandi.consts").VIDEO_FILE_EXTENSIONS
    for source, entry in spec.sources.items():
        if entry.video not in ("link", "copy"):
            continue
        for value in entry.args.values():
            for file in value if isinstance(value, list | tuple) else [value]:
                if isinstance(file, Path) and file.suffix.lower() not in suffixes:
                    expected = f"a file that ends in {', '.join(suffixes)}"
                    hint = "`options: {video: embed}` puts it into the NWB file, or change its format"
                    yield Problem("DANDI takes no such video", f"sources.{source}", expected, file.name, hint)


def _check_fields(spec: SessionSpec, name: str) -> Iterator[Problem]:
    """Yield what the schema of DANDI's metadata refuses of the fields of subject and session."""
    subject, session = (
        section.model_dump(exclude_none=True, exclude_defaults=True) for section in (spec.subject, spec.session)
    )
    values = {**subject, **session}
    fields = {key: values[key] for key in require("dandi.consts").metadata_nwb_fields if key in values}

    def draw() -> Any:
        misc, core = require("dandi.misctypes"), require("dandi.metadata.core")
        metadata = core.prepare_metadata(fields)
        metadata.path, metadata.contentSize, metadata.encodingFormat = name, 1, "application/x-nwb"
        metadata.digest = misc.DUMMY_DANDI_ETAG.asdict()
        return metadata

    with silence():
        yield from check_metadata(draw, str(spec.path))
