"""Read session files in a process of its own, which lives on between requests.

What a library reads of a file of strangers may end its process, or never come to an end.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import IO, Any

from nwbpipe.errors import RequestError, WorkError
from nwbpipe.machine import child_python, close_python_path

_TIMEOUT_S = 60.0


class AsideReader:
    """Call functions of `nwbpipe.serve._answer_calls` in another process, one at a time.

    Calls and answers are lines of JSON, which nothing that a file does there can turn into code here.
    """

    def __init__(self, timeout_s: float = _TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._finalizer: Callable[[], object] | None = None
        self._answers: queue.Queue[bytes] = queue.Queue()

    def call(self, name: str, *arguments: Any) -> Any:
        """Return the answer of a function.

        Raises
        ------
        RequestError
            If it refuses what it was asked for, or the file.
        WorkError
            If it did not answer in time, or its process ended.
        """
        with self._lock:
            try:
                line = self._ask(json.dumps([name, arguments]).encode() + b"\n")
                answer = json.loads(line)
            except queue.Empty as error:
                self._end()
                raise WorkError(f"the file was not read within {self._timeout_s:g} s") from error
            except (OSError, ValueError) as error:
                self._end()
                raise WorkError("the process that read the file ended", hint="`nwbpipe check FILE.nwb`") from error
        if "problem" in answer:
            problem = answer["problem"]
            raise RequestError(problem["what"], where=problem["where"], found=problem["found"], hint=problem["hint"])
        return answer["value"]

    def close(self) -> None:
        """End the process."""
        with self._lock:
            self._end()

    def _ask(self, line: bytes) -> bytes:
        if self._process is None or self._process.poll() is not None:
            self._end()
            self._process = subprocess.Popen(
                child_python("-m", "nwbpipe.serve._answer_calls"), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                env=close_python_path(os.environ),
            )  # fmt: skip
            self._finalizer = weakref.finalize(self, _kill, self._process)
            self._answers = queue.Queue()
            threading.Thread(target=_collect, args=(self._process.stdout, self._answers), daemon=True).start()
        assert self._process.stdin is not None
        self._process.stdin.write(line)
        self._process.stdin.flush()
        return self._answers.get(timeout=self._timeout_s)

    def _end(self) -> None:
        if self._finalizer is not None:
            self._finalizer()
        self._process = self._finalizer = None


def _kill(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with suppress(OSError):  # what was not written any more
                stream.close()


def _collect(stream: IO[bytes], answers: queue.Queue[bytes]) -> None:
    """Put the lines of a stream into a queue, and an empty one at its end."""
    try:
        for line in stream:
            answers.put(line)
    except (OSError, ValueError):  # it was closed
        pass
    answers.put(b"")
