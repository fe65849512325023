"""The process of `AsideReader`: it reads calls as lines of JSON, and answers them."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from nwbpipe.errors import NwbpipeError
from nwbpipe.serve._series import draw_series, list_series
from nwbpipe.serve._videos import list_videos, locate_video, measure_video, read_frame, read_keypoints

_CALLABLE = (
    draw_series, list_series, list_videos, locate_video, measure_video, read_frame, read_keypoints,
)  # fmt: skip
FUNCTIONS: dict[str, Callable[..., Any]] = {function.__name__: function for function in _CALLABLE}


def main() -> None:
    """Answer calls until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the dashboard, which ends this process
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # libraries print what they like
    for line in sys.stdin.buffer:
        name, arguments = json.loads(line)
        function = FUNCTIONS[name]
        try:
            answer = {"value": function(*arguments)}
        except NwbpipeError as error:
            answer = {"problem": {key: getattr(error.problem, key) for key in ("what", "where", "found", "hint")}}
        except Exception as error:  # a file of strangers may make a library raise anything
            text = f"the file can't be read: {type(error).__name__}: {error}"
            answer = {"problem": {"what": text, "where": None, "found": None, "hint": "`nwbpipe check FILE.nwb`"}}
        output.write(json.dumps(answer).encode() + b"\n")
        output.flush()


if __name__ == "__main__":
    main()
