"""A worker of the local executor: it reads jobs as lines of JSON, and writes their events as lines of JSON.

It ends with its standard input: when the process that started it ends, in whatever way.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
import time
from typing import Any

from nwbpipe.project.execute._worker_template import TEMPLATE, serve


def main() -> None:
    """Run jobs until the input ends."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)  # the output of libraries must not get between the lines
    _listen()
    jobs: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(jobs,), daemon=True).start()
    sending = threading.Lock()

    def send(**values: Any) -> None:
        with sending:
            out.write(json.dumps(values) + "\n")

    from nwbpipe.project.execute._run_job import execute_job

    send(ready=os.getpid())
    try:
        while True:
            job = jobs.get()
            last = 0.0

            def progress(fraction: float, text: str) -> None:
                nonlocal last
                if time.monotonic() - last > 0.2:
                    last = time.monotonic()
                    send(progress=fraction, text=text)

            send(ended=execute_job(job, progress))
    except KeyboardInterrupt:
        os._exit(130)


def _read(jobs: queue.SimpleQueue[dict[str, Any]]) -> None:
    for line in sys.stdin:
        jobs.put(json.loads(line))
    # Nobody reads our output now. A running tool ends with this process: it watches for the end of its own input.
    os._exit(1)


def _listen() -> None:
    """Let SIGTERM end the job, wherever it comes; one that vanishes in a callback comes again."""
    signal.signal(signal.SIGTERM, _interrupt)
    report = sys.unraisablehook

    def deliver_again(lost: sys.UnraisableHookArgs) -> None:
        if not isinstance(lost.exc_value, KeyboardInterrupt):
            report(lost)
            return
        signal.signal(signal.SIGTERM, _interrupt)
        threading.Timer(0.01, os.kill, (os.getpid(), signal.SIGTERM)).start()  # when the callback has ended

    sys.unraisablehook = deliver_again


def _interrupt(_number: int, _frame: Any) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    if TEMPLATE in sys.argv[1:]:
        serve(main)
    main()
