"""A server on 127.0.0.1 that answers by script: one entry per request, the last one for ever."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Scripted:
    status: int = 200
    body: bytes = b"{}"
    headers: Mapping[str, str] = field(default_factory=dict)
    #: Send this many bytes of the body less than announced, then hang up.
    cut: int = 0
    #: Announce no length at all: a cut is then invisible to the transport.
    announce: bool = True


class Loopback:
    def __init__(self, *script: Scripted) -> None:
        self.script = list(script) or [Scripted()]
        self.seen: list[tuple[str, str, dict[str, str]]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                outer.seen.append((self.command, self.path, dict(self.headers.items())))
                step = outer.script.pop(0) if len(outer.script) > 1 else outer.script[0]
                self.send_response(step.status)
                for name, value in {"Content-Type": "application/json", **step.headers}.items():
                    self.send_header(name, value)
                if step.announce:
                    self.send_header("Content-Length", str(len(step.body)))
                else:
                    self.send_header("Connection", "close")
                self.end_headers()
                self.wfile.write(step.body[: len(step.body) - step.cut])
                if step.cut or not step.announce:
                    self.close_connection = True

            do_POST = do_GET  # noqa: N815 - the server's name for it

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Loopback:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
