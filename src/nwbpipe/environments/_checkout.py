"""Find the checkout of a tool that is used from its repository."""

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
    """Return the checkout of a tool that the user set, and its version.

    Raises
    ------
    ToolMissingError
        No checkout is set, the folder is not a checkout of the tool, or its version does not fit.
    """
    source = tool.checkout
    assert source is not None, tool.name
    folder = read_settings(tool).checkout
    hint = f"git clone {source.repository}, then set {variable_name(tool, 'checkout')}=/path/to/it"
    if folder is None:
        msg = f"no checkout of the tool {tool.name!r} is set, and no package index has the tool"
        raise ToolMissingError(msg, expected=f"a checkout of {source.repository}", hint=hint)
    if not (folder / source.contains).is_file():
        msg = f"{folder} is not a checkout of {tool.name!r}: it has no file {source.contains}"
        raise ToolMissingError(msg, where=str(folder), expected=f"a folder with {source.contains}", hint=hint)
    file, pattern = source.version
    try:
        match = re.search(pattern, (folder / file).read_text(encoding="utf-8", errors="replace"), re.MULTILINE)
    except OSError:
        match = None
    if match is None:
        msg = f"the checkout of {tool.name!r} does not state its version"
        raise ToolMissingError(msg, where=str(folder / file), expected=f"text like {pattern}", hint=hint)
    version = match.group(1)
    required = Requirement(tool.requirements[0]).specifier if source.built else None
    if required is not None and not required.contains(version, prereleases=True):
        msg = f"the checkout of {tool.name!r} has another version"
        raise ToolMissingError(
            msg,
            where=str(folder),
            expected=str(required),
            found=version,
            hint="check out the tag of such a version",
        )
    return folder.resolve(), version


def compute_content_version(folder: Path, version: str) -> str:
    """Return ``<version>+<8 hex digits>``, with a digest of the sources: a checkout changes under its version."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.suffix in _SOURCES and path.is_file():
            digest.update(path.relative_to(folder).as_posix().encode() + b"\0")
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return f"{version}+{digest.hexdigest()[:8]}"
