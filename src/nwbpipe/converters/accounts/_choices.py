"""Refuse a source of several channels or planes where the spec chooses none of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nwbpipe.errors import SourceError


def require_choice(chosen: object, names: Sequence[str], argument: str, count: str, path: Path) -> None:
    """Check that one of several names is chosen; a single one needs no choice.

    Parameters
    ----------
    chosen : object
        Value of the argument; None if it is not given.
    names : sequence of str
        Names of the channels or planes.
    argument : str
        Name of the argument: ``"channel_name"``.
    count : str
        The part of the message that says how many there are, and where: ``"the file holds 2 channels"``.
    path : Path
        The file or folder.

    Raises
    ------
    SourceError
        There are several, and none of them is chosen.
    """
    if len(names) > 1 and chosen not in names:
        raise SourceError(
            f"{count}, and none of these is chosen",
            where=str(path),
            expected=f"{argument}: " + " or ".join(names),
            found=f"no {argument}" if chosen is None else str(chosen),
            hint="name it in args; the others are a source each",
        )
