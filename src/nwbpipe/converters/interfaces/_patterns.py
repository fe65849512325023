"""Match lines of a log with a regular expression of a spec, which may come from a stranger: some take for ever."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

from nwbpipe.errors import SourceError
from nwbpipe.machine import child_python, select_variables

TIMEOUT = 20.0  # seconds; a million lines take one
_MAX_TEXT = 2000  # characters of a pattern


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Return a pattern with named groups.

    Raises
    ------
    SourceError
        It is no regular expression, is too long, or names no group.
    """
    if len(pattern) > _MAX_TEXT:
        raise SourceError(
            "the pattern is too long",
            where="args: pattern",
            expected=f"at most {_MAX_TEXT} characters",
            found=f"{len(pattern)} characters",
        )
    try:
        expression = re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise SourceError(
            "the pattern is not a regular expression", where="args: pattern", found=str(error)
        ) from error
    if not expression.groupindex:
        raise SourceError(
            "the pattern has no named group",
            where="args: pattern",
            expected="named groups, one a column: (?P<event>…) (?P<time>…)",
            found=pattern,
        )
    return expression


def match_lines(path: Path, pattern: str, lines: list[str]) -> list[dict[str, str] | None]:
    """Return the named groups of each line, or None where it does not match as a whole.

    A pattern that looks at a line in ever more ways (``(a+)+``) would hold Python up for ever, and can't be
    interrupted: a process of its own matches, and is ended after `TIMEOUT` seconds.

    Raises
    ------
    SourceError
        If it does not come to an end.
    """
    script = Path(__file__).with_name("_match_lines.py")
    try:
        answer = subprocess.run(
            child_python("-I", "-S", str(script)),
            input=json.dumps([pattern, lines]),
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=TIMEOUT,
            check=True,
            env=select_variables() | {"PYTHONIOENCODING": "utf-8"},
        )
    except subprocess.TimeoutExpired as error:
        raise SourceError(
            f"the pattern does not come to an end within {TIMEOUT:g} s",
            where="args: pattern",
            expected="a pattern without repetitions of repetitions, such as (a+)+",
            found=pattern,
            hint=f"write [^,]* or [0-9]+ for each part; the log is {path}",
        ) from error
    except subprocess.CalledProcessError as error:
        last = error.stderr.strip().splitlines()[-1:]
        msg = "the pattern can't be matched with the lines"
        raise SourceError(msg, where=str(path), found=" ".join(last)) from error
    groups: list[dict[str, str] | None] = json.loads(answer.stdout)
    return groups
