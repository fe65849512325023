"""Download session files and videos of a dandiset into a project or a folder."""

from __future__ import annotations

import os
import re
import shutil
import threading
import uuid
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import requests

from nwbpipe.disk import create_file, remove_file
from nwbpipe.errors import (
    ArchiveError,
    FileAccessError,
    NwbpipeError,
    Problem,
    RequestError,
    show_text,
    suggest_names,
)
from nwbpipe.project import Project
from nwbpipe.publish._archive import Dandiset, RemoteAsset, list_assets, read_asset, read_dandiset
from nwbpipe.publish._client import ArchiveClient
from nwbpipe.publish._digests import StopRequest, digest_file
from nwbpipe.publish._instances import find_instance, find_key
from nwbpipe.publish._plan import Progress, has_content
from nwbpipe.stores import is_remote, match_path, normalize_path, open_store

_ADDRESS = re.compile(r"(?:([A-Za-z][A-Za-z-]*):)?(\d{6})(?:/(.*))?")
_VERSION = re.compile(r"(draft|\d+\.\d+\.\d+)(?:/(.*))?")
_BLOCK = 2**16
_TRIES = 6  # of a download that breaks off, unless it gets on
_HEADROOM = 2**28  # bytes that stay free on the disk


@dataclass(frozen=True)
class DownloadedFile:
    """A file of a dandiset on this machine.

    Attributes
    ----------
    asset : RemoteAsset
    file : Path
        It has the asset's digest.
    is_new : bool
        False if it was there.
    """

    asset: RemoteAsset
    file: Path
    is_new: bool


@dataclass
class DownloadReport:
    """The outcome of `download`.

    Attributes
    ----------
    dandiset : Dandiset
    files : list of DownloadedFile
        What is here, with the digests of the archive.
    problems : list of Problem
        Why others are not.
    notes : list of Problem
        What was left out.
    is_complete : bool
        True if all that was asked for is here.
    """

    dandiset: Dandiset
    files: list[DownloadedFile] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    notes: list[Problem] = field(default_factory=list)
    is_complete: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "dandiset": asdict(self.dandiset),
            "files": [{"file": str(file.file), "is_new": file.is_new, **asdict(file.asset)} for file in self.files],
            "problems": [asdict(problem) for problem in self.problems],
            "notes": [asdict(note) for note in self.notes],
            "is_complete": self.is_complete,
        }


def download(
    address: str,
    *,
    instance: str | None = None,
    output: Path | str | None = None,
    project: Path | str | None = None,
    profile: str | None = None,
    jobs: int = 4,
    progress: Progress | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> DownloadReport:
    """Download assets of a dandiset, with their digests checked.

    Parameters
    ----------
    address : str
        ``DANDI:000123``, with a version and a path, folder or pattern of paths behind it:
        ``DANDI:000123/0.240101.1200/sub-M1``, ``DANDI:000123/draft/**/*.nwb``. Without a version, the latest that is
        published.
    instance : str, optional
        The archive; see `upload`. ``DANDI:`` means the production archive if none is named.
    output : path, optional
        Folder for the files.
    project, profile : optional
        The project whose session files they become, and its profile; the nearest project by default.
    jobs : int
        Files at a time.
    progress, stopped : callable, optional
        See `upload`.

    Returns
    -------
    DownloadReport
        A file that is there with other content is left alone, and is among the problems.

    Raises
    ------
    RequestError
        If the address, the dandiset or the project is wrong.
    ArchiveError
        If the archive does not answer.
    """
    prefix, identifier, version, pattern = parse_address(address)
    name = instance or prefix
    if not name:
        expected = "DANDI:000123/…, or --instance NAME"
        raise RequestError("the archive is not named", expected=expected, found=show_text(address))
    target = _choose_target(output, project, profile)
    archive = find_instance(name)
    client = ArchiveClient(archive, find_key(archive), stopped=stopped)
    try:
        dandiset = read_dandiset(client, identifier, version)
        report = DownloadReport(dandiset)
        assets = _select(client, dandiset, pattern)
        locations = _place_assets(assets, target, report)
        _Fetcher(client, report, progress).run(locations, jobs)
        return report
    except StopRequest:
        raise KeyboardInterrupt from None
    finally:
        client.close()


def parse_address(address: str) -> tuple[str, str, str | None, str]:
    """Take an address apart: instance, dandiset, version, and the pattern of the paths.

    Raises
    ------
    RequestError
        If it is none.
    """
    match = _ADDRESS.fullmatch(address)
    if match is None:
        msg = "the address is not one of a dandiset"
        raise RequestError(msg, expected="DANDI:000123, DANDI:000123/sub-M1", found=show_text(address))
    pattern, version = match[3] or "", None
    if versioned := _VERSION.fullmatch(pattern):
        version, pattern = versioned[1], versioned[2] or ""
    return (match[1] or "").lower(), match[2], version, pattern.strip("/")


@dataclass(frozen=True)
class _Target:
    """The folder for the files, and the pattern of the project's sessions."""

    folder: Path
    pattern: str = "**"


def _choose_target(output: Path | str | None, project: Path | str | None, profile: str | None) -> _Target:
    if output is not None:
        if project is not None:
            msg = "a folder and a project were named"
            raise RequestError(msg, found=f"{output}, {project}", hint="leave one of them out")
        return _Target(Path(output))
    opened = Project(project, profile=profile).spec
    if opened.output is not None:
        msg = "the sessions of this project are converted from specs, which a dandiset does not have"
        hint = 'name a folder: --output FOLDER; or a project with sessions = "nwb://**/*.nwb" and no output'
        raise RequestError(msg, where=str(opened.path), hint=hint)
    name, _, pattern = opened.sessions.partition("://")
    root = opened.stores[name][0]
    if is_remote(root):
        msg = "the session files of this project are not on this machine"
        raise RequestError(msg, where=root, hint="name a folder: --output FOLDER")
    return _Target(Path(root), pattern)


def _select(client: ArchiveClient, dandiset: Dandiset, pattern: str) -> list[RemoteAsset]:
    """Return the assets of a path, a folder or a pattern; all if it is empty.

    Raises
    ------
    RequestError
        If there are none.
    """
    has_wildcard = bool(set(pattern) & set("*?["))
    assets = list_assets(client, dandiset, "" if has_wildcard else pattern)

    def is_selected(path: str) -> bool:
        if has_wildcard:
            return match_path(path, pattern)
        return not pattern or path == pattern or path.startswith(f"{pattern}/")

    selected = [asset for asset in assets if is_selected(asset.path)]
    if not selected:
        if pattern and not has_wildcard:
            assets = list_assets(client, dandiset)
        names = {asset.path for asset in assets}
        folders = {path.rpartition("/")[0] for path in names}
        msg = f"the dandiset {dandiset.identifier} ({dandiset.version}) has no such files"
        raise RequestError(
            msg, found=show_text(pattern) or "it is empty", hint=suggest_names(pattern, names | folders)
        )
    return selected


def _place_assets(
    assets: Iterable[RemoteAsset], target: _Target, report: DownloadReport
) -> list[tuple[RemoteAsset, Path]]:
    """Return the path of each asset on this machine; what leads elsewhere is refused."""
    store, locations = open_store(target.folder), []
    for asset in assets:
        if asset.is_zarr:
            report.notes.append(Problem("a Zarr folder is not downloaded", asset.path, hint="`dandi download` does"))
            continue
        try:
            names = normalize_path(asset.path)
            if names != asset.path or not names.isprintable() or any(part[0] == "." for part in names.split("/")):
                raise RequestError("the path may harm", where=show_text(asset.path))
            file = store.local_path(names)
        except RequestError:
            message = "a path of the dandiset leads elsewhere, or is made to harm: it is not downloaded"
            report.problems.append(Problem(message, show_text(asset.path)))
            continue
        assert file is not None
        if names.endswith(".nwb") and not match_path(names, target.pattern):
            hint = 'widen `sessions` in nwbpipe.toml ("nwb://**/*.nwb"), or name a folder: --output FOLDER'
            message = "the project would not find the session file there"
            report.problems.append(Problem(message, names, target.pattern, hint=hint))
            continue
        locations.append((asset, file))
    return locations


class _Fetcher:
    """Downloads files side by side."""

    def __init__(self, client: ArchiveClient, report: DownloadReport, progress: Progress | None) -> None:
        self._client, self._report, self._progress = client, report, progress
        self._lock, self._bytes, self._total = threading.Lock(), 0, 1

    def run(self, locations: list[tuple[RemoteAsset, Path]], jobs: int) -> None:
        """Download what is not there."""
        missing = [(asset, file) for asset, file in locations if not os.path.lexists(file)]
        self._total = max(sum(asset.size for asset, _ in missing), 1)
        _require_space(missing)
        with ThreadPoolExecutor(jobs) as pool:
            try:
                futures = {pool.submit(self._fetch, asset, file): asset for asset, file in locations}
                for future in as_completed(futures):
                    self._take(future)
            except BaseException:
                self._client.abort()
                raise
        self._report.files.sort(key=lambda file: file.asset.path)
        self._report.is_complete = not self._report.problems and len(self._report.files) == len(locations)

    def _take(self, future: Future[DownloadedFile]) -> None:
        try:
            self._report.files.append(future.result())
        except StopRequest:
            return
        except NwbpipeError as error:
            self._report.problems.append(error.problem)
            if isinstance(error, ArchiveError) and error.is_silent:
                self._client.abort()

    def _advance(self, count: int) -> None:
        with self._lock:
            self._bytes += count
            if self._progress is not None:
                text = f"{self._bytes / 1e6:.0f} of {self._total / 1e6:.0f} MB"
                self._progress(min(self._bytes, self._total) / self._total, text)

    def _fetch(self, listed: RemoteAsset, file: Path) -> DownloadedFile:
        asset = read_asset(self._client, self._report.dandiset, listed)
        if os.path.lexists(file):
            if file.is_file() and has_content(asset, digest_file(file, stopped=self._client.stopped)):
                return DownloadedFile(asset, file, is_new=False)
            hint = "move it away, or choose another folder: --output FOLDER"
            raise FileAccessError("a file with other content is there; it was left alone", where=str(file), hint=hint)
        partial = file.with_name(f".{file.name[:100]}.{uuid.uuid4().hex}.partial")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with os.fdopen(create_file(partial, mode=0o666), "wb") as sink:
                self._receive(asset, sink)
                sink.flush()
                os.fsync(sink.fileno())
            digest = digest_file(partial, stopped=self._client.stopped)
            if not has_content(asset, digest):
                msg = "what was downloaded has another digest than the archive says"
                expected, actual = f"{asset.size} bytes, {asset.etag}", f"{digest.size} bytes, {digest.etag}"
                raise ArchiveError(msg, where=asset.path, expected=expected, found=actual, hint="download it again")
            _give_name(partial, file)
        finally:
            remove_file(partial)
        return DownloadedFile(asset, file, is_new=True)

    def _receive(self, asset: RemoteAsset, sink: Any) -> None:
        """Write an asset's content; a download that breaks off goes on where it was."""
        tries, position = _TRIES, 0
        while position < asset.size:
            start = position
            try:
                with self._client.open_download(asset.asset_id, start) as response:
                    if start and response.status_code != requests.codes.partial_content:
                        self._advance(-start)
                        position = start = 0
                        sink.seek(0)
                        sink.truncate()
                    for block in response.iter_content(_BLOCK):
                        if self._client.stopped():
                            raise StopRequest
                        sink.write(block)
                        position += len(block)
                        self._advance(len(block))
                        if position > asset.size:
                            msg = "the archive sends more than the asset holds"
                            raise ArchiveError(msg, where=asset.path, expected=f"{asset.size} bytes")
            except requests.RequestException as error:
                reason = type(error).__name__
            else:
                reason = "the connection ended"
            tries = _TRIES if position > start else tries - 1
            if position < asset.size and not tries:
                hint = "try again later: files that are here are not fetched again"
                msg = "the download broke off"
                raise ArchiveError(msg, where=asset.path, expected=f"{asset.size} bytes", found=reason, hint=hint)


def _give_name(partial: Path, file: Path) -> None:
    """Give a finished file its name, unless another file has taken it meanwhile."""
    try:
        os.link(partial, file)
    except FileExistsError:
        msg = "a file of that name appeared meanwhile; it was left alone"
        raise FileAccessError(msg, where=str(file), hint="download again") from None
    except OSError:  # a file system without hard links
        if os.path.lexists(file):
            msg = "a file of that name appeared meanwhile; it was left alone"
            raise FileAccessError(msg, where=str(file), hint="download again") from None
        partial.rename(file)


def _require_space(missing: list[tuple[RemoteAsset, Path]]) -> None:
    """Refuse a download that the disk can't hold."""
    if not missing:
        return
    folder = missing[0][1].parent
    while not folder.exists():
        folder = folder.parent
    size, free = sum(asset.size for asset, _ in missing), shutil.disk_usage(folder).free
    if size + _HEADROOM > free:
        expected, actual = f"{(size + _HEADROOM) / 1e9:.1f} GB", f"{free / 1e9:.1f} GB"
        hint = "free space, or choose fewer files"
        raise FileAccessError("the disk is too small", where=str(folder), expected=expected, found=actual, hint=hint)
