"""A recognised stream, before it becomes a source of a spec."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from nwbpipe.converters import FILL_IN, Account


@dataclass(frozen=True)
class Mark:
    """A value that a person must fill in.

    Attributes
    ----------
    hint : str
        Words for the comment beside it.
    prefix : str
        The part of the value that is known, such as a time without its zone.
    """

    hint: str
    prefix: str = ""

    def __str__(self) -> str:
        return f"{self.prefix} {FILL_IN}".strip()


@dataclass(frozen=True)
class Noted:
    """A value with a comment beside it."""

    value: Any
    comment: str


@dataclass(frozen=True)
class TimesFile:
    """A file that holds the time of each sample of a stream.

    Attributes
    ----------
    path : Path
    column : str, int or None
        Of the times, as a clock names it.
    unit : str
    first_s, last_s : float
        In seconds.
    first_text : str
        The first time as the file has it.
    is_increasing : bool
        True if each time is later than the one before.
    """

    path: Path
    column: str | int | None
    unit: str
    first_s: float
    last_s: float
    first_text: str
    is_increasing: bool = True

    @property
    def is_unix(self) -> bool:
        """True if the times can only be Unix seconds: they lie between the years 2001 and 2100."""
        return 1e9 < self.first_s < 4.1e9


@dataclass
class Candidate:
    """A recognised stream.

    Attributes
    ----------
    name : str
        Wanted as the source's name; made unique later.
    interface : str or Mark
    args, options : dict
        A `Path` is written relative to the spec; `Mark` and `Noted` bring their comments.
    files : list of Path
        Files that belong to the stream.
    device : str
        The device whose clock the times are in; sources of one device share a clock.
    notes : list of str
        What was read of it.
    samples : int, optional
        Number of samples or frames, by which a file of times is found.
    rate : float, optional
        In Hz.
    start : datetime, optional
        Date and time of the first sample, as the files say.
    span : (float, float), optional
        First and last time in the stream's clock, in seconds.
    times : TimesFile, optional
        The times of its samples, in a file beside it.
    role : str
        ``recording``, ``sync``, ``movie``, ``video``, ``pose``, ``events``, ``trials``, ``sorting``, ``cells`` or
        ``signal``.
    is_accounted : bool
        True if the account of its interface should be read.
    account : Account, optional
        What the account says.
    """

    name: str
    interface: str | Mark
    args: dict[str, Any]
    files: list[Path] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)
    device: str = ""
    notes: list[str] = field(default_factory=list)
    samples: int | None = None
    rate: float | None = None
    start: datetime | None = None
    span: tuple[float, float] | None = None
    times: TimesFile | None = None
    role: str = "signal"
    is_accounted: bool = True
    account: Account | None = None


def plain(value: Any) -> Any:
    """Return arguments as the interface would get them: without marks, and without comments."""
    if isinstance(value, Noted):
        return plain(value.value)
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items() if not isinstance(item, Mark)}
    if isinstance(value, list):
        return [plain(item) for item in value if not isinstance(item, Mark)]
    return value


def count(number: int, noun: str) -> str:
    """Return ``1 file``, ``3 files``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def listed(names: Iterable[object], most: int = 8) -> str:
    """Return names in a row, cut where there are many."""
    texts = [str(name) for name in names]
    return ", ".join(texts[:most]) + (f" and {len(texts) - most} more" if len(texts) > most else "")
