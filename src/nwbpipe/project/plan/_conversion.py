"""Find the state of a session's conversion, which is a run with a key, too."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from nwbpipe.errors import ConflictError, NwbpipeError
from nwbpipe.project._spec import ProjectSpec
from nwbpipe.project.plan._state import State
from nwbpipe.project.state import FileStats
from nwbpipe.provenance import IdentityCache, RemoteStat, RunRecord, digest
from nwbpipe.stores import is_remote

if TYPE_CHECKING:  # each function imports what it needs: a project that is done needs nothing of it
    from nwbpipe.converters import SpecChanges


@dataclass(frozen=True)
class SpecContent:
    """The content of a spec that a plan needs; it is cached in the index.

    Attributes
    ----------
    parameters : mapping
        The complete spec as plain values.
    sources : tuple of (str, str, str)
        Source, path as written in a spec, and absolute path or URL.
    files : tuple of str
        The files of the spec, and the folders in which a further raw file may appear: absolute paths or URLs.
    error : str
        The mistakes in it; "" if there are none.
    """

    parameters: Mapping[str, Any]
    sources: tuple[tuple[str, str, str], ...]
    files: tuple[str, ...]
    error: str = ""


def read_spec_content(path: Path | str, project: ProjectSpec) -> SpecContent:
    """Load a local or remote spec; its raw files may be missing."""
    from nwbpipe.converters import open_spec, source_paths, watched_folders

    try:
        with open_spec(path, project.open_stores, present=False) as spec:
            paths = spec.paths
            sources = tuple(
                (name, paths.display(raw), paths.original_location(raw)) for name, raw in source_paths(spec)
            )
            files = tuple(paths.original_location(file) for file in (*spec.files, *watched_folders(spec)))
            return SpecContent({**spec.as_dict(), "stub": False}, sources, files)
    except NwbpipeError as error:
        mistakes = "; ".join(str(problem.what) for problem in error.problems) or error.problem.what
        return SpecContent({}, (), (str(path),), f"the spec has mistakes: {mistakes}")


def _find_no_changes() -> SpecChanges:
    from nwbpipe.converters import SpecChanges

    return SpecChanges()


@dataclass(frozen=True)
class ConversionState:
    """State of a conversion.

    Attributes
    ----------
    state, reason
        See `StepState`.
    ready : bool
        True if it could run now.
    key : str
        Key of the attempt: of the spec and raw files as they are now.
    changes : SpecChanges
        Changes of the spec since the file was written.
    rebuild : bool
        True if the file has to be built again; False if an edit of its metadata is enough.
    """

    state: State
    reason: str = ""
    ready: bool = False
    key: str = ""
    changes: SpecChanges = field(default_factory=_find_no_changes)
    rebuild: bool = False


def list_raw_files(spec: SpecContent, file_stats: FileStats) -> list[str]:
    """Return the files that the state of a conversion depends on: raw files, and the content of raw folders."""
    return [file for _, _, path in spec.sources for file in (path, *file_stats.list_below(path))]


def evaluate_conversion(
    spec: SpecContent,
    file_exists: bool,
    record: RunRecord | None,
    file_stats: FileStats,
    *,
    limit: int,
) -> ConversionState:
    """Compare a spec and its raw files with the record of their conversion.

    Parameters
    ----------
    spec : SpecContent
    file_exists : bool
        True if the NWB file exists.
    record : RunRecord or None
        The file's current record of its conversion.
    file_stats : FileStats
        Stats of the raw files.
    limit : int
        Raw files up to that size, in bytes, may be hashed now.
    """
    from nwbpipe.converters import compare_specs, conversion_key

    if spec.error:
        return ConversionState("blocked", spec.error)
    absent = [name for _, name, path in spec.sources if not file_stats.exists(path)]
    key = digest("\n".join([conversion_key(spec.parameters, []), *_describe_stats(spec.sources, file_stats)]))
    if not file_exists:
        if absent:
            return ConversionState("blocked", f"raw files are missing: {', '.join(absent)}", key=key)
        return ConversionState("missing", "not converted yet", ready=True, key=key)
    if record is None:
        return ConversionState("blocked", "the NWB file exists, but it was not converted by nwbpipe", key=key)
    changes = compare_specs(record.parameters, spec.parameters)
    changed, unknown = _compare_sources(spec.sources, record.sources, file_stats, limit)
    if changes.rebuild or changed:
        reasons = [f"raw data changed: {', '.join(changed)}"] if changed else []
        reasons += [f"spec changed: {'; '.join(changes.differences)}"] if changes.differences else []
        if absent:
            return ConversionState(
                "blocked", f"{'; '.join(reasons)}; raw files are missing: {', '.join(absent)}", key=key
            )
        return ConversionState("stale", "; ".join(reasons), ready=True, key=key, changes=changes, rebuild=True)
    if changes.metadata or changes.pixel_sizes:
        return ConversionState("stale", f"metadata changed: {'; '.join(changes.differences)}", True, key, changes)
    if unknown:
        return ConversionState("unverified", f"raw files were touched: {', '.join(unknown)}", key=key)
    return ConversionState("done", f"raw files are elsewhere now: {', '.join(absent)}" if absent else "", key=key)


def _describe_stats(sources: Iterable[tuple[str, str, str]], file_stats: FileStats) -> list[str]:
    texts = []
    for source, name, path in sources:
        stat = file_stats.stat(path)
        if stat is not None:
            stats = " ".join(map(str, stat if is_remote(path) else stat[2:4]))
        else:
            stats = " ".join(map(str, map(file_stats.stat, file_stats.list_below(path)))) or "absent"
        texts.append(f"{source} {name} {stats}")
    return texts


def _compare_sources(
    sources: Sequence[tuple[str, str, str]], recorded: Sequence[Mapping[str, Any]], file_stats: FileStats, limit: int
) -> tuple[list[str], list[str]]:
    """Return the sources whose content changed since it was recorded, and those for which that is not known."""
    from nwbpipe.converters import identity_values

    recorded_sources = {(entry.get("source"), entry.get("path")): entry for entry in recorded}
    cache = IdentityCache()
    changed, unknown = [], []
    for source, name, path in sources:
        old = recorded_sources.get((source, name))
        if old is None:
            changed.append(name)
        elif file_stats.exists(path):  # a raw file that was moved away counts as unchanged
            mode: Literal["full", "stat"] = "stat" if "mtime_ns" in old else "full"  # as recorded
            identity = None  # stays None for a remote file that was recorded with its time of change
            if not is_remote(path):
                identity = cache.identify_file_within(path, mode=mode, limit=limit)
            elif mode == "full":
                with suppress(ConflictError):  # replaced since it was listed: the next look sees it
                    identity = cache.identify_remote_within(_list_remote_files(path, file_stats), limit=limit)
            if identity is None:
                unknown.append(name)
            elif identity_values(identity) != {key: old[key] for key in ("size", "sha256", "mtime_ns") if key in old}:
                changed.append(name)
    return changed, unknown


def _list_remote_files(url: str, file_stats: FileStats) -> dict[str, tuple[str, RemoteStat]]:
    """Return a remote file as {"": …}, or the files below a remote folder by their relative paths."""
    stat = file_stats.stat(url)
    if stat is not None:
        return {"": (url, RemoteStat(*stat))}
    stats = file_stats.stats(file_stats.list_below(url))
    return {
        name[len(url) + 1 :]: (name, RemoteStat(*file_stat))
        for name, file_stat in stats.items()
        if file_stat is not None
    }


def apply_failure(conversion: ConversionState, failed: Sequence[tuple[str, str, str]]) -> ConversionState:
    """Return the state "failed" where the last failed run is of the key that would be computed now."""
    if conversion.ready and failed and failed[-1][0] == conversion.key:
        return ConversionState("failed", failed[-1][1], True, conversion.key, conversion.changes, conversion.rebuild)
    return conversion
