"""The form of a session: enter and correct what its spec says of subject, session and devices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from nwbpipe.converters import SessionSpec, check_draft
from nwbpipe.errors import ConflictError, RequestError, SpecError
from nwbpipe.project import Project, Session
from nwbpipe.provenance import digest
from nwbpipe.serve._forms import (
    Entry,
    Field,
    MistakeFinder,
    fill_entries,
    fill_fields,
    iterate_items,
    read_entries,
    read_fields,
)
from nwbpipe.serve._pages import Pages, find_session, make_session_path
from nwbpipe.serve._spec_edit import (
    FileEdit,
    OpenSpec,
    compare_mappings,
    edit_files,
    list_changes,
    list_sharing_sessions,
    open_for_edit,
    write_edits,
)
from nwbpipe.serve._view import ProjectView
from nwbpipe.serve._yaml_edit import Change

_MODELS: dict[str, type[BaseModel]] = {
    name: SessionSpec.model_fields[name].annotation  # type: ignore[misc]
    for name in ("subject", "session")
}
_DEVICE: type[BaseModel] = SessionSpec.model_fields["devices"].annotation.__args__[1]  # type: ignore[union-attr]


@dataclass
class SpecForm:
    """The form of one spec.

    Attributes
    ----------
    spec : OpenSpec
    sections : dict of str to list of Field
        Of "subject" and "session".
    devices : list of Entry
    new : dict of str to dict
        The sections as the form leaves them, of those that change.
    changes : list of Change
    mistakes : list of str
        Those that belong to no field.
    """

    spec: OpenSpec
    sections: dict[str, list[Field]]
    devices: list[Entry]
    new: dict[str, dict[str, Any]] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    mistakes: list[str] = field(default_factory=list)

    @classmethod
    def make(cls, spec: OpenSpec) -> SpecForm:
        """Return the form with what the spec holds."""
        sections = {name: fill_fields(model, spec.section(name), name) for name, model in _MODELS.items()}
        devices = [(name, value) for name, value in spec.section("devices").items() if isinstance(value, Mapping)]
        return cls(spec, sections, fill_entries(_DEVICE, devices, "devices", named=True))

    def read(self, form: Mapping[str, str]) -> None:
        """Take what a person sent."""
        for name, fields in self.sections.items():
            old = self.spec.section(name)
            new = read_fields(fields, old, form)
            if changes := list_changes(name, fields, old, new):
                self.new[name] = new
                self.changes += changes
        self._read_devices(form)

    def _read_devices(self, form: Mapping[str, str]) -> None:
        old = self.spec.section("devices")
        olds = [old[entry.name] for entry in self.devices if not entry.is_new and entry.name is not None]
        entries = read_entries(self.devices, olds, form)
        new = {name: value for name, value in old.items() if not isinstance(value, Mapping)}
        changes: list[Change] = []
        for entry, content in entries:
            name = entry.name or ""
            if entry.is_new and name in old:
                entry.mistakes.append(f"there is a device {name!r} already")
            elif entry.is_new:
                changes.append(Change(("devices", name), content))
            else:
                changes += compare_mappings(("devices", name), _DEVICE, old[name], content)
            new[name] = content
        removed = [name for name in old if name not in new]
        if not new and old:
            changes = [Change(("devices",), None)]
        else:
            changes += [Change(("devices", name), None) for name in removed]
        if changes:
            self.new["devices"] = new
            self.changes += changes

    def check(self, project: Project) -> bool:
        """Check the sections that change by their models, and the whole spec; return True if all is right."""
        finder = MistakeFinder()
        for name, new in self.new.items():
            finder.validate(SessionSpec.model_fields[name].rebuild_annotation(), new, name)
        fields = [item for name in self.sections for item in self.sections[name]]
        self.mistakes += finder.show_in(fields, self.devices)
        if not finder.problems and self.new:
            old_problems = {_describe(problem) for problem in _list_problems(self.spec, project, {})}
            problems = _list_problems(self.spec, project, self.new)
            self.mistakes += [str(problem) for problem in problems if _describe(problem) not in old_problems]
        return not (finder.problems or self.mistakes or any(entry.mistakes for entry in self.devices))


def _list_problems(spec: OpenSpec, project: Project, sections: Mapping[str, Any]) -> list[Any]:
    try:
        check_draft(spec.path, stores=project.spec.open_stores, sections=sections)
    except SpecError as error:
        return [*(error.problems or [error.problem])]
    return []


def _describe(problem: Any) -> tuple[Any, ...]:
    """Return what a problem is, without the number of its line."""
    return problem.what, problem.expected, problem.found


class EditPages:
    """The form of a session, the difference that it makes, and saving it."""

    def __init__(self, view: ProjectView, pages: Pages) -> None:
        self.view, self.pages = view, pages

    def show(self, request: Request) -> Response:
        """Show the form."""
        session, project = find_session(self.view, request), self.view.open_project()
        return self._draw(request, session, SpecForm.make(open_for_edit(project, session)))

    def accept(self, request: Request, sent: dict[str, str]) -> Response:
        """Show the difference that a form makes, or write it."""
        session, project = find_session(self.view, request), self.view.open_project()
        spec = open_for_edit(project, session)
        form = SpecForm.make(spec)
        form.read(sent)
        if sent.get("digest", "") != spec.digest:
            text = "The spec has changed since this form was opened. Nothing was written."
            return self._draw(request, session, form, 409, conflict=text, shown=sent.get("digest", ""))
        if sent.get("action") == "edit":
            return self._draw(request, session, form)
        if not form.changes:
            return self._draw(request, session, form, note="Nothing has changed.")
        if not form.check(project):
            return self._draw(request, session, form, 422)
        try:
            edits = edit_files(spec, form.changes)
        except RequestError as error:
            form.mistakes.append(str(error))
            return self._draw(request, session, form, 422)
        lines_digest = digest("\n".join(line for edit in edits for line in edit.lines))
        if sent.get("action") != "save" or sent.get("shown") != lines_digest:
            return self._draw_difference(request, project, session, spec, edits, sent, lines_digest)
        try:
            write_edits(spec, edits, sent["digest"])
        except ConflictError as error:
            return self._draw(request, session, form, 409, conflict=f"{error.problem.what}. Nothing was written.")
        self.view.look_again()
        return RedirectResponse(request.scope.get("root_path", "") + make_session_path(session.key) + "?saved=1", 303)

    def _draw(
        self, request: Request, session: Session, form: SpecForm, status: int = 200, *, conflict: str = "",
        note: str = "", shown: str | None = None,
    ) -> Response:  # fmt: skip
        fields = [item for name in form.sections for item in form.sections[name]]
        count = len(form.mistakes) + sum(len(item.mistakes) for item in iterate_items(fields, form.devices))
        return self.pages.draw(
            request, "edit.html", status, title=session.key, subject=session.subject_id, session=session.session_id,
            files=[self.view.show_place(file) for file in form.spec.text.files], form=form,
            digest=form.spec.digest if shown is None else shown, conflict=conflict, note=note, count=count,
        )  # fmt: skip

    def _draw_difference(
        self, request: Request, project: Project, session: Session, spec: OpenSpec, edits: list[FileEdit],
        sent: Mapping[str, str], shown: str,
    ) -> Response:  # fmt: skip
        values = {name: text for name, text in sent.items() if name not in ("action", "shown", "csrf")}
        sharing = {edit.path: self._list_sharing(project, edit, spec, session) for edit in edits}
        return self.pages.draw(
            request, "difference.html", title=session.key, subject=session.subject_id, session=session.session_id,
            edits=[(self.view.show_place(edit.path), edit.lines, sharing[edit.path]) for edit in edits],
            values=values, shown=shown,
        )  # fmt: skip

    def _list_sharing(self, project: Project, edit: FileEdit, spec: OpenSpec, session: Session) -> list[str]:
        if edit.path == spec.text.files[0]:
            return []
        sessions = [row.session for row in self.view.snapshot.rows if row.session is not None]
        return list_sharing_sessions(project, edit.path, session, sessions)
