"""A daemon of canned answers on a free port, and the program run against it."""

import json
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Answer:
    status: int = 200
    body: bytes = b""
    reason: str | None = None
    headers: dict[str, str] = field(default_factory=dict[str, str])


@dataclass
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


Reply = Answer | Callable[[Request], Answer]


@dataclass
class Daemon:
    """What it answers, and what it was asked (without the `HEAD /` in front of every command)."""

    replies: dict[tuple[str, str], Reply] = field(default_factory=dict[tuple[str, str], Reply])
    requests: list[Request] = field(default_factory=list[Request])
    address: str = ""

    def says(self, path: str, body: Any, *, method: str = "POST", status: int = 200, reason: str | None = None) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.replies[method, path] = Answer(status, content, reason)

    def streams(self, path: str, *events: Any) -> None:
        self.replies["POST", path] = Answer(200, b"".join(json.dumps(event).encode() + b"\n" for event in events))

    def decides(self, path: str, reply: Callable[[Request], Answer], *, method: str = "POST") -> None:
        self.replies[method, path] = reply

    def sent(self, path: str) -> list[Any]:
        """The JSON bodies that a path got."""
        return [request.json for request in self.requests if request.path == path]

    def answer(self, request: Request) -> Answer:
        if (request.method, request.path) == ("HEAD", "/"):
            reply = self.replies.get(("HEAD", "/"), Answer())
        else:
            self.requests.append(request)
            reply = self.replies.get((request.method, request.path), Answer(404, b'{"error":"no such path"}'))
        return reply if isinstance(reply, Answer) else reply(request)


@contextmanager
def running() -> Generator[Daemon]:
    daemon = Daemon()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            answer = daemon.answer(Request(self.command, self.path, dict(self.headers), body))
            self.send_response(answer.status, answer.reason)
            self.send_header("Content-Length", str(len(answer.body)))
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer.body)

        do_GET = do_HEAD = do_POST = do_DELETE = handle_any

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    daemon.address = f"127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield daemon
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
