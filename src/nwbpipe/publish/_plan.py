"""Compare files with a dandiset by digest: what is new, changed, unchanged or refused, before anything is sent."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from nwbpipe.errors import NwbpipeError, Problem
from nwbpipe.publish._archive import Dandiset, RemoteAsset, find_remote_assets
from nwbpipe.publish._check import find_refusals
from nwbpipe.publish._client import ArchiveClient
from nwbpipe.publish._digests import FileDigest, StopRequest, digest_file
from nwbpipe.publish._layout import AssetFile, SessionAssets

#: Called with a fraction (0 to 1) and a text.
Progress = Callable[[float, str], None]
_HASHING = 2  # files at a time


@dataclass(frozen=True)
class PlannedAsset:
    """A file, its digests, and the asset that has its place.

    Attributes
    ----------
    asset : AssetFile
    digest : FileDigest
    current : RemoteAsset, optional
        The asset that is there.
    """

    asset: AssetFile
    digest: FileDigest
    current: RemoteAsset | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "file": str(self.asset.file),
            "path": self.asset.path,
            "size": self.digest.size,
            "etag": self.digest.etag,
            "sha256": self.digest.sha256,
            "asset_id": self.current.asset_id if self.current else None,
        }


@dataclass
class UploadPlan:
    """The four lists of an upload.

    Attributes
    ----------
    dandiset : Dandiset, optional
        None if it is to be created.
    new, changed, unchanged : list of PlannedAsset
    refused : list of SessionAssets
        Session files that DANDI would refuse, with the problems of each.
    notes : list of Problem
    """

    dandiset: Dandiset | None
    new: list[PlannedAsset] = field(default_factory=list)
    changed: list[PlannedAsset] = field(default_factory=list)
    unchanged: list[PlannedAsset] = field(default_factory=list)
    refused: list[SessionAssets] = field(default_factory=list)
    notes: list[Problem] = field(default_factory=list)

    @property
    def pending(self) -> list[PlannedAsset]:
        """The files that are to be sent."""
        return [*self.new, *self.changed]

    @property
    def pending_bytes(self) -> int:
        """Their size."""
        return sum(planned.digest.size for planned in self.pending)

    def as_dict(self) -> dict[str, Any]:
        """Return the lists as JSON values."""
        lists = {name: [planned.as_dict() for planned in getattr(self, name)] for name in _LISTS}
        refused = [
            {"file": str(session.file), "problems": [asdict(problem) for problem in session.problems]}
            for session in self.refused
        ]
        return {**lists, "refused": refused, "notes": [asdict(note) for note in self.notes]}


_LISTS = ("new", "changed", "unchanged")


def plan_upload(
    client: ArchiveClient,
    dandiset: Dandiset | None,
    sessions: Iterable[SessionAssets],
    *,
    progress: Progress | None = None,
) -> UploadPlan:
    """Compare session files and their videos with a dandiset by digest, and check those that are not there yet.

    Parameters
    ----------
    client : ArchiveClient
    dandiset : Dandiset, optional
        None if it is to be created: all files are new.
    sessions : iterable of SessionAssets
    progress : callable, optional

    Raises
    ------
    ArchiveError
        If the archive does not answer.
    StopRequest
        If the user asked for a stop.
    """
    plan = UploadPlan(dandiset)
    sessions = list(sessions)
    digests = _digest_files(sessions, client.stopped, progress)
    readable = [session for session in sessions if not session.problems]
    paths = [asset.path for session in readable for asset in session.assets]
    current = find_remote_assets(client, dandiset, paths) if dandiset is not None else {}
    placed: set[str] = set()
    for number, session in enumerate(sessions):
        plan.notes += session.notes
        if not session.problems:
            groups = _sort_assets(session, digests, current)
            if groups["new"] or groups["changed"]:
                if client.stopped():
                    raise StopRequest
                if progress is not None:
                    progress(number / len(sessions), f"checking {session.file.name}")
                session.problems += find_refusals(session)
        if session.problems:
            plan.refused.append(session)
            continue
        for name, group in groups.items():
            for planned in group:
                if planned.asset.path not in placed:  # two sessions may share a video
                    placed.add(planned.asset.path)
                    getattr(plan, name).append(planned)
    return plan


def _digest_files(
    sessions: list[SessionAssets], stopped: Callable[[], bool], progress: Progress | None
) -> dict[Path, FileDigest]:
    """Return the digests of all files; what can't be read is added to the problems of its session."""
    pairs = [(session, asset.file) for session in sessions if not session.problems for asset in session.assets]
    total = sum(_read_size(file) for _, file in pairs)
    read_bytes = [0]

    def advance(count: int) -> None:
        read_bytes[0] += count
        if progress is not None:
            progress(read_bytes[0] / max(total, 1), f"reading {read_bytes[0] / 1e6:.0f} of {total / 1e6:.0f} MB")

    def read(pair: tuple[SessionAssets, Path]) -> FileDigest | None:
        session, file = pair
        try:
            return digest_file(file, advance=advance, stopped=stopped)
        except NwbpipeError as error:
            session.problems.append(error.problem)
            return None

    with ThreadPoolExecutor(_HASHING) as pool:
        digests = list(pool.map(read, pairs))
    return {file: digest for (_, file), digest in zip(pairs, digests, strict=True) if digest is not None}


def _read_size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:  # told when it is read
        return 0


def _sort_assets(
    session: SessionAssets, digests: dict[Path, FileDigest], current: dict[str, RemoteAsset]
) -> dict[str, list[PlannedAsset]]:
    groups: dict[str, list[PlannedAsset]] = {name: [] for name in _LISTS}
    for asset in session.assets:
        planned = PlannedAsset(asset, digests[asset.file], current.get(asset.path))
        remote = planned.current
        if remote is None:
            groups["new"].append(planned)
        elif remote.is_zarr:
            hint = "remove it at the archive, or give the session another id"
            session.problems.append(Problem("a Zarr folder has this place in the dandiset", asset.path, hint=hint))
        elif has_content(remote, planned.digest):
            groups["unchanged"].append(planned)
        else:
            groups["changed"].append(planned)
    return groups


def has_content(remote: RemoteAsset, digest: FileDigest) -> bool:
    """Return True if an asset has a file's content, by each digest that the archive has."""
    same_etag = remote.etag == digest.etag and remote.size == digest.size
    return same_etag and remote.sha256 in ("", digest.sha256)
