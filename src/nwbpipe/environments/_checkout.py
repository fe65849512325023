"""Tools that are taken from a checkout of their repository."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from packaging.requirements import Requirement

from nwbpipe.environments._settings import read_settings, variable_name
from nwbpipe.environments._tool import Tool
from nwbpipe.errors import ToolMissingError

_SOURCES = {".m", ".py", ".pyx", ".c", ".cpp", ".h"}


def find_checkout(tool: Tool) -> tuple[Path, str]:
    """Return the checkout that the user names for a tool, and the version in it.

    Raises
    ------
    ToolMissingError
        If none is named, or if what is named is none, or of another version.
    """
    source = tool.checkout
    assert source is not None, tool.name
    named = read_settings(tool).checkout
    hint = f"git clone {source.repository}, and name it: {variable_name(tool, 'checkout')}=/path/to/it"
    if named is None:
        msg = f"the tool {tool.name!r} is on no package index, and no checkout of it is named"
        raise ToolMissingError(msg, expected=f"a checkout of {source.repository}", hint=hint)
    if not (named / source.contains).is_file():
        msg = f"what is named as the checkout of {tool.name!r} is none"
        raise ToolMissingError(msg, where=str(named), expected=f"a folder with {source.contains}", hint=hint)
    file, pattern = source.version
    try:
        found = re.search(pattern, (named / file).read_text(encoding="utf-8", errors="replace"), re.MULTILINE)
    except OSError:
        found = None
    if found is None:
        msg = f"the checkout of {tool.name!r} does not say its version"
        raise ToolMissingError(msg, where=str(named / file), expected=f"text like {pattern}", hint=hint)
    version = found.group(1)
    wanted = Requirement(tool.requirements[0]).specifier if source.built else None
    if wanted is not None and not wanted.contains(version, prereleases=True):
        msg = f"the checkout of {tool.name!r} has another version"
        raise ToolMissingError(
            msg,
            where=str(named),
            expected=str(wanted),
            found=version,
            hint="check out the tag of a version that fits",
        )
    return named.resolve(), version


def compute_content_version(folder: Path, version: str) -> str:
    """Return ``<version>+<8 hex digits>``: the digest of the sources, as a checkout changes under its version."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.suffix in _SOURCES and path.is_file():
            digest.update(path.relative_to(folder).as_posix().encode() + b"\0")
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return f"{version}+{digest.hexdigest()[:8]}"
