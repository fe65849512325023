"""Change a session's spec by a form: what changes in which file, and writing it if nobody changed it meanwhile."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from nwbpipe.converters import SpecText, list_yaml_problems, read_spec_text, summarize_spec
from nwbpipe.disk import read_regular
from nwbpipe.errors import ConflictError, FileAccessError, NwbpipeError, RequestError
from nwbpipe.files import create_atomically
from nwbpipe.project import Project, Session
from nwbpipe.provenance import digest
from nwbpipe.serve._forms import Entry, Field, Slot, describe_model
from nwbpipe.serve._yaml_edit import Change, edit_yaml
from nwbpipe.stores import is_remote

_MOST_BYTES = 4_000_000


@dataclass(frozen=True)
class OpenSpec:
    """A spec as it was read for a form.

    Attributes
    ----------
    path : Path
    text : SpecText
        Its content.
    contents : dict of Path to bytes
        The bytes of its files.
    """

    path: Path
    text: SpecText
    contents: dict[Path, bytes]

    @property
    def digest(self) -> str:
        """A digest of all files: it differs as soon as one of them has changed."""
        return digest("\n".join(f"{path} {digest(data)}" for path, data in self.contents.items()))

    def section(self, name: str) -> Mapping[str, Any]:
        """Return a section; an empty one if the spec has none."""
        value = self.text.tree.get(name)
        if value is not None and not isinstance(value, Mapping):
            msg = f"the section {name!r} is not a mapping"
            raise RequestError(msg, where=str(self.path), hint="correct it in an editor")
        return value or {}


def open_for_edit(project: Project, session: Session) -> OpenSpec:
    """Read a spec for a form.

    Raises
    ------
    RequestError
        If the session has no spec on this machine, or its spec leads out of the project's folders.
    SpecError
        If it can't be read.
    """
    if session.spec is None or is_remote(session.spec):
        msg = "only a session.yaml on this machine can be changed here"
        hint = "download it, change it in an editor, and upload it: what is stale then is shown on the session's page"
        if session.spec is None:
            hint = "the session is an NWB file without a spec: change it by nwbpipe.transaction"
        raise RequestError(msg, where=session.key, found=str(session.spec or session.file), hint=hint)
    path = Path(session.spec)
    text = read_spec_text(path, stores=project.spec.open_stores)
    allowed = [text.root.resolve(), *project.spec.local_folders]
    contents = {}
    for file in text.files:
        if not any(file.resolve().is_relative_to(root) for root in allowed):
            msg = "the spec leads out of the project's folders"
            raise RequestError(msg, where=str(file), found=str(file.resolve()), hint="change it in an editor")
        contents[file] = read_regular(file, _MOST_BYTES)
    return OpenSpec(path, text, contents)


# Changes ---------------------------------------------------------------------------------------------------


def list_changes(
    section: str, fields: Sequence[Field], old: Mapping[str, Any], new: Mapping[str, Any]
) -> list[Change]:
    """Return the changes of a section; entries of lists are changed one by one, so that their comments stay."""
    order = [item.slot.name for item in fields]
    changes: list[Change] = []
    for item in fields:
        name = item.slot.name
        old_value, new_value = old.get(name), new.get(name)
        if old_value == new_value or item.is_fixed:
            continue
        if item.slot.kind == "entries" and isinstance(old_value, list) and new_value:
            changes += _list_entry_changes((section, name), item.slot, item.entries, old_value, new_value)
        else:
            changes.append(Change((section, name), new_value, order))
    return changes


def _list_entry_changes(
    path: tuple[str, ...], slot: Slot, entries: Sequence[Entry], old_value: Sequence[Any], new_value: Sequence[Any]
) -> list[Change]:
    assert slot.model is not None
    indices = [index for index, entry in enumerate(entries) if not entry.is_removed]
    changes = []
    for content, index in zip(new_value, indices, strict=True):
        if index < len(old_value):
            changes += compare_mappings((*path, index), slot.model, old_value[index], content)
        else:
            changes.append(Change((*path, len(old_value)), content))
    return changes + [
        Change((*path, index), None) for index in reversed(range(len(old_value))) if entries[index].is_removed
    ]


def compare_mappings(
    path: tuple[str | int, ...], model: Any, old_value: Mapping[str, Any], new_value: Mapping[str, Any]
) -> list[Change]:
    """Return the changes of one mapping, key by key."""
    order = [slot.name for slot in describe_model(model)]
    return [
        Change((*path, name), new_value.get(name), order)
        for name in order
        if old_value.get(name) != new_value.get(name)
    ]


# Files -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FileEdit:
    """The change of one file.

    Attributes
    ----------
    path : Path
    old, new : bytes
    """

    path: Path
    old: bytes
    new: bytes

    @property
    def lines(self) -> list[str]:
        """The difference, line by line."""
        old, new = (data.decode("utf-8-sig").splitlines() for data in (self.old, self.new))
        return list(difflib.unified_diff(old, new, lineterm="", n=2))[2:]


def edit_files(spec: OpenSpec, changes: Sequence[Change]) -> list[FileEdit]:
    """Return the changed files: a value is changed where it stands, a new one is put into the file of its section.

    Raises
    ------
    RequestError
        If a file is write-protected or can't be changed in place, or a value to be removed stands in two of them.
    """
    by_file: dict[Path, list[Change]] = {}
    for change in changes:
        file = _find_file(spec, change.path)
        if change.value is None:
            _refuse_second_place(spec, file, change)
        by_file.setdefault(file, []).append(change)
    for file in by_file:
        if not file.stat().st_mode & 0o222:  # it would be replaced, as its folder allows
            msg = "the file is protected from being written"
            raise RequestError(
                msg, where=str(file), hint="change it in an editor, or give yourself the right to write"
            )
    edits = [
        FileEdit(file, spec.contents[file], edit_yaml(spec.contents[file], file_changes))
        for file, file_changes in by_file.items()
    ]
    for edit in edits:
        _refuse_unreadable(edit)
    return edits


def _refuse_unreadable(edit: FileEdit) -> None:
    """Refuse an edit that leaves YAML with what a spec may not hold: a null character, a merge key."""
    old = [problem.what for problem in list_yaml_problems(edit.old, edit.path)]
    new = [problem for problem in list_yaml_problems(edit.new, edit.path) if problem.what not in old]
    if new:
        raise RequestError(new[0].what, where=new[0].where, found=new[0].found, hint="enter another text")


def _find_file(spec: OpenSpec, path: Sequence[str | int]) -> Path:
    file: Path = spec.path
    value: Any = spec.text.tree
    for part in path:
        marks = getattr(value, "marks", None)
        if marks is None or part not in marks:
            break
        file, value = marks[part].file, value[part]
    return next((candidate for candidate in spec.contents if candidate == file), spec.text.files[0])


def _refuse_second_place(spec: OpenSpec, file: Path, change: Change) -> None:
    for other_file, data in spec.contents.items():
        if other_file == file:
            continue
        value = yaml.load(data, Loader=yaml.BaseLoader)  # noqa: S506 - texts, lists and mappings alone
        for part in change.path:
            if not isinstance(value, Mapping) or part not in value:
                break
            value = value[part]
        else:
            msg = "the value stands in two files, and would still be read from the other"
            name = ".".join(map(str, change.path))
            raise RequestError(msg, where=f"{other_file}: {name}", hint="remove it there in an editor")


def write_edits(spec: OpenSpec, edits: Sequence[FileEdit], expected: str) -> None:
    """Write the changed files, each as a whole, if all files are still as the form showed them.

    Parameters
    ----------
    spec : OpenSpec
    edits : sequence of FileEdit
    expected : str
        Digest of the files that the form was made of.

    Raises
    ------
    ConflictError
        If one of them has changed; nothing is written.
    """
    with ExitStack() as stack:
        # In one order for all: two forms that share two files would each wait for the other.
        ordered = sorted(edits, key=lambda edit: edit.path.resolve())
        drafts = [(edit, stack.enter_context(create_atomically(edit.path, overwrite=True))) for edit in ordered]
        try:
            now = OpenSpec(spec.path, spec.text, {path: read_regular(path, _MOST_BYTES) for path in spec.contents})
        except OSError as error:
            raise FileAccessError("the spec can't be read", where=str(spec.path), found=str(error)) from error
        if now.digest != expected or now.digest != spec.digest:
            msg = "the spec has changed since the form was opened"
            raise ConflictError(msg, where=str(spec.path), hint="open the form again; nothing was written")
        for edit, draft in drafts:
            draft.write_bytes(edit.new)


def list_sharing_sessions(project: Project, file: Path, session: Session, others: Sequence[Session]) -> list[str]:
    """Return the keys of other sessions whose specs extend a file."""
    files_by_key = list_spec_files(project, [candidate for candidate in others if candidate.key != session.key])
    return [key for key, files in files_by_key.items() if str(file) in files]


def list_spec_files(project: Project, sessions: Sequence[Session]) -> dict[str, set[str]]:
    """Return the files that the spec of each session is read from, by the session's key."""
    indexed = project.planner.index.load_with_stats("session")
    files_by_key: dict[str, set[str]] = {}
    for session in sessions:
        if session.spec is None:
            continue
        if str(session.spec) in indexed:
            files_by_key[session.key] = set(indexed[str(session.spec)][2])
        else:  # it has just been written
            with suppress(NwbpipeError):
                summary = summarize_spec(session.spec, stores=project.spec.open_stores)
                files_by_key[session.key] = set(map(str, summary.files))
    return files_by_key
