"""Find the session files that are to be uploaded: those that are named, or those of a project."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nwbpipe.converters.spec import PROJECT_FILE
from nwbpipe.errors import Problem, RequestError, suggest_names
from nwbpipe.project import Project, PublishSection
from nwbpipe.publish._layout import SessionAssets, find_assets, find_clashes
from nwbpipe.stores import Store, is_remote


@dataclass
class UploadSources:
    """The session files of an upload.

    Attributes
    ----------
    sessions : list of SessionAssets
        Files with their videos, places and problems.
    state : Store, optional
        ``state://`` of the project, where the receipt goes.
    settings : PublishSection
        [publish] of nwbpipe.toml.
    """

    sessions: list[SessionAssets]
    state: Store | None = None
    settings: PublishSection = field(default_factory=PublishSection)


def find_sources(
    names: Sequence[Path | str],
    *,
    project: Path | str | None = None,
    profile: str | None = None,
    sessions: Sequence[str] = (),
) -> UploadSources:
    """Find the session files.

    Parameters
    ----------
    names : sequence of path
        Session files; or a single project: its nwbpipe.toml, or its folder. The nearest project by default.
    project : path, optional
        The project whose state keeps the receipt of files that are named.
    profile : str, optional
        Profile of the project.
    sessions : sequence of str
        Keys of the project's sessions, or patterns of keys.

    Raises
    ------
    RequestError
        If a file does not exist, is not on this machine, or is named beside a project.
    """
    opened = [name for name in names if _is_project(name)]
    if opened and (len(names) > 1 or project is not None):
        msg = "a project was named together with something else"
        raise RequestError(msg, found=", ".join(map(str, names)), hint="name session files, or one project")
    if names and not opened:
        if sessions:
            hint = "leave out the files, or --session"
            raise RequestError("--session chooses among the sessions of a project", hint=hint)
        files = _check_files(names)
        sources = UploadSources([find_assets(file) for file in files])
        if project is not None:
            opened_project = Project(project, profile=profile)
            sources.state, sources.settings = opened_project.planner.state, opened_project.spec.publish
    else:
        sources = _find_in_project(Project(opened[0] if opened else project, profile=profile), sessions)
    find_clashes(sources.sessions)
    return sources


def _is_project(name: Path | str) -> bool:
    path = Path(name)
    return not is_remote(name) and (path.name == PROJECT_FILE or (path / PROJECT_FILE).is_file())


def _check_files(names: Sequence[Path | str]) -> list[Path]:
    """Return the files that were named, each once.

    Raises
    ------
    RequestError
        If any does not exist, or is none that DANDI takes: nothing is sent then.
    """
    problems, files = [], dict[Path, Path]()
    for name in names:
        path = Path(name)
        if is_remote(name):
            hint = "upload it from a machine that has it, or download it first"
            problems.append(Problem("the file is not on this machine", str(name), hint=hint))
        elif not path.is_file():
            near = [file.name for file in path.parent.glob("*.nwb")] if path.parent.is_dir() else []
            problems.append(Problem("no such file", str(name), hint=suggest_names(path.name, near)))
        elif path.suffix != ".nwb":
            problems.append(Problem("not a session file", str(name), "a file that ends in .nwb"))
        else:
            files.setdefault(path.resolve(), path)
    if problems:
        msg = "files that were named can't be uploaded; nothing was sent"
        raise RequestError(msg, problems=problems)
    return list(files.values())


def _find_in_project(project: Project, patterns: Sequence[str]) -> UploadSources:
    sessions, problems = project.sessions(patterns)
    assets = [SessionAssets(Path(problem.where or "?"), problems=[problem]) for problem in problems]
    for session in sessions:
        if is_remote(session.file):
            hint = "upload from a profile whose files are on this machine"
            missing = Problem("the session's file is not on this machine", str(session.file), hint=hint)
            assets.append(SessionAssets(Path(str(session.file)), problems=[missing]))
        elif not Path(session.file).is_file():
            missing = Problem("the session has no file yet", str(session.file), hint="`nwbpipe run` converts it")
            assets.append(SessionAssets(Path(session.file), problems=[missing]))
        else:
            assets.append(find_assets(Path(session.file), session.key))
    return UploadSources(assets, project.planner.state, project.spec.publish)
