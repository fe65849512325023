"""Remove, before a project's run, what its steps placed beside session files for a time: labelled videos."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from nwbpipe import __version__
from nwbpipe.errors import NwbpipeError
from nwbpipe.project._sessions import Session
from nwbpipe.project.plan._planner import Planner
from nwbpipe.run import MediumRemoval, find_media_due, remove_expired_media
from nwbpipe.session import SessionFile


def clean_up(planner: Planner, sessions: Sequence[Session]) -> list[tuple[str, MediumRemoval]]:
    """Return what was removed or should have been, with its session; nothing where no step makes media.

    The index keeps when the media of a file are due: one that is unchanged is not opened before. A session that can't
    be read keeps its media: its runs say what is wrong.
    """
    if not any(step.method.medium for step in planner.project.steps.values()):
        return []
    now = datetime.fromtimestamp(time.time(), UTC)
    indexed = planner.index.load("media", [session.key for session in sessions])
    fresh, removals = [], []
    for session in sessions:
        if isinstance(session.file, Path) and not session.file.exists():
            continue
        file, context = SessionFile.at(session.file), f"{__version__} {session.file}"
        try:
            if session.key in indexed and indexed[session.key][0] == context:
                text = indexed[session.key][1]
            else:
                stats = planner.file_stats.stats([session.file])
                due = find_media_due(file)
                text = due.isoformat() if due is not None else ""
                fresh.append((session.key, context, stats, text))
            if text and datetime.fromisoformat(text) <= now:
                removals += [(session.key, removal) for removal in remove_expired_media(file, now)]
        except (NwbpipeError, OSError):
            continue
    planner.index.store("media", fresh)
    return removals
