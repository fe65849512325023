"""An S3 server on this machine, seen through a proxy that counts requests and bytes and may answer late."""

from __future__ import annotations

import http.client
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

_PIECE = 2**20


@dataclass
class Traffic:
    """Traffic since the last `reset`; `up` and `down` count bodies only."""

    requests: int = 0
    up: int = 0
    down: int = 0
    latency_s: float = 0.0

    def reset(self) -> None:
        self.requests = self.up = self.down = 0


@contextmanager
def start_counting_server() -> Iterator[Traffic]:
    """Start SeaweedFS and a proxy before it, and let boto3's environment lead to the proxy."""
    from tests.fixtures.s3 import KEY, SECRET, _server, _weed

    with _server(_weed(), volume_mb=1024) as (address, log):
        if address is None:
            raise SystemExit(f"SeaweedFS did not start:\n{log}")
        traffic = Traffic()
        proxy = ThreadingHTTPServer(("127.0.0.1", 0), _handler(urlsplit(address).netloc, traffic))
        proxy.daemon_threads = True
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        for name in [variable for variable in os.environ if variable.startswith("AWS_")]:
            del os.environ[name]
        os.environ |= {
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{proxy.server_address[1]}",
        }
        try:
            yield traffic
        finally:
            proxy.shutdown()
            proxy.server_close()


def _handler(upstream: str, traffic: Traffic) -> type[BaseHTTPRequestHandler]:
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _forward(self) -> None:
            size = int(self.headers.get("Content-Length", 0))
            time.sleep(traffic.latency_s)
            connection = http.client.HTTPConnection(upstream, timeout=300)
            try:
                connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
                for name, value in self.headers.items():  # the host too: it is signed
                    if name.lower() not in ("expect", "connection"):
                        connection.putheader(name, value)
                connection.endheaders()
                remaining = size
                while remaining:
                    piece = self.rfile.read(min(remaining, _PIECE))
                    connection.send(piece)
                    remaining -= len(piece)
                answer = connection.getresponse()
                body = b"" if self.command == "HEAD" else answer.read()
                with lock:
                    traffic.requests += 1
                    traffic.up += size
                    traffic.down += len(body)
                self.send_response(answer.status, answer.reason)
                for name, value in answer.getheaders():
                    if name.lower() not in ("transfer-encoding", "connection", "content-length", "server", "date"):
                        self.send_header(name, value)
                length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(body))
                if length is not None:
                    self.send_header("Content-Length", length)
                self.end_headers()
                self.wfile.write(body)
            except OSError:
                self.close_connection = True
            finally:
                connection.close()

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _forward  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler
