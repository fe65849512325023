"""Watch a project: convert and process each session once its files have arrived."""

from __future__ import annotations

import os
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from nwbpipe.errors import NwbpipeError, RequestError, UnknownNameError
from nwbpipe.project._project import Project
from nwbpipe.project._sessions import Session
from nwbpipe.project.execute import Reporter, RunSummary
from nwbpipe.project.execute._runner import is_runnable
from nwbpipe.project.plan import StepState
from nwbpipe.project.plan._conversion import list_raw_files
from nwbpipe.project.plan._planner import ALL
from nwbpipe.project.state import Stat
from nwbpipe.stores import is_remote


@dataclass(frozen=True)
class Health:
    """Health of a watched project, after one look at it.

    Attributes
    ----------
    sessions, arriving : int
        Number of sessions, and of those whose files are still changing.
    states : mapping of str to int
        Number of steps in each state.
    summary : RunSummary or None
        Summary of the run that followed.
    error : str
        The error if the look failed; else "".
    unfinished : mapping of str to str
        By session, a file with the temporary name of a copying program: the session waits until it is gone.
    """

    sessions: int = 0
    arriving: int = 0
    states: Mapping[str, int] = field(default_factory=dict)
    summary: RunSummary | None = None
    error: str = ""
    unfinished: Mapping[str, str] = field(default_factory=dict)

    @property
    def line(self) -> str:
        """One line for the log of a service."""
        if self.error:
            return f"not healthy: {self.error}"
        states = ", ".join(f"{number} {state}" for state, number in sorted(self.states.items()))
        waits = "".join(f"; {session} waits for the copy {path}" for session, path in self.unfinished.items())
        return f"healthy: {self.sessions} sessions, {self.arriving} arriving; {states or 'no steps'}{waits}"


# Endings of files that a browser, WinSCP, rclone, Nextcloud or robocopy is still writing.
_UNFINISHED = (".part", ".partial", ".crdownload", ".filepart", ".download", ".opdownload", ".~tmp~")
_OF_NWBPIPE = re.compile(r"\.nwbpipe.*|.*\.\d+-[0-9a-f]{8}\.partial")  # what a killed run left
_OF_RSYNC = re.compile(r"\.(?!_).+\.(?=[A-Za-z0-9]*[A-Z0-9])[A-Za-z0-9]{6}")  # .scan.tif.a7Qz01


def is_unfinished_copy(path: str) -> bool:
    """Return True for the temporary name that a copying program gives a file until it is whole."""
    name = path.rpartition("/")[2].rpartition("\\")[2]
    if _OF_NWBPIPE.fullmatch(name):
        return False
    return name.lower().endswith(_UNFINISHED) or _OF_RSYNC.fullmatch(name) is not None


class Watcher:
    """Watch a project: look at it again and again, and run what is missing.

    Parameters
    ----------
    project : Project
    settle_s : float
        Seconds without a change of its files after which a session counts as arrived.
    interval_s : float
        Seconds between looks; a change of a local raw file is seen at once.
    reporter : Reporter, optional
    **options
        ``executor`` and ``workers`` of `Project.run`.
    """

    def __init__(
        self, project: Project, *, settle_s: float = 60.0, interval_s: float = 30.0, reporter: Reporter | None = None,
        **options: Any,
    ) -> None:  # fmt: skip
        self.project, self.settle_s, self.interval_s = project, settle_s, interval_s
        self.file_stats = project.planner.file_stats
        self.reporter, self.options = reporter, options
        self.stop = threading.Event()
        self._seen: dict[str, tuple[Any, float]] = {}
        self._unfinished: dict[str, str] = {}

    def watch(self, tell: Callable[[Health], None]) -> None:
        """Look at the project until `stop` is set; call `tell` after each look."""
        self.project.require_trust()
        while not self.stop.is_set():
            try:
                health = self.run_once()
            except (NwbpipeError, OSError) as error:  # for example a store that can't be reached for a while
                health = Health(error=str(error).partition("\n")[0])
            tell(health)
            self._wait(min(self.settle_s, self.interval_s) if health.arriving else self.interval_s)

    def run_once(self) -> Health:
        """Look once, and run the sessions that have arrived."""
        self._unfinished.clear()
        sessions, _ = self.project.sessions()  # one listing of each store that is not on this machine
        arrived = [session for session in self.project.planner.specs.iterate(sessions) if self._has_arrived(session)]
        states, summary = self._find_states(arrived), None
        # Start no executor for nothing: that of a cluster would submit jobs.
        if any(is_runnable(session, None, retry_failed=False) for session in states) and not self.stop.is_set():
            summary = self.project.run(
                [session.key for session in arrived], reporter=self.reporter, stopped=self.stop.is_set, **self.options
            )
            self.file_stats.refresh(whole_stores=True)
            states = self._find_states(arrived)
        return Health(
            len(sessions), len(sessions) - len(arrived), Counter(session.state for session in states), summary,
            unfinished=dict(self._unfinished),
        )  # fmt: skip

    def _find_states(self, sessions: Sequence[Session]) -> list[StepState]:
        return [
            state for plan in self.project.planner.make_plans(sessions, limit=ALL).values() for state in plan.steps
        ]

    def _has_arrived(self, session: Session) -> bool:
        """Return True if no file of a session has changed for `settle_s` seconds, measured by our own clock.

        A file with the temporary name of a copying program means that it goes on.
        """
        if session.spec is None:
            files: set[str] = {str(session.file)}
        else:
            spec = self.project.planner.specs.read(session)
            assert spec is not None
            folder = os.path.dirname(str(session.spec))  # of a URL, too  # noqa: PTH120
            files = {*spec.files, *list_raw_files(spec, self.file_stats), *self.file_stats.list_below(folder)}
            if not is_remote(folder):
                files.add(folder)  # it changes with the names in it
        unfinished = sorted(filter(is_unfinished_copy, files))
        self._unfinished.update({session.key: unfinished[0]} if unfinished else {})
        stats = self.file_stats.stats(sorted(files))
        previous, since = self._seen.get(session.key, (None, 0.0))
        now = time.monotonic()
        if previous != stats:
            at_rest = previous is None and not any(map(is_remote, files)) and self._were_at_rest(stats.values())
            self._seen[session.key] = (stats, now - self.settle_s if at_rest else now)
            return at_rest and not unfinished
        return now - since >= self.settle_s and not unfinished

    def _were_at_rest(self, stats: Iterable[Stat | None]) -> bool:
        """Return True if local files were at rest before the first look: then there is nothing to wait for.

        The time of change of the inode tells it, which no program can put back; copying programs give a file the
        times that it had at its source, some of them while it still grows. Windows has no such time.
        """
        if os.name != "posix":
            return False
        newest = max((stat[4] for stat in stats if stat), default=0)
        return time.time() - newest / 1e9 >= self.settle_s

    def _wait(self, seconds: float) -> None:
        """Wait for a change in the sessions' store, at most `seconds`."""
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
            self.stop.wait(min(1.0, seconds))  # a running recording changes its files all the time
            return
        self.stop.wait(seconds)


class _AnyEvent:
    """An event that is set if any of several events is set."""

    def __init__(self, *events: threading.Event) -> None:
        self.events = events

    def is_set(self) -> bool:
        """Return True if any of the events is set."""
        return any(event.is_set() for event in self.events)


def render_systemd_unit(command: list[str], folder: Path, name: str) -> str:
    """Return a systemd unit (a user service) that watches a project.

    Raises
    ------
    RequestError
        The name of the folder, or a word of the command, would begin a line of its own.
    """
    for text in (*command, str(folder)):
        if not text.isprintable():
            msg = "a path or setting can't be a part of a systemd unit"
            raise RequestError(msg, found=repr(text), expected="text without line breaks", hint="rename it")
    words = " ".join(_quote_for_systemd(word) for word in command)
    name = "".join(character if character.isprintable() else " " for character in name).replace("%", "%%")
    folder_text = str(folder).replace("%", "%%")
    return (
        f"[Unit]\nDescription=nwbpipe watches {name}\nAfter=network-online.target\n\n"
        f"[Service]\nType=exec\nWorkingDirectory={folder_text}\nExecStart={words}\nRestart=on-failure\nRestartSec=30\n"
        "KillSignal=SIGTERM\nTimeoutStopSec=120\n\n[Install]\nWantedBy=default.target\n"
    )


def _quote_for_systemd(word: str) -> str:
    for character, escaped in (("\\", "\\\\"), ('"', '\\"'), ("%", "%%"), ("$", "$$")):
        word = word.replace(character, escaped)
    return f'"{word}"'


def render_watch_dockerfile(version: str, python: str, extras: str, base: str | None = None) -> str:
    """Return the Dockerfile of a worker's image, for any user: it watches the project at /project, or runs commands.

    Parameters
    ----------
    version : str
        Of nwbpipe.
    python : str
        Version of Python, as ``3.11``.
    extras : str
        Extras of nwbpipe, with commas between them.
    base : str, optional
        The image that it starts from, with Python and its ``venv``.

    Raises
    ------
    UnknownNameError
        There is no such extra.
    """
    names = [name.strip() for name in extras.split(",") if name.strip()]
    declared = metadata.metadata("nwbpipe").get_all("Provides-Extra") or []
    if undeclared := sorted(set(names) - set(declared)):
        msg = f"no such extra of nwbpipe: {', '.join(map(repr, undeclared))}"
        raise UnknownNameError(msg, expected=", ".join(sorted(declared)))
    package = f"nwbpipe[{','.join(names)}]" if names else "nwbpipe"
    release = version.partition("+")[0]
    return (
        f"FROM {base or f'python:{python}-slim'}\n"
        "# Each user of any id may write the home folder, and reads the rest.\n"
        "RUN python -m venv /opt/nwbpipe && mkdir -p -m 1777 /opt/nwbpipe-home\n"
        "ENV PATH=/opt/nwbpipe/bin:$PATH HOME=/opt/nwbpipe-home USER=nwbpipe NWBPIPE_TOOLS=/opt/nwbpipe-tools\n"
        f'RUN pip install --no-cache-dir "{package}=={release}"\n'
        "# Tools, each in an environment of its own: RUN nwbpipe tools install suite2p\n"
        "WORKDIR /project\nSTOPSIGNAL SIGTERM\n"
        "# The programs that /project/nwbpipe.toml names may run.\nENV NWBPIPE_TRUST=/project/nwbpipe.toml\n"
        "USER 1000:1000\n"
        'CMD ["nwbpipe", "watch", "--project", "/project/nwbpipe.toml"]\n'
    )
