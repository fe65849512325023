"""The page that adds many subjects at once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from nwbpipe.errors import NwbpipeError
from nwbpipe.project import Session
from nwbpipe.provenance import digest
from nwbpipe.serve._pages import Pages
from nwbpipe.serve._subject_table import (
    COLUMNS,
    MOST_ROWS,
    NEEDED,
    SubjectTable,
    find_folder,
    place_rows,
    read_table,
    write_subjects,
)
from nwbpipe.serve._view import ProjectView


class SubjectPages:
    """Paste a table, look at the files that it makes, and save them."""

    def __init__(self, view: ProjectView, pages: Pages) -> None:
        self.view, self.pages = view, pages

    def show(self, request: Request) -> Response:
        """Show the empty form, or how many subjects were added."""
        folder = find_folder(self.view.open_project(), self._list_sessions())
        added = request.query_params.get("added", "")
        note = f"{added} added in {self.view.show_place(folder)}." if added.isdecimal() and len(added) < 5 else ""
        return self._draw(request, folder, SubjectTable(), note=note)

    def accept(self, request: Request, sent: Mapping[str, str]) -> Response:
        """Show what is wrong with a table, or the files that it makes; or write them."""
        sessions = self._list_sessions()
        folder = find_folder(self.view.open_project(), sessions)
        text = sent.get("table", "")
        table = read_table(text)
        place_rows(table, folder, sessions)
        if sent.get("action") == "edit":
            return self._draw(request, folder, SubjectTable(), text=text)
        if table.count:
            return self._draw(request, folder, table, 422, text=text)
        if not table.new:
            return self._draw(request, folder, table, text=text, note="All of these subjects are there already.")
        files_digest = digest("\n".join(f"{row.file} {digest(row.content)}" for row in table.new))
        files = [(self.view.show_place(row.file or ""), row.content.decode().splitlines()) for row in table.new]
        if sent.get("action") != "save" or sent.get("shown") != files_digest:
            return self.pages.draw(
                request, "subjects_difference.html", title="add subjects", table=table, text=text, shown=files_digest,
                files=files,
            )  # fmt: skip
        try:
            write_subjects(table.new, folder)
        except NwbpipeError as error:
            table.mistakes.append(f"{error.problem.what}: nothing was written.")
            return self._draw(request, folder, table, 409, text=text)
        base = request.scope.get("root_path", "")
        return RedirectResponse(f"{base}/subjects?added={len(table.new)}", 303)

    def _list_sessions(self) -> list[Session]:
        return [row.session for row in self.view.ask(wait=True).rows if row.session is not None]

    def _draw(
        self,
        request: Request,
        folder: Path,
        table: SubjectTable,
        status: int = 200,
        *,
        text: str = "",
        note: str = "",
    ) -> Response:
        return self.pages.draw(
            request, "subjects.html", status, title="add subjects", folder=self.view.show_place(folder), table=table,
            text=text, note=note, columns=COLUMNS, needed=NEEDED, most=MOST_ROWS,
        )  # fmt: skip
