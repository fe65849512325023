"""What a session.yaml says of its session, read without its interfaces: quick enough for thousands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nwbpipe.converters.spec._fetch_spec import fetch_spec
from nwbpipe.converters.spec._paths import spec_paths_of
from nwbpipe.converters.spec._yaml import read_document
from nwbpipe.errors import Problem, SpecError
from nwbpipe.stores import Stores


@dataclass(frozen=True)
class SpecSummary:
    """A session by its spec.

    Attributes
    ----------
    subject_id, session_id : str
        The session's key.
    fields : mapping of str to str
        Texts of the sections ``subject`` and ``session``, as they were written.
    files : tuple of str
        The files that the spec was read from: absolute paths, or URLs.
    """

    subject_id: str
    session_id: str
    fields: Mapping[str, str]
    files: tuple[str, ...]


def summarize_spec(path: Path | str, *, stores: Stores | None = None) -> SpecSummary:
    """Read a spec's session; its sources are neither looked at nor checked. For `stores` see `load_spec`.

    Raises
    ------
    SpecError
        If it can't be read, or names no subject or session.
    """
    problems: list[Problem] = []
    with fetch_spec(path, stores) as (local, mirror):
        places = mirror or spec_paths_of(local, problems, stores)
        file = places.folder / local.name
        document = read_document(file, places.root)
        files = tuple(places.original_location(one) for one in document.files)
    problems += document.problems
    metadata = document.tree.get("metadata")
    more = metadata.get("Subject") if isinstance(metadata, Mapping) else None
    fields: dict[str, str] = {}
    for section in (more, document.tree.get("subject"), document.tree.get("session")):
        if isinstance(section, Mapping):
            fields |= {str(name): str(value) for name, value in section.items() if isinstance(value, str)}
    for name in ("subject_id", "session_id"):
        value = fields.get(name, "")
        if not value or value in (".", "..") or set(value) & set('/\\:*?"<>|\0'):
            what = f"{name} can't stand in a file name" if value else f"{name} is missing"
            problems.append(Problem(what, str(path), found=value or None))
    if problems:
        msg = "the session spec can't be read"
        raise SpecError(msg, where=str(path), problems=problems)
    return SpecSummary(fields["subject_id"], fields["session_id"], fields, files)
