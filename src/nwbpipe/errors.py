"""The tree of errors.

Each error says what went wrong, where, what was expected, what was found, and what to do next. Each class has
a stable code, and the exit code of the command line (1: the work failed, 2: the request was wrong).

::

    NwbpipeError
    ├── RequestError              exit 2: the request is wrong
    │   ├── SpecError             NP101  session.yaml or nwbpipe.toml has mistakes: all of them are listed
    │   ├── ParameterError        NP102  a processor's parameter is unknown, of the wrong type or out of range
    │   ├── UnknownNameError      NP103  no processor, interface or tool of that name
    │   ├── InputError            NP104  a processor's input is missing, or several objects match it
    │   ├── ResultExistsError     NP105  the step has a result already, with other parameters or inputs
    │   ├── OverwriteError        NP106  the output exists, or holds results that would be lost
    │   ├── UnsupportedFileError  NP107  not HDF5, not NWB, or an NWB version that is not supported
    │   ├── UntrustedError        NP108  a project or raw files would run code, and the user does not trust them
    │   └── ChangedResultError    NP109  a result, or its record, is not as its run wrote it
    └── WorkError                 exit 1: the work was started, or checked, and failed
        ├── SourceError           NP201  a raw file is missing, unreadable, truncated or contradicts itself
        │   └── AccountError      NP208  the raw files hold something else than was read of them
        ├── ClockError            NP202  no evidence aligns a clock, or its times don't fit
        ├── InvalidResultError    NP203  the result would not be valid NWB, or DANDI would refuse it
        ├── FileAccessError       NP204  reading or writing failed: space, permission, a missing folder
        ├── DamagedFileError      NP205  the file is damaged or truncated
        ├── LockedFileError       NP206  another process holds the file's lock
        ├── ConflictError         NP207  another writer changed the file first (S3: there is no lock)
        ├── UnsafeFileError       NP209  a file leads out of its folder, or is made to harm its reader
        ├── ArchiveError          NP220  a DANDI archive refused, or does not answer
        ├── LeakageError          NP221  parts of a data set for machine learning share data
        └── ToolError             NP210  a tool's computation failed
            ├── ToolMissingError  NP211  the tool is not installed
            ├── ToolFailedError   NP212  the tool raised an error
            ├── ToolCrashedError  NP213  the tool's process died (segmentation fault, abort)
            ├── ToolMemoryError   NP214  the tool ran out of memory
            ├── ToolTimeoutError  NP215  the tool was stopped at its time limit
            └── ToolKilledError   NP216  the tool's process was killed from outside
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

_USER = re.compile(r"(?<=://)[^/\s@'\"]+@")
_WORD = re.compile(r"[^\s'\"<>]+")


def show_text(text: object, *, indent: str | None = None) -> str:
    r"""Return text from elsewhere as it may be shown: it can't steer a terminal, hide, or forge a line.

    Control, bidirectional, zero-width and other characters that show nothing are escaped (``\x1b``, ``\u202e``).
    Users, passwords and queries of URLs, which may be signatures, are left out.

    Parameters
    ----------
    text : object
        The text, of a file, a spec, a tool or a file name.
    indent : str, optional
        Keep line breaks, with this before each further line; by default they are escaped, too.
    """
    string = str(text)
    if indent is not None:
        return f"\n{indent}".join(show_text(line) for line in string.splitlines()) if string else ""
    if "://" in string:
        string = _WORD.sub(_hide_query, _USER.sub("…@", string))
    if string.isprintable():
        return string
    return "".join(c if c.isprintable() or unicodedata.category(c) == "Zs" else _escape(c) for c in string)


def _hide_query(word: re.Match[str]) -> str:
    """Return a word without the query of a URL in it; a pattern would look at a long word again for each ``://``."""
    text = word[0]
    start = text.find("://")
    query = text.find("?", start + 4) if start >= 0 else -1
    return f"{text[:query]}?…" if 0 <= query < len(text) - 1 else text


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode()


@dataclass(frozen=True)
class Problem:
    """A single problem of a request, a file or a result.

    Parameters
    ----------
    what : str
        The problem, in one line.
    where : str, optional
        The file, key, object or line.
    expected, found : str, optional
        The value that should be there, and the value that is.
    hint : str, optional
        The next step for the user.
    """

    what: str
    where: str | None = None
    expected: str | None = None
    found: str | None = None
    hint: str | None = None

    def __str__(self) -> str:
        lines = [show_text(self.what, indent="    ")]
        for label, text in (
            ("where", self.where),
            ("expected", self.expected),
            ("found", self.found),
            ("next", self.hint),
        ):
            if text is not None:
                lines.append(f"  {label + ':':<10}{show_text(text, indent=' ' * 12)}")
        return "\n".join(lines)


def suggest_names(
    name: str, known: Iterable[str], *, most: int = 1, cutoff: float = 0.5, also: Iterable[str] = ()
) -> str | None:
    """Return the hint "did you mean …?" with the names that are most like a mistyped one; None if none is.

    Parameters
    ----------
    name : str
        The name as it was typed.
    known : iterable of str
        The names that exist.
    most : int
        How many to suggest.
    cutoff : float
        Similarity (0 to 1) below which a name is not suggested.
    also : iterable of str
        Names to suggest besides.
    """
    from difflib import get_close_matches

    near = dict.fromkeys([*get_close_matches(name, list(known), n=most, cutoff=cutoff), *also])
    return f"did you mean {' or '.join(map(repr, near))}?" if near else None


class NwbpipeError(Exception):
    """Base of every error that nwbpipe raises on purpose.

    Parameters
    ----------
    what : str
        The problem, in one line.
    where, expected, found, hint : str, optional
        See :class:`Problem`.
    problems : iterable of Problem, optional
        The single problems, if there are several.
    """

    code: ClassVar[str] = "NP000"
    exit_code: ClassVar[int] = 1

    def __init__(
        self,
        what: str,
        *,
        where: str | None = None,
        expected: str | None = None,
        found: str | None = None,
        hint: str | None = None,
        problems: Iterable[Problem] = (),
    ) -> None:
        self.problem = Problem(what, where, expected, found, hint)
        self.problems = list(problems)
        super().__init__(what)

    def __str__(self) -> str:
        text = str(self.problem)
        if self.problems:
            items = [f"{number}. {problem}" for number, problem in enumerate(self.problems, 1)]
            text += "\n" + "\n".join(items)
        return text


class RequestError(NwbpipeError):
    """The request is wrong."""

    code = "NP100"
    exit_code = 2


class SpecError(RequestError):
    """A session spec or project file has mistakes; `problems` lists all of them."""

    code = "NP101"


class ParameterError(RequestError):
    """A processor's parameter is unknown, of the wrong type or out of range."""

    code = "NP102"


class UnknownNameError(RequestError):
    """There is no processor, interface or tool of that name."""

    code = "NP103"


class InputError(RequestError):
    """A processor's input is missing, or several objects match it."""

    code = "NP104"


class ResultExistsError(RequestError):
    """The step has a result already, made with other parameters or from other inputs."""

    code = "NP105"


class OverwriteError(RequestError):
    """The output exists, or holds results that would be lost."""

    code = "NP106"


class UnsupportedFileError(RequestError):
    """The file is not HDF5, not NWB, or has an NWB version that is not supported."""

    code = "NP107"


class UntrustedError(RequestError):
    """A project file or raw files would run code, and the user has not said that they are trusted."""

    code = "NP108"


class ChangedResultError(RequestError):
    """A result, or its record, was changed since its run wrote it: it is kept until it is named with ``--force``."""

    code = "NP109"


class WorkError(NwbpipeError):
    """The work was started, or checked, and failed."""

    code = "NP200"


class SourceError(WorkError):
    """A raw file is missing, unreadable, truncated, or contradicts itself."""

    code = "NP201"


class AccountError(SourceError):
    """The raw files of a source hold something else than was read of them, or lie apart from the other sources."""

    code = "NP208"


class ClockError(WorkError):
    """No evidence aligns a clock, or its times don't fit."""

    code = "NP202"


class InvalidResultError(WorkError):
    """The result would not be valid NWB, or DANDI would refuse it."""

    code = "NP203"


class FileAccessError(WorkError):
    """Reading or writing failed: permission, space, a missing folder."""

    code = "NP204"


class DamagedFileError(WorkError):
    """The file is damaged or truncated."""

    code = "NP205"


class LockedFileError(WorkError):
    """Another process holds the file's lock."""

    code = "NP206"


class ConflictError(WorkError):
    """Another writer changed the file first (S3: there is no lock)."""

    code = "NP207"


class UnsafeFileError(WorkError):
    """A file leads its reader out of its folder, or is made to take all memory or time: it is not read."""

    code = "NP209"


class ArchiveError(WorkError):
    """A DANDI archive refused, or does not answer.

    `status` is the code of its answer. `is_silent` is True if there was no answer.
    """

    code = "NP220"
    status: int | None = None
    is_silent: bool = False


class LeakageError(WorkError):
    """Parts of a data set for machine learning share data; `problems` says which."""

    code = "NP221"


class ToolError(WorkError):
    """A tool's computation failed; `log` is the path of its complete output."""

    code = "NP210"
    log: str | None = None


class ToolMissingError(ToolError):
    """The tool that a processor needs is not installed."""

    code = "NP211"


class ToolFailedError(ToolError):
    """The tool raised an error."""

    code = "NP212"


class ToolCrashedError(ToolError):
    """The tool's process died (segmentation fault, abort)."""

    code = "NP213"


class ToolMemoryError(ToolError):
    """The tool ran out of memory."""

    code = "NP214"


class ToolTimeoutError(ToolError):
    """The tool was stopped at its time limit."""

    code = "NP215"


class ToolKilledError(ToolError):
    """The tool's process was killed from outside."""

    code = "NP216"
