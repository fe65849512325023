"""Read the account of a source behind the wall: its raw files may come from strangers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from nwbpipe.converters._source import find_paths
from nwbpipe.converters.accounts import Account, PoseTable, read_account, read_pose_table
from nwbpipe.foreign import ReadScope, forbid_code


def read_source_account(
    interface: str, arguments: Mapping[str, Any], roots: Sequence[Path]
) -> tuple[Account | None, str]:
    """Read the account of a source; what its files hold is not run unless the user trusts them.

    Parameters
    ----------
    interface : str
        Class name of the interface.
    arguments : mapping
        The source's arguments, with absolute paths.
    roots : sequence of Path
        Folders that nothing may be read outside of.

    Returns
    -------
    (Account or None, str)
        The account, and the reason why there is none.

    Raises
    ------
    SourceError, UntrustedError
        The probe refuses the files, or their reader works only with code.
    """
    from nwbpipe.converters.interfaces import are_trusted, close_readers

    raw = list(find_paths(arguments))
    wall: AbstractContextManager[None] = nullcontext()
    if not are_trusted(raw):
        close_readers(interface, raw)  # first: the wall closes what is imported by then
        wall = forbid_code(interface, scope=ReadScope(raw, roots))
    with wall:
        return read_account(interface, arguments)


def read_pose_columns(path: Path, roots: Sequence[Path]) -> tuple[list[str], set[str], int] | str:
    """Read the body parts, the coordinates and the number of rows of a DeepLabCut file, or why it is none.

    As `read_source_account`, it runs nothing that the file holds.
    """
    from nwbpipe.converters.interfaces import close_readers

    close_readers("DeepLabCutInterface", [path])
    with forbid_code(str(path), scope=ReadScope([path], roots)):
        table = read_pose_table(path)
    if not isinstance(table, PoseTable):
        return f"{table.what}: {table.found}"
    return list(table.keypoints), set(table.coordinates), len(table.index)
