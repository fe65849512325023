"""Keep a project done: sessions whose files have arrived are converted and processed."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nwbpipe.errors import NwbpipeError
from nwbpipe.project._project import Project
from nwbpipe.project._sessions import Session
from nwbpipe.project.execute import Reporter, RunSummary
from nwbpipe.project.execute._runner import is_runnable
from nwbpipe.project.plan import StepState
from nwbpipe.project.plan._conversion import list_raw_files
from nwbpipe.project.plan._planner import ALL
from nwbpipe.stores import is_remote


@dataclass(frozen=True)
class Health:
    """How a watched project is, after one look.

    Attributes
    ----------
    sessions, arriving : int
        Sessions, and those of them whose files are still changing.
    states : mapping of str to int
        How many steps are in each state.
    summary : Summary or None
        Of the run that followed.
    error : str
        Why the look failed; "" if it did not.
    """

    sessions: int = 0
    arriving: int = 0
    states: Mapping[str, int] = field(default_factory=dict)
    summary: RunSummary | None = None
    error: str = ""

    @property
    def line(self) -> str:
        """One line for the log of a service."""
        if self.error:
            return f"not healthy: {self.error}"
        states = ", ".join(f"{number} {state}" for state, number in sorted(self.states.items()))
        return f"healthy: {self.sessions} sessions, {self.arriving} arriving; {states or 'no steps'}"


class Watcher:
    """Looks at a project again and again.

    Parameters
    ----------
    project : Project
    settle_s : float
        A session counts as arrived when none of its files has changed for so many seconds.
    interval_s : float
        Seconds between looks; where the raw files are on this machine, a change is seen at once.
    reporter : Reporter, optional
    **options
        ``executor`` and ``workers`` of `Project.run`.
    """

    def __init__(
        self, project: Project, *, settle_s: float = 60.0, interval_s: float = 30.0, reporter: Reporter | None = None,
        **options: Any,
    ) -> None:  # fmt: skip
        self.project, self.settle_s, self.interval_s = project, settle_s, interval_s
        self.looks = project.planner.file_stats
        self.reporter, self.options = reporter, options
        self.stop = threading.Event()
        self._seen: dict[str, tuple[Any, float]] = {}

    def watch(self, tell: Callable[[Health], None]) -> None:
        """Look until `stop` is set; each look is told."""
        while not self.stop.is_set():
            try:
                health = self.run_once()
            except (NwbpipeError, OSError) as error:  # a store that is away comes back
                health = Health(error=str(error).partition("\n")[0])
            tell(health)
            self._wait(min(self.settle_s, self.interval_s) if health.arriving else self.interval_s)

    def run_once(self) -> Health:
        """Look once, and run what has arrived."""
        sessions, _ = self.project.sessions()  # one listing of each store that is not on this machine
        arrived = [session for session in sessions if self._has_arrived(session)]
        states, summary = self._find_states(arrived), None
        # An executor is not begun for nothing: a cluster's would submit jobs.
        if any(is_runnable(session, None, retry_failed=False) for session in states) and not self.stop.is_set():
            summary = self.project.run(
                [session.key for session in arrived], reporter=self.reporter, stopped=self.stop.is_set, **self.options
            )
            self.looks.refresh(whole_stores=True)
            states = self._find_states(arrived)
        return Health(
            len(sessions), len(sessions) - len(arrived), Counter(session.state for session in states), summary
        )

    def _find_states(self, sessions: Sequence[Session]) -> list[StepState]:
        return [
            state for plan in self.project.planner.make_plans(sessions, limit=ALL).values() for state in plan.steps
        ]

    def _has_arrived(self, session: Session) -> bool:
        """Whether none of a session's files has changed for `settle_s` seconds, by our own clock."""
        if session.spec is None:
            files: set[str] = {str(session.file)}
        else:
            spec = self.project.planner.read_spec(session)
            assert spec is not None
            folder = os.path.dirname(str(session.spec))  # of a URL, too  # noqa: PTH120
            files = {*spec.files, *list_raw_files(spec, self.looks), *self.looks.list_below(folder)}
        stats = self.looks.stats(sorted(files))
        previous, since = self._seen.get(session.key, (None, 0.0))
        now = time.monotonic()
        if previous != stats:
            # Files of this machine that were at rest before we began to look need not be waited for.
            are_local = not any(map(is_remote, files))
            newest = max((stat[3] for stat in stats.values() if stat), default=0) if are_local else 0
            at_rest = are_local and previous is None and time.time() - newest / 1e9 >= self.settle_s
            self._seen[session.key] = (stats, now - self.settle_s if at_rest else now)
            return at_rest
        return now - since >= self.settle_s

    def _wait(self, seconds: float) -> None:
        """Wait for a change below the sessions' store, at most so long."""
        store = self.project.spec.sessions.partition("://")[0]
        roots = self.project.spec.stores[store]
        if any(map(is_remote, roots)):
            self.stop.wait(seconds)
            return
        with suppress(ImportError, OSError):
            import watchfiles

            stop = threading.Event()
            timer = threading.Timer(seconds, stop.set)
            timer.start()
            try:
                for _ in watchfiles.watch(
                    *roots,
                    stop_event=_AnyEvent(stop, self.stop),
                    raise_interrupt=True,
                    rust_timeout=500,
                    debounce=400,
                ):
                    break
            finally:
                timer.cancel()
            self.stop.wait(min(1.0, seconds))  # a recording that is being written wakes us again and again
            return
        self.stop.wait(seconds)


class _AnyEvent:
    """Set if one of two events is."""

    def __init__(self, *events: threading.Event) -> None:
        self.events = events

    def is_set(self) -> bool:
        """Whether one is set."""
        return any(event.is_set() for event in self.events)


def render_systemd_unit(command: list[str], folder: Path, name: str) -> str:
    """Return a systemd unit (of the user's services) that watches a project."""
    words = " ".join(f'"{word}"' for word in command)
    return (
        f"[Unit]\nDescription=nwbpipe watches {name}\nAfter=network-online.target\n\n"
        f"[Service]\nType=exec\nWorkingDirectory={folder}\nExecStart={words}\nRestart=on-failure\nRestartSec=30\n"
        "KillSignal=SIGTERM\nTimeoutStopSec=120\n\n[Install]\nWantedBy=default.target\n"
    )


def render_watch_dockerfile(version: str, python: str, extras: str) -> str:
    """Return a Dockerfile of an image that watches the project mounted at /project."""
    release = version.partition("+")[0]
    return (
        f"FROM python:{python}-slim\n"
        "RUN useradd --create-home user\nUSER user\nENV PATH=/home/user/.local/bin:$PATH\n"
        f'RUN python -m pip install --no-cache-dir --user "nwbpipe[{extras}]=={release}"\n'
        "# Tools, each in an environment of its own: RUN nwbpipe tools install suite2p\n"
        "WORKDIR /project\nSTOPSIGNAL SIGTERM\n"
        'CMD ["nwbpipe", "watch", "--project", "/project/nwbpipe.toml"]\n'
    )
