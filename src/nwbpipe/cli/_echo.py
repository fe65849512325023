"""Write to the terminal. What comes from a file, a spec or a tool is shown as text, and can't steer the terminal."""

from __future__ import annotations

import logging
import string
from urllib.parse import quote

import typer

from nwbpipe.errors import show_text


def echo(text: object = "", *, err: bool = False, lines: bool = False) -> None:
    r"""Write a line; control, bidirectional and zero-width characters are shown escaped.

    Parameters
    ----------
    text : object
        The line.
    err : bool
        Write to stderr.
    lines : bool
        True for a text of several lines, put together of parts that were escaped; else a line break is shown as
        ``\n``, so that no name in a file forges a line.
    """
    line = "\n".join(map(show_text, str(text).split("\n"))) if lines else show_text(text)
    typer.echo(line, err=err)


def echo_address(address: str) -> None:
    """Write an address of ours with its query, which `echo` hides; what is not printable ASCII is percent-encoded."""
    typer.echo(quote(address, safe=string.punctuation))


class ShownFormatter(logging.Formatter):
    """Formats log messages as `echo` does."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the message; a text of several lines is indented, so that it forges none."""
        return "\n    ".join(map(show_text, super().format(record).split("\n")))
