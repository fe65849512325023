"""Read the specs of a project's sessions, and cache their content in its index."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from nwbpipe import __version__
from nwbpipe.project._sessions import Session
from nwbpipe.project._spec import ProjectSpec
from nwbpipe.project.plan._conversion import SpecContent, read_spec_content
from nwbpipe.project.state import FileStats, Index, Stats
from nwbpipe.provenance import canonical_json, digest

AT_ONCE = 500  # sessions whose entries of the index are in memory
_IndexedSpec = tuple[str, Any, Stats]  # context, `SpecContent` as plain values, and the stats of its files


class SpecIndex:
    """The content of the specs of a project.

    Attributes
    ----------
    fresh : dict
        By path: what was read, and is not stored yet.
    """

    def __init__(self, project: ProjectSpec, index: Index, file_stats: FileStats) -> None:
        self._project, self._index, self._file_stats = project, index, file_stats
        self._loaded: dict[str, _IndexedSpec | None] = {}  # None: not in the index
        self.fresh: dict[str, _IndexedSpec] = {}

    def iterate(self, sessions: Sequence[Session]) -> Iterator[Session]:
        """Yield sessions whose specs are wanted: what the index has of them is loaded together, some at a time.

        The specs of all sessions would take a gigabyte of memory where there are a hundred thousand.
        """
        for start in range(0, len(sessions), AT_ONCE):
            part = sessions[start : start + AT_ONCE]
            self.load(part)
            yield from part
            self.store()

    def load(self, sessions: Sequence[Session]) -> None:
        """Load what the index has of the specs of some sessions."""
        names = [str(session.spec) for session in sessions if session.spec is not None]
        self._loaded = {**dict.fromkeys(names), **self._index.load_with_stats("spec", names)}

    def store(self) -> None:
        """Store what was read, and drop what was loaded."""
        fresh, self.fresh = self.fresh, {}
        entries = [(name, context, stats, value) for name, (context, value, stats) in fresh.items()]
        self._index.store("spec", entries, are_final=True)
        self._loaded = {}

    def read(self, session: Session) -> SpecContent | None:
        """Return the content of a session's spec; None if the session has none."""
        if session.spec is None:
            return None
        name = str(session.spec)
        context = digest(canonical_json([__version__, dict(self._project.stores)]))
        entry = self.fresh.get(name) or self._loaded.get(name)
        if entry is None and name not in self._loaded:
            entry = self._index.load_with_stats("spec", [name]).get(name)
        if entry is not None:
            indexed_context, value, stats = entry
            if indexed_context == context and self._file_stats.stats(stats) == stats:
                sources = tuple((a, b, c) for a, b, c in value["sources"])
                return SpecContent(value["parameters"], sources, tuple(value["files"]), value["error"])
        first_look = self._file_stats.look([session.spec])
        spec = read_spec_content(session.spec, self._project)
        read_stats = first_look.finish(spec.files)
        if not spec.error and read_stats is not None:
            self.fresh[name] = context, asdict(spec), read_stats
        return spec
