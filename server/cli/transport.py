"""HTTP to the daemon: the only module of the command line that opens a connection over the network.

    call      one request, one JSON answer                   an error shows the daemon's message alone
    stream    one request, JSON lines until the end          an error shows the status line in front
    upload    a file as a blob; a large one is handed over (`handover`) if the daemon runs on this machine

There is no time limit: loading a model takes as long as it takes. An answer that is closed early cancels what the
daemon does for it.
"""

import json
import os
import platform
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from http import HTTPStatus
from pathlib import Path
from socket import gaierror
from typing import BinaryIO, Final, cast

import httpx2

from server.cli.answer import Json, text
from server.cli.errors import ServerDown, ServerError, SignInNeeded, TransportFailed
from server.cli.handover import hand_over
from server.handover import HEADER, WORTH_IT, address_in, is_possible
from server.host import Host
from server.version import REFERENCE_VERSION

_CHUNK: Final = 1 << 20
_MACHINES: Final = {"x86_64": "amd64", "AMD64": "amd64", "aarch64": "arm64"}


class Client:
    """One daemon. `program` is the name to suggest when nobody answers."""

    def __init__(self, host: Host, program: str = "ollama") -> None:
        self.host = host.for_client()
        self._program = program
        local = self.host.is_loopback
        try:
            self._http = httpx2.Client(
                base_url=str(self.host),
                headers={"User-Agent": user_agent(), "Accept": "application/json"},
                timeout=None,
                trust_env=not local,
                # Reading the list of certificate authorities takes longer than a request, and plain http needs none.
                verify=not (local and self.host.scheme == "http"),
            )
        except httpx2.InvalidURL as error:
            raise TransportFailed(f"{self.host}: {error}") from error

    def close(self) -> None:
        self._http.close()

    def preflight(self) -> None:
        """Raises ServerDown when nobody is there, ServerError when what is there refuses."""
        self._request("HEAD", "/")

    def call(self, method: str, path: str, body: Json | None = None) -> Json:
        """Raises ServerError for a status of 400 and more; an answer without a body is `{}`."""
        answer = self._request(method, path, body)
        return decoded(answer.content) if answer.content else {}

    def raw(self, method: str, path: str, body: Json | None = None) -> bytes:
        """The answer's bytes, for who needs the digits of its numbers."""
        return self._request(method, path, body).content

    def stream(self, path: str, body: Json | None = None, *, method: str = "POST") -> Generator[Json]:
        """Events until the stream ends. Raises ServerError for a bad status and for an error line.

        Close it (or leave `with closing(...)`) to cancel.
        """
        headers = {"Content-Type": "application/json", "Accept": "application/x-ndjson"}
        with (
            self._failures(method, path),
            self._http.stream(
                method, path, content=None if body is None else _encoded(body), headers=headers
            ) as answer,
        ):
            if answer.status_code >= 400:
                raise _failure(answer, answer.read(), streamed=True)
            for line in lines(answer.iter_bytes()):
                yield _event(line)

    def upload(self, digest: str, path: Path, sent: Callable[[int], None]) -> None:
        """Store a file as the blob of that digest; `sent` hears how many bytes each piece had."""
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size >= WORTH_IT and self._spared(digest, file.fileno(), size, sent):
                return
            with self._failures("POST", f"/api/blobs/{digest}"):
                answer = self._http.post(
                    f"/api/blobs/{digest}",
                    content=_pieces(file, sent),
                    headers={"Content-Type": "application/json", "Content-Length": str(size)},
                )
                _check(answer)

    def _spared(self, digest: str, fd: int, size: int, sent: Callable[[int], None]) -> bool:
        """Whether a file need not be uploaded: the daemon has it already, or takes it by descriptor."""
        with self._failures("HEAD", f"/api/blobs/{digest}"):
            answer = self._http.head(f"/api/blobs/{digest}")
        if answer.status_code == HTTPStatus.OK:
            sent(size)
            return True
        address = address_in(answer.headers.get(HEADER, "")) if self.host.is_loopback and is_possible() else ""
        return bool(address) and hand_over(address, digest, fd, sent)

    def _request(self, method: str, path: str, body: Json | None = None) -> httpx2.Response:
        headers = {"Content-Type": "application/json"}
        with self._failures(method, path):
            answer = self._http.request(method, path, content=None if body is None else _encoded(body), headers=headers)
            _check(answer)
            return answer

    @contextmanager
    def _failures(self, method: str, path: str) -> Generator[None]:
        try:
            yield
        except httpx2.RequestError as error:
            cause = _system_error(error)
            if isinstance(cause, ConnectionRefusedError):
                raise ServerDown(self._program) from error
            url = f'{method.title()} "{self.host}{path}"'
            raise TransportFailed(f"{url}: {self._reason(error, cause)}") from error

    def _reason(self, error: httpx2.RequestError, cause: OSError | None) -> str:
        if isinstance(cause, gaierror):
            return f"dial tcp: lookup {self.host.host}: no such host"
        if cause is not None and isinstance(error, httpx2.ConnectError):
            return f"dial tcp {self.host.netloc}: {(cause.strerror or str(cause)).lower()}"
        if isinstance(error, (httpx2.RemoteProtocolError, httpx2.ReadError)):
            return "EOF"
        return str(error) or type(error).__name__


def user_agent() -> str:
    machine = _MACHINES.get(platform.machine(), platform.machine().lower())
    return f"ollama/{REFERENCE_VERSION} ({machine} {platform.system().lower()}) Python/{platform.python_version()}"


def lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Cut bytes at line feeds, and nowhere else: a JSON string may hold other separators. Blank lines vanish."""
    rest: list[bytes] = []
    for chunk in chunks:
        *complete, tail = chunk.split(b"\n")
        for piece in complete:
            if line := b"".join((*rest, piece)).strip():
                yield line
            rest = []
        rest.append(tail)
    if line := b"".join(rest).strip():
        yield line


def decoded(content: bytes) -> Json:
    """Raises TransportFailed for what is no JSON object."""
    value = _object(content)
    if value is None:
        raise TransportFailed(f"unexpected answer from the server: {content[:200].decode(errors='replace')}")
    return value


def last(events: Generator[Json]) -> Json:
    """Run a stream to its end; the last event."""
    event: Json = {}
    with closing(events):
        for event in events:  # noqa: B007  (the last one is wanted)
            pass
    return event


def _encoded(body: Json) -> bytes:
    """ASCII, so that bytes of an argument that are no UTF-8 travel as escapes instead of failing here."""
    return json.dumps(body, separators=(",", ":")).encode()


def _event(line: bytes) -> Json:
    event = _object(line)
    if event is None:
        raise ServerError(line.decode(errors="replace"))
    if event.get("error"):
        raise ServerError(str(event["error"]))
    return event


def _check(answer: httpx2.Response) -> None:
    if answer.status_code >= 400:
        raise _failure(answer, answer.content, streamed=False)


def _failure(answer: httpx2.Response, content: bytes, *, streamed: bool) -> ServerError:
    """What a bad status says. A body that is no JSON object is itself the message."""
    body = _object(content)
    if body is None:
        body = {"error": content.decode(errors="replace").strip()}
    if answer.status_code == HTTPStatus.UNAUTHORIZED:
        return SignInNeeded(_phrase(answer), text(body, "signin_url"), streamed=streamed)
    return ServerError(text(body, "error"), answer.status_code, _phrase(answer), streamed=streamed)


def _object(content: bytes) -> Json | None:
    try:
        value = json.loads(content)
    except ValueError:
        return None
    return cast(Json, value) if isinstance(value, dict) else None


def _phrase(answer: httpx2.Response) -> str:
    """The reason phrase; from our own table where the daemon sent none."""
    if answer.reason_phrase:
        return answer.reason_phrase
    try:
        return HTTPStatus(answer.status_code).phrase
    except ValueError:
        return ""


def _pieces(file: BinaryIO, sent: Callable[[int], None]) -> Iterator[bytes]:
    while piece := file.read(_CHUNK):
        yield piece
        sent(len(piece))


def _system_error(error: BaseException | None) -> OSError | None:
    """The operating system's error at the root of a library's."""
    while error is not None:
        if isinstance(error, OSError):
            return error
        error = error.__cause__ or error.__context__
    return None
