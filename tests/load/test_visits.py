"""The soak test's own judgement: what is a full answer, what a clean error, and what is neither."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, suppress

import pytest

from tests.load.visits import Call, Client, Leave, Outcome, Visit
from tests.load.wishes import Said, Wish

WISH = Wish("", "chat", "/api/generate", {"model": "chat", "prompt": "x", "options": {}})
RIGHT = Said(200, content="Hello!", reason="stop", counts=(2, 3))
DIED = "an error was encountered while running the model: signal: killed"
DURATIONS = {"total_duration": 9, "load_duration": 0, "prompt_eval_duration": 1, "eval_duration": 1}


def word(text: str) -> str:
    return json.dumps({"created_at": "2025-01-01T00:00:00Z", "response": text, "done": False}) + "\n"


def last(**more: object) -> str:
    ended = {"created_at": "2025-01-01T00:00:01Z", "response": "", "done": True, "done_reason": "stop"}
    return json.dumps({**ended, **DURATIONS, "prompt_eval_count": 2, "eval_count": 3, **more}) + "\n"


def stream(*lines: str, whole: bool = True) -> bytes:
    chunks = "".join(f"{len(line.encode()):x}\r\n{line}\r\n" for line in lines)
    head = "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
    return (head + chunks + "0\r\n\r\n" * whole).encode()


def refusal(status: int, text: str) -> bytes:
    return (
        f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n{text}".encode()
    )


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def visited(listener: socket.socket, answer: bytes, call: Call) -> Visit:
    """What becomes of a call that is answered with these bytes, and a closed connection."""

    def serve() -> None:
        connection, _ = listener.accept()
        with connection, suppress(OSError):  # the client may have gone
            connection.recv(1 << 16)
            connection.sendall(answer)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(1 << 16):
                pass

    serving = threading.Thread(target=serve)
    serving.start()
    visit = Visit(1, 1, call)
    host, port = listener.getsockname()
    with closing(Client(f"{host}:{port}", threading.Event())) as client:
        client.visit(visit, RIGHT)
    serving.join()
    return visit


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (stream(word("Hel"), word("lo!"), last()), Outcome.FULL),
        (stream(word("Hallo!"), last()), Outcome.WRONG),
        (stream(word("Hello!"), last(eval_count=4)), Outcome.WRONG),
        (stream(word("Hello!"), last(total_duration=0)), Outcome.WRONG),
        (stream(word("Hello!"), last(), word("")), Outcome.WRONG),
        (stream(word("Hel"), word("lo!")), Outcome.WRONG),
        (stream(word("Hel"), json.dumps({"error": DIED}) + "\n"), Outcome.BROKEN),
        (stream(word("Hel"), json.dumps({"error": "server is shutting down"}) + "\n"), Outcome.REFUSED),
        (stream(word("Hel"), whole=False), Outcome.TORN),
        (stream(word("Hello!"), last(), whole=False), Outcome.TORN),
        (stream(), Outcome.TORN),
        (stream('{"respo'), Outcome.TORN),
        (b"", Outcome.TORN),
        (refusal(500, json.dumps({"error": DIED})), Outcome.BROKEN),
        (refusal(503, '{"error":"server busy"}'), Outcome.REFUSED),
        (refusal(500, '{"detail":"no word"}'), Outcome.TORN),
        (refusal(500, "Internal Server Error"), Outcome.TORN),
    ],
)
def test_an_end_is_told_from_the_others(listener: socket.socket, answer: bytes, outcome: Outcome) -> None:
    visit = visited(listener, answer, Call(WISH))
    assert (visit.outcome, visit.detail if outcome is Outcome.FULL else "") == (outcome, "")


@pytest.mark.parametrize("leave", Leave)
@pytest.mark.parametrize("rudely", [False, True])
def test_a_client_that_hangs_up_has_done_so_wherever_it_was(
    listener: socket.socket, leave: Leave, rudely: bool
) -> None:
    answer = stream(word("Hel"), word("lo!"), last())
    visit = visited(listener, answer, Call(WISH, leave=leave, after=leave is Leave.LINES, rudely=rudely))
    assert visit.outcome is Outcome.LEFT
