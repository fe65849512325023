"""Many subjects at once: a table that was pasted from a spreadsheet becomes a file of each subject."""

from __future__ import annotations

import csv
import io
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

import yaml

from nwbpipe.converters import SubjectSpec, list_yaml_problems
from nwbpipe.disk import read_regular
from nwbpipe.errors import ConflictError, FileAccessError, NwbpipeError, OverwriteError, RequestError
from nwbpipe.files import create_atomically
from nwbpipe.project import Project, Session
from nwbpipe.serve._forms import MistakeFinder, describe_model
from nwbpipe.serve._spec_edit import list_spec_files
from nwbpipe.serve._yaml_edit import Change, edit_yaml
from nwbpipe.stores import is_remote

COLUMNS = tuple(slot.name for slot in describe_model(SubjectSpec) if slot.kind in ("text", "choice"))
NEEDED = tuple(slot.name for slot in describe_model(SubjectSpec) if slot.is_required)
MOST_ROWS = 500
_FOLDER = "subjects"
_MOST_BYTES = 1_000_000


@dataclass
class SubjectRow:
    """One line of the table.

    Attributes
    ----------
    number : int
        Line of the pasted text, from 1.
    values : dict of str to str
        Its cells that are not empty, by field.
    file : Path or None
        The file that it becomes.
    is_known : bool
        True if that file holds the same already.
    mistakes : list of str
    """

    number: int
    values: dict[str, str]
    file: Path | None = None
    is_known: bool = False
    mistakes: list[str] = field(default_factory=list)

    @property
    def content(self) -> bytes:
        """The YAML of the subject's file."""
        return edit_yaml(b"", [Change(("subject",), self.values)])


@dataclass
class SubjectTable:
    """A table of subjects.

    Attributes
    ----------
    columns : list of str
    rows : list of SubjectRow
    mistakes : list of str
        Those of the table as a whole.
    """

    columns: list[str] = field(default_factory=list)
    rows: list[SubjectRow] = field(default_factory=list)
    mistakes: list[str] = field(default_factory=list)

    @property
    def count(self) -> int:
        """Number of mistakes."""
        return len(self.mistakes) + sum(len(row.mistakes) for row in self.rows)

    @property
    def new(self) -> list[SubjectRow]:
        """Rows that become files."""
        return [row for row in self.rows if not row.is_known]


def read_table(text: str) -> SubjectTable:
    """Read a table: tabs between the cells if its head has some, else semicolons or commas."""
    table = SubjectTable()
    lines = text.replace("\r\n", "\n").replace("\r", "\n").lstrip("\ufeff")
    head = lines.lstrip("\n").partition("\n")[0]
    mark = next((mark for mark in "\t;" if mark in head), ",")
    try:
        reader = csv.reader(io.StringIO(lines), delimiter=mark, strict=True)
        cells = [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
    except csv.Error as error:
        table.mistakes.append(f"The table can't be read: {error}.")
        return table
    cells = [(number, row) for number, row in cells if any(row)]
    if not cells:
        table.mistakes.append(
            "The table is empty: paste its head with the names of the fields, and a line a subject."
        )
        return table
    names = [name.lower().replace(" ", "_") for name in cells[0][1]]
    while names and not names[-1]:
        names.pop()
    table.columns = names
    if unknown := [name or "(no name)" for name in names if name not in COLUMNS]:
        table.mistakes.append(f"Unknown columns: {', '.join(unknown[:10])}. There are {', '.join(COLUMNS)}.")
    if twice := [name for name, number in Counter(names).items() if number > 1]:
        table.mistakes.append(f"Columns that are there twice: {', '.join(twice)}.")
    if missing := [name for name in NEEDED if name not in names]:
        table.mistakes.append(f"Missing columns: {', '.join(missing)}.")
    if len(cells) - 1 > MOST_ROWS:
        table.mistakes.append(f"The table has {len(cells) - 1} subjects: add at most {MOST_ROWS} at once.")
    if not cells[1:] and not table.mistakes:
        table.mistakes.append("The table has a head, but no subject.")
    if not table.mistakes:
        for number, row in cells[1:]:
            table.rows.append(_read_row(number, names, row))
    return table


def _read_row(number: int, names: Sequence[str], cells: Sequence[str]) -> SubjectRow:
    row = SubjectRow(number, {name: cell for name, cell in zip(names, cells, strict=False) if cell})
    if any(cells[len(names) :]):
        row.mistakes.append(f"the line has {len(cells)} cells, the head {len(names)}")
    finder = MistakeFinder()
    finder.validate(SubjectSpec, row.values)
    row.mistakes += [f"{key}: {text}" if key else text for key, texts in finder.by_key.items() for text in texts]
    return row


def find_folder(project: Project, sessions: Sequence[Session]) -> Path:
    """Return the folder of the subjects' files: that which most sessions extend, else ``subjects`` of the raw store.

    Raises
    ------
    RequestError
        If the project's sessions have no specs, or their specs are not on this machine.
    """
    scheme, _, pattern = project.spec.sessions.partition("://")
    roots = [Path(root) for root in project.spec.stores.get(scheme, ()) if not is_remote(root)]
    if pattern.endswith(".nwb"):
        msg = "the project's sessions are NWB files: they have no specs that could extend a subject's file"
        raise RequestError(msg, where=str(project.spec.path), hint="change the file: nwbpipe.transaction")
    if not roots:
        msg = "subjects can only be added where the specs are on this machine"
        hint = f"write {_FOLDER}/ID.yaml beside them, and name it in the `extends` of the session.yaml"
        raise RequestError(msg, where=f"{scheme}://", hint=hint)
    subjects = {session.key: session.subject_id for session in sessions}
    folders = Counter(
        Path(file).parent
        for key, files in list_spec_files(project, sessions).items()
        for file in files
        if not is_remote(file) and Path(file).stem == subjects[key]
    )
    candidates = [folder for folder, _ in folders.most_common() if any(_is_in(folder, root) for root in roots)]
    folder = candidates[0] if candidates else roots[0] / _FOLDER
    if not any(_is_in(folder, root) for root in roots):
        msg = "the folder of the subjects is a link that leads out of the project's folders"
        raise RequestError(msg, where=str(folder), found=str(folder.resolve()), hint="make it a folder")
    if fnmatchcase("ID.yaml", pattern.rpartition("/")[2]):
        msg = "the project would take files of subjects for sessions"
        hint = "narrow `sessions` in nwbpipe.toml: raw://**/session.yaml"
        raise RequestError(msg, where=str(project.spec.path), found=project.spec.sessions, hint=hint)
    return folder


def _is_in(folder: Path, root: Path) -> bool:
    return folder.resolve().is_relative_to(root.resolve())


def place_rows(table: SubjectTable, folder: Path, sessions: Iterable[Session]) -> None:
    """Find the file of each subject; note those that are there already with other values, and doubles."""
    sessions_by_subject = {session.subject_id: session for session in sessions}
    lines: dict[str, int] = {}
    for row in table.rows:
        name = row.values.get("subject_id", "")
        if row.mistakes or not name:
            continue
        if name.casefold() in lines:  # disks that tell no capitals apart would hold one file for both
            row.mistakes.append(f"subject_id: {name} stands in line {lines[name.casefold()]}, too")
            continue
        lines[name.casefold()] = row.number
        row.file = folder / f"{name}.yaml"
        try:
            row.mistakes += [problem.what for problem in list_yaml_problems(row.content, row.file)]
        except RequestError as error:
            row.mistakes.append(error.problem.found or error.problem.what)
        if row.mistakes:
            continue
        if row.file.exists() or row.file.is_symlink():
            old = _read_subject(row.file)
            row.is_known = old is not None and all(old.get(key) == value for key, value in row.values.items())
            if not row.is_known:
                fields = [key for key, value in row.values.items() if old is None or old.get(key) != value]
                row.mistakes.append(f"{row.file.name} is there with another {', '.join(fields)}: {_CORRECT}")
        elif name in sessions_by_subject:
            row.mistakes.append(
                f"subject_id: the session {sessions_by_subject[name].key} has this subject: {_CORRECT}"
            )


_CORRECT = "correct it on the page of a session of the subject"


def _read_subject(file: Path) -> Mapping[str, object] | None:
    try:
        tree = yaml.load(read_regular(file, _MOST_BYTES), Loader=yaml.BaseLoader)  # noqa: S506 - texts alone
    except (yaml.YAMLError, OSError, NwbpipeError, ValueError):
        return None
    subject = tree.get("subject") if isinstance(tree, Mapping) else None
    return subject if isinstance(subject, Mapping) else None


def write_subjects(rows: Sequence[SubjectRow], folder: Path) -> None:
    """Write a file of each subject; all, or none if one of them is there meanwhile, or the disk is full.

    Raises
    ------
    ConflictError
        If one of the files is there.
    FileAccessError
        If one of them can't be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileAccessError("the folder can't be made", where=str(folder), found=str(error)) from error
    with ExitStack() as stack:
        drafts = []
        for row in sorted(rows, key=lambda row: str(row.file)):
            assert row.file is not None
            try:
                drafts.append((row, stack.enter_context(create_atomically(row.file))))
            except OverwriteError as error:
                msg = f"{row.file.name} was written meanwhile"
                raise ConflictError(msg, where=str(folder), hint="look at the table again") from error
        for row, draft in drafts:  # a disk that is full says so here, before the first of them has its name
            with draft.open("wb") as file:
                file.write(row.content)
                file.flush()
                os.fsync(file.fileno())
