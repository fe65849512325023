"""Examine what nwbpipe needs on this machine and in a project, before hours of work depend on it."""

from __future__ import annotations

import os
import platform
import secrets
import shutil
import sys
from collections.abc import Callable, Iterator
from functools import cache
from importlib import metadata
from pathlib import Path

import psutil
from packaging.requirements import Requirement

from nwbpipe.converters.spec import find_project_file
from nwbpipe.errors import FileAccessError, NwbpipeError
from nwbpipe.machine import Finding, Severity, is_trusted, make_cache_folder
from nwbpipe.project._load import load_project
from nwbpipe.project._spec import ProjectSpec
from nwbpipe.project._trust import list_programs
from nwbpipe.project.execute import list_gpus
from nwbpipe.run import log_folder
from nwbpipe.stores import Store, is_remote, open_store, scratch_folder
from nwbpipe.stores.s3 import public_url

_SHOWN = ("nwbpipe", "pynwb", "hdmf", "h5py", "numpy", "neuroconv", "nwbinspector")
_LITTLE = 20e9  # bytes: a raw movie or probe recording fills it


def examine_python() -> list[Finding]:
    """Check this Python, and the packages that nwbpipe and each of its extras want."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = psutil.virtual_memory().total / 1e9
    gpus = len(list_gpus())
    versions = ", ".join(f"{name} {version}" for name in _SHOWN if (version := _find_version(name)))
    findings = [
        Finding("machine", Severity.FINE, f"Python {platform.python_version()}: {sys.executable}"),
        Finding("machine", Severity.FINE, f"{cores} cores, {memory:.0f} GB of memory, {gpus or 'no'} GPUs of NVIDIA"),
        Finding("packages", Severity.FINE, versions),
    ]
    findings += [
        Finding("packages", Severity.FAULT, f"{text}; next: python -m pip install nwbpipe")
        for text in _list_unmet("")
    ]
    extras = {name: _list_unmet(name) for name in metadata.metadata("nwbpipe").get_all("Provides-Extra") or ()}
    complete = sorted(name for name, unmet in extras.items() if not unmet)
    findings.append(Finding("packages", Severity.FINE, f"extras: {', '.join(complete) or 'none'}"))
    findings += [
        Finding("packages", Severity.NOTE, f"{'; '.join(unmet)}; next: python -m pip install 'nwbpipe[{name}]'")
        for name, unmet in sorted(extras.items())
        if unmet and name not in {"all", "dev"}
    ]
    return findings


def _list_unmet(extra: str) -> list[str]:
    """Return what nwbpipe, or one of its extras, requires and does not find; also by the extras of other packages."""
    unmet, visited = set(), set()
    waiting = [("nwbpipe", extra)]
    while waiting:
        package = waiting.pop()
        if package in visited:
            continue
        visited.add(package)
        for required in _list_required(*package):
            version = _find_version(required.name)
            if version is None:
                unmet.add(f"{required.name} is not installed")
                continue
            if not required.specifier.contains(version, prereleases=True):
                unmet.add(f"{required.name}{required.specifier} (found {version})")
            waiting += [(required.name, further) for further in required.extras]
    return sorted(unmet)


def _find_version(package: str) -> str | None:
    """Return the version of an installed package."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


@cache
def _list_required(package: str, extra: str) -> tuple[Requirement, ...]:
    """Return what a package requires, or for an extra what it requires beyond that."""
    requirements = []
    for text in metadata.requires(package) or ():
        required = Requirement(text)
        applies, always = (
            required.marker is None or required.marker.evaluate({"extra": name}) for name in (extra, "")
        )
        if applies and not (extra and always):
            requirements.append(required)
    return tuple(requirements)


def examine_folders() -> list[Finding]:
    """Check the folders of unfinished work, caches and logs: can they be written, and is there room."""
    return [
        _examine_folder(about, find, variable)
        for about, find, variable in (
            ("scratch", scratch_folder, "NWBPIPE_SCRATCH"),
            ("cache", make_cache_folder, "NWBPIPE_CACHE"),
            ("logs", log_folder, "NWBPIPE_LOGS"),
        )
    ]


def _examine_folder(about: str, find: Callable[[], Path], variable: str) -> Finding:
    try:
        folder = find()
    except FileAccessError as error:
        return Finding("folders", Severity.FAULT, f"{about}: {_explain(error)}")
    if not os.access(folder, os.W_OK):
        text = f"{about}: you may not write to {folder}: set another folder with {variable}"
        return Finding("folders", Severity.FAULT, text)
    free = shutil.disk_usage(folder).free
    text = f"{about}: {folder}, {free / 1e9:.0f} GB free"
    if free < _LITTLE and about == "scratch":
        return Finding("folders", Severity.NOTE, f"{text}; tools may need more: NWBPIPE_SCRATCH names another folder")
    return Finding("folders", Severity.FINE, text)


def examine_project(path: Path | str | None = None, *, profile: str | None = None) -> list[Finding]:
    """Check a project file, whether it is trusted, and what may be done in each of its stores.

    Nothing of the project is changed. In a store elsewhere that the project writes to, a small object under a random
    name is written and removed.

    Parameters
    ----------
    path : path, optional
        The file or its folder; the nearest one upwards from the current folder by default.
    profile : str, optional
        Whose stores are meant; ``NWBPIPE_PROFILE`` by default.

    Returns
    -------
    list of Finding
        Empty if no project is named, and there is none upwards from here.
    """
    if path is None and find_project_file(Path.cwd(), foreign=True) is None:
        return []
    try:
        project = load_project(path, profile=profile)
    except NwbpipeError as error:
        return [Finding("project", Severity.FAULT, _explain(error))]
    findings = [Finding("project", Severity.FINE, f"{project.name}: {project.path}, {len(project.steps)} steps")]
    if list_programs(project) and not is_trusted(project.path):
        text = f"it names programs and is not trusted; if you know them: nwbpipe trust {project.path}"
        findings.append(Finding("project", Severity.FAULT, text))
    return [*findings, *_examine_stores(project)]


def _examine_stores(project: ProjectSpec) -> Iterator[Finding]:
    written = {(project.output or project.sessions).partition("://")[0], "state", "models"}
    for name, roots in project.stores.items():
        for number, root in enumerate(roots):
            root_name = f"{name}: {public_url(root)}"
            try:
                text = _examine_store(open_store(root), writes=name in written and number == 0)
                yield Finding("stores", Severity.FINE, f"{root_name}, {text}")
            except NwbpipeError as error:
                yield Finding("stores", Severity.FAULT, f"{root_name}: {_explain(error)}")


def _examine_store(store: Store, *, writes: bool) -> str:
    """Say what may be done in a store; raise an error where something may not."""
    if not is_remote(store.root):
        return _examine_local(Path(store.root), writes)
    next(iter(store.list(deep=False)), None)
    if not writes:
        return "can be read"
    trial = f"nwbpipe-doctor-{secrets.token_hex(8)}"
    store.write_bytes(trial, b"?", if_absent=store.conditional_writes)
    store.remove(trial)
    return "can be read and written" if store.conditional_writes else "can be read and written, but not session files"


def _examine_local(root: Path, writes: bool) -> str:
    # `Path.exists` raises an error below a folder that may not be entered.
    existing = next(folder for folder in (root, *root.parents) if os.path.exists(folder))  # noqa: PTH110
    if not os.access(existing, os.W_OK | os.X_OK if writes else os.R_OK | os.X_OK):
        msg = f"you may not {'write' if writes else 'read'} there"
        raise FileAccessError(msg, where=str(existing), hint="ask who owns it, or name another folder in [stores]")
    if existing != root and not writes:
        raise FileAccessError("there is no such folder", where=str(root), hint="create it, or correct [stores]")
    free = f"{shutil.disk_usage(existing).free / 1e9:.0f} GB free"
    if existing != root:
        return f"made when it is first needed, {free}"
    return f"can be read and written, {free}" if writes else "can be read"


def _explain(error: NwbpipeError) -> str:
    """Return an error in one line."""
    return "; ".join(" ".join(line.split()) for line in str(error).splitlines() if line.strip())
