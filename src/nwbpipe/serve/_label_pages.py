"""The form of the labels of a step's ROIs or units, which does as `nwbpipe curate`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from nwbpipe.errors import NwbpipeError
from nwbpipe.project import Session
from nwbpipe.review import LabelTable, curate, read_label_table
from nwbpipe.serve._pages import Pages, find_session, make_session_path, read_count
from nwbpipe.serve._view import ProjectView, cut_page
from nwbpipe.session import SessionFile

LENGTH = 500  # rows of a page
_LONGEST = 80  # letters of a label, and of a name
_CHOICES = {"roi": ("cell", "not cell", "dendrite"), "unit": ("good", "mua", "noise")}
_PREFIX = "label."
_LOCK_S = 20.0


@dataclass
class LabelForm:
    """The labels that a person chose, beside those of the file.

    Attributes
    ----------
    table : LabelTable
        The file's rows and labels.
    labels : dict of str to str
        The label of each row that the form shows, by name.
    curator : str
    mistakes : list of str
    """

    table: LabelTable
    labels: dict[str, str] = field(default_factory=dict)
    curator: str = ""
    mistakes: list[str] = field(default_factory=list)

    def read(self, sent: Mapping[str, str]) -> None:
        """Take what was sent; note what is wrong with it."""
        for number, row in enumerate(
            self.table.rows
        ):  # names are those of a file: they would not come back as they are
            if (text := sent.get(f"{_PREFIX}{number}")) is not None:
                self.labels[row.name] = text.strip()
        self.curator = sent.get("who", "").strip()
        for text in {self.curator, *self.labels.values()}:
            if len(text) > _LONGEST or not text.isprintable():
                self.mistakes.append(f"a name or label has at most {_LONGEST} letters, in one line: {text[:90]!r}")
        if not self.curator:
            self.mistakes.append(
                "The labels need the name of the person who gives them: it is written into the file."
            )
        if self.table.is_more:
            self.mistakes.append("The step's curation holds merges, splits or removals, which this table would undo.")

    @property
    def noun(self) -> str:
        """The word for a row."""
        return "ROI" if self.table.kind == "roi" else "unit"

    @property
    def changes(self) -> list[tuple[int, str, str, str]]:
        """Row, name, old and new label of each row that changes."""
        return [
            (number, row.name, row.label, self.labels[row.name])
            for number, row in enumerate(self.table.rows)
            if self.labels.get(row.name, row.label) != row.label
        ]

    @property
    def result(self) -> dict[str, str]:
        """All labels of the step, as the form leaves them."""
        merged = {**self.table.labels, **self.labels}
        return {name: label for name, label in merged.items() if label}

    @property
    def choices(self) -> list[str]:
        """The labels that are offered: usual ones, and those that are in use."""
        used = {*self.table.labels.values(), *self.labels.values()} - {""}
        usual = _CHOICES[self.table.kind]
        return [*usual, *sorted(used - set(usual))]


class LabelPages:
    """The form of labels, the difference that it makes, and saving it."""

    def __init__(self, view: ProjectView, pages: Pages) -> None:
        self.view, self.pages = view, pages

    def show(self, request: Request) -> Response:
        """Show the form."""
        session = find_session(self.view, request)
        table = self._read(request, session)
        return self._draw(request, session, LabelForm(table, curator=table.curator))

    def accept(self, request: Request, sent: dict[str, str]) -> Response:
        """Show the difference that a form makes, or write it."""
        session = find_session(self.view, request)
        table = self._read(request, session)
        form = LabelForm(table)
        state = sent.get("seen", "")
        if state != table.state:
            text = "The step or its labels have changed since this form was opened. Nothing was written."
            return self._draw(request, session, LabelForm(table, curator=sent.get("who", "")), 409, conflict=text)
        form.read(sent)
        if sent.get("action") == "edit":
            form.mistakes.clear()
            return self._draw(request, session, form)
        if not form.changes:
            form.mistakes.clear()
            return self._draw(request, session, form, note="Nothing has changed.")
        if not form.result:
            hint = f"`nwbpipe edit remove FILE.nwb {table.step}_curation` removes a step's labels"
            form.mistakes.append(f"No label would be left: {hint}.")
        if form.mistakes:
            return self._draw(request, session, form, 422)
        if sent.get("action") != "save":
            return self._show_difference(request, session, form)
        try:
            curate(
                session.file, table.step, form.result, who=form.curator, replace=bool(table.curator), seen=state,
                lock_timeout=_LOCK_S,
            )  # fmt: skip
        except NwbpipeError as error:
            return self._draw(request, session, form, 409, conflict=f"{error.problem}\nNothing was written.")
        self.view.look_again()
        return RedirectResponse(
            request.scope.get("root_path", "") + make_session_path(session.key) + "?saved=labels", 303
        )

    def _read(self, request: Request, session: Session) -> LabelTable:
        step = request.path_params["step"]
        return SessionFile.at(session.file).read(lambda reader: read_label_table(reader, step))

    def _draw(
        self, request: Request, session: Session, form: LabelForm, status: int = 200, *, conflict: str = "",
        note: str = "",
    ) -> Response:  # fmt: skip
        page = cut_page(form.table.rows, read_count(request.query_params.get("page", ""), 1), LENGTH)
        return self.pages.draw(
            request, "labels.html", status, title=session.key, subject=session.subject_id,
            session=session.session_id, form=form, table=form.table, rows=page.rows, start=(page.number - 1) * LENGTH,
            page=page.number, total=page.total, conflict=conflict, note=note,
            facts=list(dict.fromkeys(name for row in page.rows for name in row.facts)),
        )  # fmt: skip

    def _show_difference(self, request: Request, session: Session, form: LabelForm) -> Response:
        return self.pages.draw(
            request, "labels_difference.html", title=session.key, subject=session.subject_id,
            session=session.session_id, form=form, table=form.table, page=request.query_params.get("page", "1"),
        )  # fmt: skip
