"""Which project files and folders may make nwbpipe run code: only those that the user trusts.

The user's decisions are kept in a private file in the user's configuration, never in a project or a spec. An entry
counts for the path and for all below it, as long as the path belongs to the same user as when it was trusted.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from platformdirs import user_config_path

from nwbpipe.errors import FileAccessError

#: Trusted paths of one process and its children, with the separator of PATH between them: for containers and CI.
VARIABLE = "NWBPIPE_TRUST"


def trust(path: Path | str) -> Path:
    """Trust a project file, or a folder with all below it; return the path that is kept.

    Raises
    ------
    FileAccessError
        There is nothing at the path, or the list of trusted paths can't be written.
    """
    target = Path(path).resolve()
    try:
        owner = target.stat().st_uid
    except OSError as error:
        msg = "the path to trust can't be found"
        raise FileAccessError(msg, where=str(path), found=str(error.strerror), hint="check the path") from error
    _write({**_read(), str(target): owner})
    return target


def withdraw_trust(path: Path | str) -> bool:
    """Forget that a path is trusted; return False if it was not."""
    entries = _read()
    if entries.pop(str(Path(path).resolve()), None) is None and entries.pop(str(path), None) is None:
        return False
    _write(entries)
    return True


def list_trusted() -> list[str]:
    """Return the trusted paths, also those of ``NWBPIPE_TRUST``, sorted."""
    return sorted({*_read(), *map(str, _read_variable())})


def is_trusted(path: Path | str) -> bool:
    """Return True if a path, or a folder above it, is trusted."""
    target = Path(path).resolve()
    above = {target, *target.parents}
    if above & set(_read_variable()):
        return True
    return any(Path(entry) in above and _read_owner(Path(entry)) == owner for entry, owner in _read().items())


def belongs_to_user(path: Path) -> bool:
    """Return True if a file is the user's own or root's, and not everybody can change or exchange it."""
    return not explain_foreign(path)


def explain_foreign(path: Path) -> str:
    """Return the reason if somebody else than the user and root may have written a file; else ""."""
    if not hasattr(os, "getuid"):
        return ""
    ours = {0, os.getuid()}
    if os.getuid() == 0 and os.environ.get("SUDO_UID", "").isdigit():
        ours.add(int(os.environ["SUDO_UID"]))
    for entry in (path, path.parent):
        status = entry.stat()
        if status.st_uid not in ours and entry == path:
            return f"it belongs to the user {status.st_uid}"
        if status.st_mode & stat.S_IWOTH and not (entry != path and status.st_mode & stat.S_ISVTX):
            return "everybody may change it" if entry == path else f"everybody may exchange files in {entry}"
    return ""


def _read_variable() -> Iterator[Path]:
    for entry in os.environ.get(VARIABLE, "").split(os.pathsep):
        if os.path.isabs(entry):  # noqa: PTH117
            yield Path(entry).resolve()


def _read_owner(path: Path) -> int | None:
    try:
        return path.stat().st_uid
    except OSError:
        return None


def _list_file() -> Path:
    return user_config_path("nwbpipe", appauthor=False) / "trust.json"


def _read() -> dict[str, int]:
    """Return the owner of each trusted path; a list that others could have written counts for nothing."""
    file = _list_file()
    try:
        descriptor = os.open(file, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    except OSError:
        return {}
    with os.fdopen(descriptor, encoding="utf-8") as stream:
        status = os.fstat(descriptor)
        if hasattr(os, "getuid") and (status.st_uid != os.getuid() or status.st_mode & 0o022):
            return {}
        try:
            entries = json.load(stream)["trusted"]
            return {str(entry["path"]): int(entry["owner"]) for entry in entries}
        except (ValueError, KeyError, TypeError):
            return {}


def _write(entries: dict[str, int]) -> None:
    file = _list_file()
    draft = file.with_name(f"{file.name}.{os.getpid()}.new")
    content = {"trusted": [{"path": path, "owner": owner} for path, owner in sorted(entries.items())]}
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
        with os.fdopen(os.open(draft, flags, 0o600), "w", encoding="utf-8") as stream:
            json.dump(content, stream, indent=1)
        draft.replace(file)
    except OSError as error:
        msg = "the list of trusted paths can't be written"
        raise FileAccessError(
            msg, where=str(file), found=str(error.strerror), hint=f"name the path in {VARIABLE} instead"
        ) from error
