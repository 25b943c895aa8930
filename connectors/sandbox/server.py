"""A small HTTP/1.1 server for fake CRMs: threads, keep-alive, a log, counted calls, faults. Knows no vendor.

A fake CRM is an `App`: it names the endpoint of a request (for counting and faults) and answers it.

    with Server(app, latency=0.1, faults=faults) as server:
        requests.get(server.url + "/deals")
        assert server.calls["deals"] == 1

Bound to 127.0.0.1 on a free port; ends with its context (or with the process: all threads are daemons).
"""

from __future__ import annotations

import contextlib
import email.utils
import gzip
import json
import socket
import struct
import threading
import time
import urllib.parse
from collections import Counter, deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Protocol

from connectors.sandbox.faults import Fault, Faults

HTML_503 = (
    b"<html><head><title>Service Unavailable</title></head><body><h1>We are setting things up</h1>"
    b"<p>The server is temporarily unable to service your request. Please try again later.</p></body></html>"
)
HTML_502 = (
    b"<html><head><title>502 Bad Gateway</title></head><body><center><h1>502 Bad Gateway</h1></center></body></html>"
)
HTML_414 = b"<h1>Bad Message 414</h1><pre>reason: URI Too Long</pre>"
#: Changes to a world that another process may ask for.
_CHANGES = frozenset(
    {"delete", "restore", "archive", "purge", "merge", "hide", "unhide", "move", "win", "lose", "reopen", "tie_flood"}
)
_REASONS = {207: "Multi-Status", 419: "Expired", 420: "Enhance Your Calm"}


@dataclass(slots=True)
class Request:
    """What came in. `path` is decoded and has no query; `query` keeps every value; header names are lower case."""

    method: str
    target: str  # as it stood in the request line
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes
    number: int = 0  # counts from 1 per server

    def first(self, name: str, default: str | None = None) -> str | None:
        """The first value of a query parameter."""
        values = self.query.get(name)
        return values[0] if values else default

    @property
    def form(self) -> dict[str, str]:
        """The body as a URL-encoded form, first values only."""
        return {k: v[0] for k, v in urllib.parse.parse_qs(self.body.decode(), keep_blank_values=True).items()}


@dataclass(slots=True)
class Response:
    """What goes out; Date, Content-Length and Connection are added."""

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json;charset=UTF-8"
    headers: dict[str, str] = field(default_factory=dict)


class App(Protocol):
    """A fake CRM."""

    def endpoint(self, request: Request) -> str:
        """A short name for counting and faults, such as "query"."""

    def handle(self, request: Request) -> Response:
        """The answer. Called from many threads."""

    def fault(self, fault: Fault, request: Request) -> Response | None:
        """The vendor's words for rate_limited, daily_limit, concurrent_limit, unauthorized; None: a plain status."""

    def now_ms(self) -> int:
        """The clock shown in the Date header, epoch milliseconds."""


@dataclass(slots=True)
class Call:
    """One line of the log."""

    number: int
    endpoint: str
    method: str
    target: str
    status: int  # 0: no answer at all
    size: int
    seconds: float  # the server's own work, latency not counted
    fault: str | None


class Server:
    """Serves one app. Knobs may be turned while it runs: `latency` (seconds per call), `faults`, `gzip`."""

    def __init__(
        self,
        app: App,
        *,
        latency: float = 0.0,
        faults: Faults | None = None,
        gzip: bool = False,
        max_target: int = 65_000,
        port: int = 0,
    ) -> None:
        self.app, self.latency, self.gzip, self.max_target = app, latency, gzip, max_target
        self.faults = faults or Faults()
        self.calls: Counter[str] = Counter()
        self.log: deque[Call] = deque(maxlen=200_000)
        self.connections = 0  # how many were ever opened: keep-alive shows here
        self.in_flight = self.peak_in_flight = 0
        self.alone = 0  # calls that came in while no other was under way
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._port = port
        self._httpd: _Httpd | None = None

    def start(self) -> Server:
        """Listen; returns itself."""
        self._httpd = _Httpd(("127.0.0.1", self._port), self)
        threading.Thread(target=self._httpd.serve_forever, args=(0.02,), daemon=True, name="sandbox").start()
        return self

    def stop(self) -> None:
        """Stop listening and close every connection."""
        httpd, self._httpd = self._httpd, None
        if httpd is None:
            return
        self._port = httpd.server_address[1]  # a later start() is the same address: a server that was down for a while
        httpd.shutdown()
        httpd.server_close()
        with self._lock:
            for connection in self._sockets:
                with contextlib.suppress(OSError):  # the other side was quicker
                    connection.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Server:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Base URL without a slash at the end."""
        return f"http://127.0.0.1:{self._httpd.server_address[1] if self._httpd else self._port}"

    @property
    def total_calls(self) -> int:
        """All calls since the start or the last `reset_log`."""
        return sum(self.calls.values())

    def reset_log(self) -> None:
        """Count from zero again."""
        with self._lock:
            self.calls.clear()
            self.log.clear()
            self.peak_in_flight = self.alone = 0

    def control(self, request: Request) -> Response:
        """Knobs for another process, under /_sandbox/; no latency, not counted, no part of any CRM.

        GET calls, truth (what the CRM's deals went through, where the app tells it); POST reset, advance {"days", "changes"}, tick {"seconds"},
        do {"what", "args"} (a change to the world's deals), latency {"seconds"}, fault {"kind", …}, clear.
        """
        name = request.path.removeprefix("/_sandbox/")
        wish = json.loads(request.body or b"{}")
        world = getattr(self.app, "world", None)
        done: Any = {}
        if name == "calls":
            done = {"calls": dict(self.calls), "total": self.total_calls, "peak_in_flight": self.peak_in_flight}
            done["server_seconds"] = sum(call.seconds for call in list(self.log))
        elif name == "reset":
            self.reset_log()
        elif name == "advance" and world is not None:
            done = world.advance(days=wish.get("days", 1), changes=wish.get("changes"))
        elif name == "tick" and world is not None:
            world.tick(wish.get("seconds", 1))
        elif name == "do" and world is not None and wish.get("what") in _CHANGES:
            done = getattr(world, wish["what"])(*wish.get("args", ()))
            done = done if isinstance(done, list) else {}
        elif name == "truth" and hasattr(self.app, "truth"):
            done = self.app.truth()
        elif name == "latency":
            self.latency = float(wish["seconds"])
        elif name == "fault":
            self.faults.add(**wish)
        elif name == "clear":
            self.faults.clear()
        else:
            return Response(404, b"{}")
        return Response(200, json.dumps(done).encode())

    # --- one call; used by the handler ----------------------------------------------------------------------

    def begin(self, endpoint: str) -> int:
        """Count a call in; returns its number."""
        with self._lock:
            self.calls[endpoint] += 1
            self.alone += not self.in_flight
            self.in_flight += 1
            self.peak_in_flight = max(self.peak_in_flight, self.in_flight)
            return sum(self.calls.values())

    def end(self, call: Call) -> None:
        """Count a call out and log it."""
        with self._lock:
            self.in_flight -= 1
            self.log.append(call)

    def answer(self, request: Request, fault: Fault | None) -> Response:
        """The app's answer, or the fault's."""
        kind = fault.kind if fault else None
        if kind in (None, "cut_body", "reset_after", "slow"):
            return self.app.handle(request)
        if kind == "unavailable":
            return Response(503, HTML_503, "text/html", _retry_after(fault, self.app))
        if kind == "bad_gateway":
            return Response(502, HTML_502, "text/html")
        if kind == "server_error":
            return Response(500, b"", "text/html")
        own = self.app.fault(fault, request) if fault else None
        if own is not None:
            own.headers.update(_retry_after(fault, self.app))
            return own
        return Response(401 if kind == "unauthorized" else 429, b"{}", headers=_retry_after(fault, self.app))


def _retry_after(fault: Fault | None, app: App) -> dict[str, str]:
    if fault is None or fault.retry_after is None:
        return {}
    if fault.retry_after == "date":
        return {"Retry-After": http_date(app.now_ms() + int((fault.seconds or 1) * 1000))}
    return {"Retry-After": str(fault.retry_after)}


def http_date(at_ms: int) -> str:
    """RFC 9110 date of epoch milliseconds."""
    return email.utils.formatdate(at_ms // 1000, usegmt=True)


class _Httpd(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], owner: Server) -> None:
        self.owner = owner
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        # The stdlib's version asks the resolver for the host's name, which can take seconds on a machine without one.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = "127.0.0.1", self.server_address[1]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news; anything else is shown by the default."""
        import sys  # noqa: PLC0415

        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 16
    timeout = 120
    server: _Httpd

    def setup(self) -> None:
        super().setup()
        owner = self.server.owner
        with owner._lock:
            owner.connections += 1
            owner._sockets.add(self.connection)

    def finish(self) -> None:
        with self.server.owner._lock:
            self.server.owner._sockets.discard(self.connection)
        with contextlib.suppress(OSError):  # the fault already closed it
            super().finish()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the stdlib's name)
        """The server keeps its own log."""

    def _serve(self) -> None:
        owner = self.server.owner
        request = self._request()
        if request.path.startswith("/_sandbox/"):
            self._write(request, owner.control(request), cut=False)
            return
        too_long = len(self.path) > owner.max_target
        endpoint = "too_long" if too_long else owner.app.endpoint(request)
        request.number = owner.begin(endpoint)
        status = size = 0
        fault: Fault | None = None
        seconds = 0.0
        try:
            fault = owner.faults.pick(endpoint)
            wait = owner.latency + (fault.seconds if fault and fault.kind == "slow" else 0.0)
            if wait:
                time.sleep(wait)
            if fault and fault.kind == "reset":
                self._reset()
                return
            began = time.perf_counter()
            response = Response(414, HTML_414, "text/html") if too_long else owner.answer(request, fault)
            seconds = time.perf_counter() - began
            if fault and fault.kind == "reset_after":
                self._reset()
                return
            status, size = response.status, self._write(request, response, cut=bool(fault and fault.kind == "cut_body"))
        finally:
            kind = fault.kind if fault else None
            owner.end(Call(request.number, endpoint, request.method, request.target, status, size, seconds, kind))

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = do_HEAD = _serve  # noqa: N815  (the stdlib's names)

    def _request(self) -> Request:
        path, _, query = self.path.partition("?")
        length = int(self.headers.get("Content-Length") or 0)
        return Request(
            method=self.command,
            target=self.path,
            path=urllib.parse.unquote(path),
            query=urllib.parse.parse_qs(query, keep_blank_values=True) if query else {},
            headers={name.lower(): value for name, value in self.headers.items()},
            body=self.rfile.read(length) if length else b"",
        )

    def _write(self, request: Request, response: Response, *, cut: bool) -> int:
        owner, body = self.server.owner, response.body
        headers = dict(response.headers)
        if owner.gzip and len(body) > 1000 and "gzip" in request.headers.get("accept-encoding", ""):
            body = gzip.compress(body, compresslevel=1, mtime=0)
            headers["Content-Encoding"] = "gzip"
        reason = self.responses.get(response.status, (_REASONS.get(response.status, "Unknown"), ""))[0]
        lines = [f"HTTP/1.1 {response.status} {reason}", f"Date: {http_date(owner.app.now_ms())}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if response.status not in (204, 304):
            lines += [f"Content-Type: {response.content_type}", f"Content-Length: {len(body)}"]
        else:
            body = b""
        if cut or self.close_connection:
            self.close_connection = True
            lines.append("Connection: close")
        self.wfile.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
        if request.method != "HEAD":
            self.wfile.write(memoryview(body)[: len(body) // 2] if cut else body)
        self.wfile.flush()
        return len(body)

    def _reset(self) -> None:
        """Close so hard that the other side reads ECONNRESET."""
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
