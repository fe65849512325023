"""Propose an nwbpipe.toml for a tree of sessions: which folders are sessions, and the ids in their names."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from nwbpipe.errors import RequestError
from nwbpipe.proposals._render import clean, quote
from nwbpipe.proposals._write import write_new

_DATE = re.compile(r"(?<!\d)(?:20\d\d[-_]?\d\d[-_]?\d\d|\d{6})(?!\d)")
_SUBJECT = re.compile(r"(?:sub|subject|mouse|rat|animal)[-_ ]?(?P<id>[A-Za-z0-9]+)", re.IGNORECASE)
_SESSION = re.compile(r"(?:ses|sess|session)[-_ ]?(?P<id>[A-Za-z0-9-]+)", re.IGNORECASE)
_MAX_DEPTH = 6


@dataclass(frozen=True)
class ProposedSession:
    """A folder that seems to be a session.

    Attributes
    ----------
    folder : str
        Relative to the tree.
    subject_id, session_id : str
        Read of the names of folders by the pattern; "" where they do not follow it.
    has_spec : bool
        True if it has a session.yaml already.
    """

    folder: str
    subject_id: str
    session_id: str
    has_spec: bool = False


@dataclass(frozen=True)
class ProjectProposal:
    """A proposed nwbpipe.toml. Nothing is written before `write`.

    Attributes
    ----------
    path : Path
        Where it would be written.
    text : str
        The TOML, with comments.
    pattern : str
        How the folders' names hold the ids: ``{subject_id}/{session_id}``; "" if none was seen.
    sessions : tuple of ProposedSession
    """

    path: Path
    text: str
    pattern: str
    sessions: tuple[ProposedSession, ...]

    def write(self, *, overwrite: bool = False) -> Path:
        """Write the project file.

        Raises
        ------
        OverwriteError
            There is one already, and `overwrite` is False.
        """
        write_new(self.path, self.text, "project file", overwrite=overwrite)
        return self.path

    def as_dict(self) -> dict[str, Any]:
        """Return the proposal as plain values."""
        return {
            "path": str(self.path),
            "pattern": self.pattern,
            "sessions": [asdict(session) for session in self.sessions],
        }


def propose_project(folder: Path | str, path: Path | str | None = None) -> ProjectProposal:
    """Look through a tree of sessions, and propose an nwbpipe.toml.

    A session is a folder that has a session.yaml. Where none has one: the first folders on each way down whose names
    have dates, or follow ``sub-…/ses-…``, of the depth that most of them have.

    Parameters
    ----------
    folder : path
        The tree.
    path : path, optional
        The project file to be; ``nwbpipe.toml`` in `folder` by default.

    Returns
    -------
    ProjectProposal

    Raises
    ------
    RequestError
        There is no such folder, or no session was seen in it.
    """
    root = Path(os.path.abspath(folder))  # noqa: PTH100 - links stay as they are
    target = Path(os.path.abspath(path)) if path is not None else root / "nwbpipe.toml"  # noqa: PTH100
    if not root.is_dir():
        raise RequestError("there is no such folder", where=str(root), expected="a folder of sessions")
    folders = list_folders(root)
    specs = {item for item in folders if (root / item / "session.yaml").is_file()}
    chosen = specs or choose_sessions(folders)
    if not chosen:
        raise RequestError(
            "no session was seen in the folder",
            where=str(root),
            expected="folders of sessions, such as M042/2024-05-01 or sub-M042/ses-1",
            found=", ".join(sorted(folders)[:8]) or "no folders",
            hint="for the folder of one session: nwbpipe new FOLDER",
        )
    ordered = sorted(chosen)
    pattern, ids = read_ids(ordered)
    sessions = tuple(ProposedSession(item, *ids.get(item, ("", "")), has_spec=item in specs) for item in ordered)
    return ProjectProposal(target, _render(root, target, pattern, sessions), pattern, sessions)


def list_folders(root: Path) -> list[str]:
    """Return the folders below a tree, as deep as sessions lie; links and hidden ones are left out."""
    folders: list[str] = []
    for parent, names, _ in os.walk(root):
        depth = len(Path(parent).relative_to(root).parts)
        names[:] = sorted(
            name for name in names if not name.startswith(".") and not (Path(parent) / name).is_symlink()
        )
        if depth >= _MAX_DEPTH:
            names.clear()
        if depth:
            folders.append(Path(parent).relative_to(root).as_posix())
    return folders


def choose_sessions(folders: Iterable[str]) -> set[str]:
    """Return the folders that seem to be sessions: the first on each way down whose name has a date or says so."""
    named = {item for item in folders if _SESSION.fullmatch(item.rpartition("/")[2]) or _has_date(item)}
    if not named:
        return set()
    # A date in the name of a recording within a session is deeper than most: the commonest depth decides.
    first = {item for item in named if not _is_below(item, named)}
    usual = Counter(item.count("/") for item in first).most_common(1)[0][0]
    chosen = {item for item in first if item.count("/") == usual}
    # M042/2024-05-01/001: numbered sessions within a day.
    numbered = {item for item in folders if re.fullmatch(r"\d{1,3}", item.rpartition("/")[2])}
    of_days = {item for item in numbered if item.rpartition("/")[0] in chosen}
    if of_days and not any(_is_below(item, chosen) for item in named):
        return chosen - {item.rpartition("/")[0] for item in of_days} | of_days
    return chosen


def _is_below(item: str, folders: Collection[str]) -> bool:
    return any(str(parent) in folders for parent in PurePosixPath(item).parents)


def _has_date(item: str) -> bool:
    return _DATE.search(item.rpartition("/")[2]) is not None


def read_ids(folders: Iterable[str]) -> tuple[str, dict[str, tuple[str, str]]]:
    """Return the pattern of folder names, and the subject's and session's id of each folder that follows it."""
    ids: dict[str, tuple[str, str]] = {}
    patterns: Counter[str] = Counter()
    of_pattern: dict[str, str] = {}
    for item in folders:
        pattern, subject, session = _read_one(item.split("/"))
        if pattern:
            ids[item] = (subject, session)
            patterns[pattern] += 1
            of_pattern[item] = pattern
    if not patterns:
        return "", {}
    usual = patterns.most_common(1)[0][0]
    return usual, {item: pair for item, pair in ids.items() if of_pattern[item] == usual}


def _read_one(parts: list[str]) -> tuple[str, str, str]:
    """Return the pattern, the subject and the session that a folder's names hold."""
    for index, part in enumerate(parts):
        match = _SUBJECT.fullmatch(part)
        session = _SESSION.fullmatch(parts[-1])
        if match and session and index < len(parts) - 1:
            head = ["*"] * index + [part[: match.start("id")] + "{subject_id}"]
            middle = ["*"] * (len(parts) - index - 2)
            tail = parts[-1][: session.start("id")] + "{session_id}"
            return "/".join([*head, *middle, tail]), match["id"], session["id"]
    dated = next((index for index, part in enumerate(parts) if _DATE.search(part)), None)
    if dated is None:
        return "", "", ""
    part = parts[dated]
    date = _DATE.search(part)
    assert date is not None
    subject, session_text = part[: date.start()].strip("_- "), part[date.start() :]
    number = f"-{parts[dated + 1]}" if dated + 1 < len(parts) else ""
    deeper = "/{number}" if number else ""
    if subject:  # M042_2024-05-01: both in one name
        mark = part[date.start() - 1] if date.start() and part[date.start() - 1] in "_- " else ""
        return (
            "/".join(["*"] * dated + [f"{{subject_id}}{mark}{{session_id}}"]) + deeper,
            subject,
            session_text + number,
        )
    if dated == 0:
        return "", "", ""
    return (
        "/".join(["*"] * (dated - 1) + ["{subject_id}", "{session_id}"]) + deeper,
        parts[dated - 1],
        session_text + number,
    )


def _render(root: Path, target: Path, pattern: str, sessions: tuple[ProposedSession, ...]) -> str:
    raw = os.path.relpath(root, target.parent)
    raw = "." if raw == "." else Path(raw).as_posix()
    without = [session for session in sessions if not session.has_spec]
    unread = [session for session in sessions if not session.session_id]
    lines = [
        "# A proposal of `nwbpipe new --project`, from the folders of this tree. Read every line of it.",
        f"# {len(sessions)} sessions were seen; {len(without)} of them have no session.yaml yet: `nwbpipe new FOLDER`"
        " proposes it.",
    ]
    if pattern:
        lines.append(f"# The names of their folders follow {pattern}:")
        lines += [f"#   {clean(_describe(session))}" for session in sessions[:10] if session.session_id]
        if len(sessions) > 10:
            lines.append(f"#   and {len(sessions) - 10} more")
    if pattern and unread:
        lines.append(f"# {len(unread)} do not follow it: {', '.join(clean(item.folder) for item in unread[:5])}")
    lines += [
        "# The ids that count are those in each session.yaml.",
        "nwbpipe = 1",
        "",
        "[project]",
        f"name = {quote(clean(root.name))}",
        'sessions = "raw://**/session.yaml"',
        'output = "nwb://sub-{subject_id}/sub-{subject_id}_ses-{session_id}.nwb"   # DANDI\'s layout',
        "",
        "[stores]                                      # relative ones are relative to this file",
        f"raw = {quote(raw)}",
        'nwb = "nwb"                                   # the session files: change it if they belong elsewhere',
        'state = ".nwbpipe"                            # logs, leases, and one small file per run',
        "",
        "# Steps: `nwbpipe processors` lists what can be run, `nwbpipe init` writes a file with examples.",
    ]
    return "\n".join(lines) + "\n"


def _describe(session: ProposedSession) -> str:
    return f"{session.folder}: subject {session.subject_id}, session {session.session_id}"
