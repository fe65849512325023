"""Run in NWB Widgets' own Python: serve a notebook by Voila, as `nwbpipe inspect` asks; imports nothing of nwbpipe.

The request comes on the standard input, as a line of JSON, since all users of a machine see a program's arguments.
The input stays open as long as `nwbpipe inspect` lives: with it ends the server, and with the server its kernels.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
import time
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPHeaders, ResponseStartLine
from tornado.ioloop import IOLoop
from voila.app import Voila

_GRACE = 10.0  # seconds for ending the kernels

_CONTENT = (
    "default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'; connect-src 'self' ws://{host}; "
    "frame-ancestors 'none'; form-action 'self'"
)


class Viewer(Voila):  # type: ignore[misc]  # an application of another package
    """Voila on a socket that is there already: nobody else can have taken its port."""

    listener: socket.socket

    def listen(self) -> None:
        """Serve on the socket until SIGINT or SIGTERM."""
        hosts = (f"127.0.0.1:{self.port}", f"localhost:{self.port}")

        def answer(request: Any) -> None:
            if request.host in hosts:
                self.app(request)
                return
            # A name that leads to this machine, in a page of others (DNS rebinding).
            request.connection.write_headers(
                ResponseStartLine("HTTP/1.1", 403, ""), HTTPHeaders({"Content-Length": "0"})
            )
            request.connection.finish()

        # The page loads nothing from elsewhere (icons are missing), and sends nothing there.
        self.app.settings["headers"] = {"Content-Security-Policy": _CONTENT.format(host=hosts[0])}
        server = HTTPServer(answer)
        server.add_socket(self.listener)
        self.ioloop = IOLoop.current()
        print("ready", flush=True)
        try:
            self.ioloop.start()
        except KeyboardInterrupt:
            pass
        finally:
            self.stop()


def _follow_parent() -> None:
    """End this process when the standard input does."""
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_GRACE)
    os._exit(1)


def main() -> None:
    """Serve until the end."""
    request = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_follow_parent, daemon=True).start()
    listener = socket.socket(fileno=request["socket"])
    listener.setblocking(False)
    Viewer.listener = listener
    Viewer.launch_instance(
        [request["notebook"]],
        ip="127.0.0.1",
        port=listener.getsockname()[1],
        token=request["token"],
        open_browser=False,
    )


if __name__ == "__main__":
    main()
