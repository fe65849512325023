"""Draw a session's report in a process of its own.

What libraries read of a file of strangers may end a process, and they keep hundreds of megabytes.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from typing import IO

from nwbpipe.errors import NwbpipeError, show_text
from nwbpipe.machine import child_python, close_python_path
from nwbpipe.project import Session
from nwbpipe.report import compute_state
from nwbpipe.session import SessionFile

_TIMEOUT_S = 600.0
_KEPT_BYTES = 100_000_000


@dataclass(frozen=True)
class Drawing:
    """A drawn report, or the reason why there is none.

    Attributes
    ----------
    html : str
        The parts of the report; "" if they can't be drawn.
    problem : str
        Why not.
    """

    html: str = ""
    problem: str = ""


class Drawer:
    """Draw reports, one at a time, and keep the last ones while their files are unchanged."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Drawing] = OrderedDict()
        self._lock = threading.Lock()

    def find_state(self, session: Session) -> str:
        """Return a digest of the state of a session's file; "" if it can't be read."""
        try:
            return compute_state(SessionFile.at(session.file))
        except (NwbpipeError, OSError):
            return ""

    def draw(self, session: Session, state: str) -> Drawing:
        """Return the report of a session whose file has this state."""
        name = f"{session.key} {state}"
        with self._lock:
            if name in self._kept:
                self._kept.move_to_end(name)
                return self._kept[name]
            drawing = _draw_aside(str(session.file))
            if not drawing.problem:
                self._kept[name] = drawing
                while sum(len(item.html) for item in self._kept.values()) > _KEPT_BYTES:
                    self._kept.popitem(last=False)
            return drawing


def _draw_aside(location: str) -> Drawing:
    command = child_python("-m", "nwbpipe.serve._draw", location)
    variables = close_python_path(os.environ)
    try:
        ended = subprocess.run(
            command, capture_output=True, timeout=_TIMEOUT_S, stdin=subprocess.DEVNULL, env=variables
        )
    except subprocess.TimeoutExpired:
        return Drawing(problem=f"the report was not drawn within {_TIMEOUT_S:g} s: `nwbpipe report` has no limit")
    if ended.returncode:
        lines = ended.stderr.decode("utf-8", "replace").strip().splitlines()
        text = "\n".join(lines[-8:]) or f"the process that drew it ended with {ended.returncode}"
        return Drawing(problem=text)
    return Drawing(ended.stdout.decode("utf-8"))


def main() -> None:
    """Draw the report of the session file that the command line names."""
    from nwbpipe.report import draw_parts

    try:
        with _keep_output() as output:
            text = draw_parts(sys.argv[1])
            output.write(text.encode("utf-8", "backslashreplace"))
    except (NwbpipeError, OSError) as error:
        sys.stderr.write(show_text(error, indent=""))
        raise SystemExit(1) from None


@contextmanager
def _keep_output() -> Iterator[IO[bytes]]:
    """Give the output, which is markup, to the report alone: libraries and processors print names of the file."""
    output_copy = os.dup(1)
    os.dup2(2, 1)
    try:
        with os.fdopen(os.dup(output_copy), "wb") as output, redirect_stdout(sys.stderr):
            yield output
    finally:
        sys.stdout.flush()
        os.dup2(output_copy, 1)
        os.close(output_copy)


if __name__ == "__main__":
    main()
