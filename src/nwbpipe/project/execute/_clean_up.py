"""Remove, before a project's run, what its steps placed beside session files for a time: labelled videos."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nwbpipe.errors import NwbpipeError
from nwbpipe.project._sessions import Session
from nwbpipe.project._spec import ProjectSpec
from nwbpipe.run import MediumRemoval, remove_expired_media
from nwbpipe.session import SessionFile


def clean_up(project: ProjectSpec, sessions: Sequence[Session]) -> list[tuple[str, MediumRemoval]]:
    """Return what was removed or should have been, with its session; nothing where no step makes media.

    A session that can't be read keeps its media: its runs say what is wrong.
    """
    if not any(step.method.medium for step in project.steps.values()):
        return []
    removals = []
    for session in sessions:
        if isinstance(session.file, Path) and not session.file.exists():
            continue
        try:
            removals += [(session.key, removal) for removal in remove_expired_media(SessionFile.at(session.file))]
        except (NwbpipeError, OSError):
            continue
    return removals
