"""Storage on this machine's loopback: an S3 server (moto) and a web server, both with faults on demand."""

from __future__ import annotations

import http.server
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

Fault = Callable[[str, str], str | None]
"""(method, path) -> `error` for a 503, `cut` for an answer that ends early, `stall` for silence, None for a good answer."""


@dataclass
class Web:
    """Objects by path, and how they are served."""

    objects: dict[str, bytes]
    ranges: bool = True
    fault: Fault = field(default=lambda method, path: None)
    status: int = 503
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    sent: int = 0
    url: str = ""

    def tag(self, path: str) -> str:
        """An ETag that follows from the bytes."""
        return f'"{hash(self.objects[path]) & 0xFFFFFFFF:x}"'


def _handler(web: Web) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.0"

        def log_message(self, *arguments: Any) -> None:
            pass

        def do_GET(self) -> None:
            path, wanted = self.path.partition("?")[0], self.headers.get("Range")
            web.requests.append((path, wanted))
            fault = web.fault("GET", path)
            if fault == "error":
                self.send_error(web.status)
                return
            if path not in web.objects:
                self.send_error(404)
                return
            data = web.objects[path]
            match = re.fullmatch(r"bytes=(\d+)-(\d+)", wanted or "") if web.ranges else None
            if match:
                first, last = int(match[1]), min(int(match[2]), len(data) - 1)
                if first >= len(data):
                    self.send_error(416)
                    return
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
                data = data[first : last + 1]
            else:
                self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.send_header("ETag", web.tag(path))
            self.end_headers()
            if fault == "stall":
                time.sleep(2)
                return
            if fault == "cut":
                data = data[: len(data) // 2]
            try:
                self.wfile.write(data)
                web.sent += len(data)
            except OSError:  # the reader has what it wants
                pass

    return Handler


@contextmanager
def web_server(web: Web) -> Iterator[Web]:
    """Serve on a free port of the loopback."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(web))
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    web.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield web
    finally:
        server.shutdown()
        server.server_close()


@dataclass
class Bucket:
    """A server that speaks S3, with an empty bucket named `corpus`."""

    url: str
    fault: Callable[[dict[str, Any]], int | None] = field(default=lambda request: None)
    """From a WSGI environment to the status to fail with, or None."""
    requests: int = 0


@contextmanager
def s3_server() -> Iterator[Bucket]:
    """moto's S3 on a free port of the loopback."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Quiet(WSGIRequestHandler):
        def log(self, *arguments: Any) -> None:
            pass

    moto = DomainDispatcherApplication(create_backend_app)
    bucket = Bucket("")

    def application(request: dict[str, Any], start: Callable[..., Any]) -> Any:
        bucket.requests += 1
        status = bucket.fault(request)
        if status is not None:
            start(f"{status} Fault", [("Content-Type", "application/xml")])
            return [b"<?xml version='1.0'?><Error><Code>InternalError</Code><Message>injected</Message></Error>"]
        return moto(request, start)

    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=Quiet)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    bucket.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield bucket
    finally:
        server.shutdown()
        server.server_close()
