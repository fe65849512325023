"""Read a lock: names with versions and hashes, and nothing else that an installer would obey."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from packaging.markers import InvalidMarker
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from nwbpipe.environments._tool import Tool
from nwbpipe.errors import Problem, RequestError

_MAX_BYTES = 2**22
_HASH = re.compile(r"--hash=sha(256|384|512):[0-9a-f]{64,128}")
_CONDA_HOST = "conda.anaconda.org"
_CONDA_FILE = re.compile(r"[\w.+!-]+-[\w.+!]+-\w+\.(conda|tar\.bz2)")


@dataclass(frozen=True)
class Lock:
    """The packages of a lock.

    Parameters
    ----------
    lines : tuple of str
        Requirements with their hashes, as pip and uv read them; for conda the URLs of its packages.
    versions : mapping of str to str
        Version of each package by canonical name, of those that this machine needs; empty for conda.
    has_hashes : bool
        True if each package has a hash.
    """

    lines: tuple[str, ...]
    versions: dict[str, str]
    has_hashes: bool


def read_lock(file: Path, tool: Tool) -> Lock:
    """Read a lock of pip's packages.

    Raises
    ------
    RequestError
        A line holds something else than a name with a version, or the lock lacks a package that the tool requires.
    """
    problems: list[Problem] = []
    lines: list[str] = []
    versions: dict[str, str] = {}
    hashed = 0
    for number, line in _join_lines(_read_text(file)):
        requirement, *hashes = re.split(r"\s+(?=--)", line)
        parsed = _parse(requirement)
        if parsed is None or not all(map(_HASH.fullmatch, hashes)):
            problems.append(
                Problem("a line is not a name with a version", f"{file}:{number}", "name==1.2.3", _shorten(line))
            )
            continue
        lines.append(line)
        hashed += bool(hashes)
        if parsed.marker is None or parsed.marker.evaluate():
            versions[canonicalize_name(parsed.name)] = next(iter(parsed.specifier)).version
    if problems:
        msg = "the lock holds more than names, versions and hashes; nothing was installed"
        hint = "`nwbpipe tools lock` writes such a file"
        raise RequestError(msg, where=str(file), hint=hint, problems=problems)
    _refuse_unmet(file, tool, versions)
    return Lock(tuple(lines), versions, bool(lines) and hashed == len(lines))


def read_conda_lock(file: Path) -> Lock:
    """Read an explicit list of conda: packages of conda-forge, each with a hash.

    Raises
    ------
    RequestError
        A line holds something else.
    """
    problems, lines = [], []
    for number, line in _join_lines(_read_text(file)):
        if line == "@EXPLICIT":
            continue
        url = urlsplit(line)
        name = url.path.rpartition("/")[2]
        is_package = url.scheme == "https" and bool(_CONDA_FILE.fullmatch(name)) and not url.query
        if not is_package or url.netloc != _CONDA_HOST or not url.path.startswith("/conda-forge/"):
            expected = f"https://{_CONDA_HOST}/conda-forge/…"
            problems.append(
                Problem("a line is not a package of conda-forge", f"{file}:{number}", expected, _shorten(line))
            )
        lines.append(line)
    if problems:
        msg = "the lock holds more than packages of conda-forge; nothing was installed"
        hint = f"if you know where its packages come from: nwbpipe trust {file}"
        raise RequestError(msg, where=str(file), hint=hint, problems=problems)
    return Lock(("@EXPLICIT", *lines), {}, False)


def _read_text(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            data = stream.read(_MAX_BYTES + 1)
        if len(data) > _MAX_BYTES:
            raise RequestError("the lock is too long", where=str(file), expected=f"{_MAX_BYTES} bytes at most")
        return data.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError("the lock can't be read", where=str(file), found=str(error)) from error


def _join_lines(text: str) -> list[tuple[int, str]]:
    """Return each requirement with the number of its first line, without comments."""
    joined: list[tuple[int, str]] = []
    begun: list[str] = []
    first = 0
    for number, raw in enumerate(re.split(r"\r?\n", text), 1):
        line = re.sub(r"(^|\s)#.*$", "", raw).strip()
        first = first if begun else number
        begun.append(line.removesuffix("\\").strip())
        if not line.endswith("\\"):
            if any(begun):
                joined.append((first, " ".join(filter(None, begun))))
            begun = []
    return [*joined, *([(first, " ".join(filter(None, begun)))] if any(begun) else [])]


def _parse(text: str) -> Requirement | None:
    """Return a requirement of one exact version; None for anything else."""
    try:
        requirement = Requirement(text)
        specifiers = list(requirement.specifier)
        if requirement.marker is not None:
            requirement.marker.evaluate()
    except (InvalidRequirement, InvalidMarker, ValueError, KeyError):
        return None
    exact = len(specifiers) == 1 and specifiers[0].operator == "==" and not specifiers[0].version.endswith("*")
    return requirement if exact and requirement.url is None else None


def _refuse_unmet(file: Path, tool: Tool, versions: dict[str, str]) -> None:
    built = {tool.package} if tool.checkout is not None and tool.checkout.built else set()
    required = {canonicalize_name(Requirement(text).name): text for text in tool.requirements}
    unmet = [
        f"{text} (the lock has {versions.get(name, 'no version of it')})"
        for name, text in required.items()
        if name not in built
        and (name not in versions or not Requirement(text).specifier.contains(versions[name], prereleases=True))
    ]
    if unmet:
        msg = f"the lock does not serve the tool {tool.name!r}"
        raise RequestError(
            msg, where=str(file), expected="; ".join(unmet), hint=f"lock it again: nwbpipe tools lock {tool.name}"
        )


def _shorten(line: str) -> str:
    """Return a line for a message, without the user and password of a URL."""
    line = re.sub(r"//[^/@\s]*@", "//…@", line).split("?")[0]
    return line if len(line) < 80 else f"{line[:80]} …"
