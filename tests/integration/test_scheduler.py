"""Loading, sharing, evicting and ending, with real processes."""

import json
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import datetime
from typing import Any

import httpx
import pytest

from tests.integration.daemon import Daemon
from tests.integration.hangups import LONG, Caller, hang_up_everywhere

WIDTH = 2
HOUR = 3600
BUSY = "server busy, please try again.  maximum pending requests exceeded"
TALK = {"prompt": "Once upon a time", "raw": True, "format": LONG}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """Two places, and no runner in reserve: what runs is what is loaded."""
    settings = {"OLLAMA_NUM_PARALLEL": str(WIDTH), "LLAMAD_SPARE_RUNNER": "0", "OLLAMA_GO_TEMPLATE": "1"}
    running = Daemon(tmp_path_factory.mktemp("home"), settings)
    running.add("tiny", "tinychat-f16.gguf")
    running.add("plain", "tinychat-q8_0.gguf", template="{{ .Prompt }}")
    running.add("own", "tinychat-q8_0.gguf")
    running.add("wordy", "tinychat-q8_0.gguf", template="A rather long introduction to {{ .Prompt }}, at last: ")
    yield running
    assert running.stop() == 0


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """One model at a time, one request at a time, one in the queue beside the one worked on; a runner in reserve."""
    settings = {"OLLAMA_MAX_LOADED_MODELS": "1", "OLLAMA_NUM_PARALLEL": "1", "OLLAMA_MAX_QUEUE": "1"}
    running = Daemon(tmp_path_factory.mktemp("narrow"), settings)
    running.add("one", "tinychat-f16.gguf")
    running.add("two", "tinychat-q8_0.gguf")
    yield running
    assert running.stop() == 0


def until(happened: Callable[[], bool], what: str) -> None:
    """Wait for what another process has to do first."""
    for _ in range(2000):
        if happened():
            return
        time.sleep(0.01)
    raise AssertionError(f"not within twenty seconds: {what}")


def generate(daemon: Daemon, model: str, **more: Any) -> httpx.Response:
    body = {"model": model, "prompt": "Once upon", "raw": True, "stream": False, "options": {"num_predict": 3}, **more}
    return daemon.http.post("/api/generate", json=body)


def served(daemon: Daemon, model: str, **more: Any) -> dict[str, Any]:
    answer = generate(daemon, model, **more)
    assert answer.status_code == 200, answer.text
    return answer.json()


def shown(daemon: Daemon) -> list[dict[str, Any]]:
    return daemon.http.get("/api/ps").json()["models"]


def unload(daemon: Daemon, *models: str) -> None:
    for model in models:
        answer = daemon.http.post("/api/generate", json={"model": model, "keep_alive": 0})
        assert answer.json()["done_reason"] == "unload"


@pytest.fixture(autouse=True)
def emptied(request: pytest.FixtureRequest) -> Iterator[None]:
    """Afterwards nothing is loaded."""
    yield
    if "daemon" in request.fixturenames:
        daemon: Daemon = request.getfixturevalue("daemon")
        unload(daemon, *(row["name"] for row in shown(daemon)))
        until(lambda: not daemon.runners(), "all runners end")


def runner(daemon: Daemon) -> int:
    (pid,) = daemon.runners()
    return pid


# -- one runner, or another ---------------------------------------------------------------------------------------


def test_options_of_a_request_share_the_runner_and_options_of_the_load_replace_it(daemon: Daemon) -> None:
    """Only temperature, seed, stop, format, keep_alive differ: the same runner. num_ctx or num_thread: another one,
    which then serves all who ask for the same."""
    served(daemon, "tiny")
    first = runner(daemon)
    served(daemon, "tiny", options={"num_predict": 3, "temperature": 0, "seed": 7, "top_k": 3, "stop": ["x"]})
    served(daemon, "tiny", options={"num_predict": 3}, format="json", keep_alive="1h")
    served(daemon, "tiny", options={"num_predict": 3, "num_gpu": -1})
    assert runner(daemon) == first
    pids = [first]
    for changes in ({"num_ctx": 256}, {"num_ctx": 256, "num_thread": 1}):
        served(daemon, "tiny", options={"num_predict": 3, **changes})
        assert runner(daemon) != pids[-1]
        assert shown(daemon)[0]["context_length"] == 256
        pids.append(runner(daemon))
    served(daemon, "tiny", options={"num_predict": 3, "num_ctx": 256, "num_thread": 1, "temperature": 1})
    assert runner(daemon) == pids[-1]


def test_tags_of_the_same_weights_share_a_runner_and_keep_their_templates(daemon: Daemon) -> None:
    """Two with templates of their own, one with that of the weights: each renders in its own way, and the list shows
    the tag that came first."""
    lengths: list[int] = []
    pids: set[int] = set()
    for model in ("plain", "wordy", "own") * 2:
        lengths.append(served(daemon, model, raw=False)["prompt_eval_count"])
        pids.add(runner(daemon))
    assert len(pids) == 1
    assert lengths[:3] == lengths[3:]
    assert lengths[0] + 5 < lengths[1]
    assert len(set(lengths)) == 3
    assert [row["name"] for row in shown(daemon)] == ["plain:latest"]
    unload(daemon, "wordy")
    until(lambda: not daemon.runners(), "the shared runner ends")


# -- how long, and what is told of it -----------------------------------------------------------------------------


def test_the_list_of_loaded_models_is_true_when_the_answer_has_ended(daemon: Daemon) -> None:
    """`expires_at` is that of the request whose last line has just been read, whole or as a stream, text or vector."""
    for number in range(12):
        hours = 1 + number % 3 * 100
        body = {"model": "tiny", "prompt": "Once", "raw": True, "options": {"num_predict": 2, "num_ctx": 512}}
        body |= {"keep_alive": f"{hours}h", "stream": number % 2 == 0}
        begun = time.time()
        if number % 4 == 3:
            asked = {"model": "tiny", "input": "Once", "keep_alive": f"{hours}h", "options": {"num_ctx": 512}}
            assert daemon.http.post("/api/embed", json=asked).status_code == 200
        else:
            with daemon.http.stream("POST", "/api/generate", json=body) as answer:
                for line in answer.iter_lines():
                    if json.loads(line)["done"]:
                        break
                (row,) = shown(daemon)
        (row,) = shown(daemon)
        left = datetime.fromisoformat(row["expires_at"]).timestamp() - begun
        assert hours * HOUR <= left <= hours * HOUR + HOUR / 2
        assert (row["name"], row["context_length"]) == ("tiny:latest", 512)
        assert 0 <= row["size_vram"] <= row["size"]
        assert row["size"] > 1 << 20
    assert len(daemon.runners()) == 1
    unload(daemon, "tiny")
    assert shown(daemon) == []


def test_a_model_asked_to_leave_ends_what_it_does_first(daemon: Daemon) -> None:
    """Its list entry expires at once, its answer is complete, and then the process goes."""
    caller = daemon.http.stream("POST", "/api/generate", json={"model": "tiny", **TALK, "options": {"num_predict": 99}})
    with caller as answer:
        lines = answer.iter_lines()
        next(lines)
        unload(daemon, "tiny")
        (row,) = shown(daemon)
        assert datetime.fromisoformat(row["expires_at"]).timestamp() <= time.time()
        *_, last = lines
    assert json.loads(last)["eval_count"] == 99
    until(lambda: not daemon.runners(), "the runner ends after its request")
    assert shown(daemon) == []


def test_zero_unloads_after_the_answer(daemon: Daemon) -> None:
    served(daemon, "tiny", keep_alive=0)
    assert shown(daemon) == []
    until(lambda: not daemon.runners(), "the runner ends")


# -- clients that leave -------------------------------------------------------------------------------------------


def all_places_serve(daemon: Daemon, model: str) -> None:
    """As many streams as there are places speak side by side, none waiting for another's end."""
    callers = [Caller(daemon, {"model": model, **TALK}) for _ in range(WIDTH)]
    for caller in callers:
        assert b'"response"' in caller.hear(800)
    for caller in callers:
        caller.hang_up()
    assert served(daemon, model)["eval_count"] == 3


def test_a_hundred_clients_that_leave_at_any_moment_cost_no_place(daemon: Daemon) -> None:
    """Loading, waiting, reading, rudely or not."""
    hang_up_everywhere(daemon, "tiny", 100)
    all_places_serve(daemon, "tiny")
    assert len(daemon.runners()) == 1


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_thousand_clients_that_leave_at_any_moment_cost_no_place(daemon: Daemon) -> None:
    hang_up_everywhere(daemon, "tiny", 1000)
    all_places_serve(daemon, "tiny")
    assert len(daemon.runners()) == 1


@pytest.mark.skipif(os.name == "nt", reason="signals are of POSIX")
@pytest.mark.parametrize("stream", [True, False])
def test_a_load_that_nobody_waits_for_ends(daemon: Daemon, stream: bool) -> None:
    """The process hangs in the middle of it, and goes all the same."""
    caller = Caller(daemon, {"model": "tiny", **TALK, "stream": stream})
    until(lambda: bool(daemon.runners()), "a load begins")
    loading = runner(daemon)
    os.kill(loading, signal.SIGSTOP)
    caller.hang_up()
    until(lambda: loading not in daemon.runners(), "the load is given up")
    assert shown(daemon) == []
    assert served(daemon, "tiny")["done"]


# -- runners that end ---------------------------------------------------------------------------------------------


@pytest.mark.skipif(os.name == "nt", reason="signals are of POSIX")
def test_a_runner_killed_under_its_requests_fails_them_all_and_the_next_one_works(daemon: Daemon) -> None:
    """The stream ends with the error as its last line, the others with status 500, and the next load is a fresh one."""
    served(daemon, "tiny")
    killed = runner(daemon)
    with (
        ThreadPoolExecutor() as threads,
        daemon.http.stream("POST", "/api/generate", json={"model": "tiny", **TALK}) as answer,
    ):
        lines = answer.iter_lines()
        next(lines)
        whole = [threads.submit(generate, daemon, "tiny", **TALK, options={}) for _ in range(WIDTH)]
        for _ in range(100):  # time enough for them to arrive: one gets the other place, one has to wait
            next(lines)
        os.kill(killed, signal.SIGKILL)
        *_, last = lines
        assert json.loads(last)["error"].startswith("an error was encountered while running the model: ")
        for one in whole:
            refused = one.result()
            assert refused.status_code == 500
            assert "running the model" in refused.text or "unexpectedly stopped" in refused.text
    assert served(daemon, "tiny")["done"]
    assert runner(daemon) != killed


@pytest.mark.long
@pytest.mark.skipif(os.name == "nt", reason="signals are of POSIX")
def test_a_runner_that_hangs_is_replaced_after_its_ten_seconds(daemon: Daemon) -> None:
    """It is there and does not answer: the request that finds it so gets a fresh one."""
    served(daemon, "tiny")
    stuck = runner(daemon)
    time.sleep(1.5)  # only who has been silent for a while is asked
    os.kill(stuck, signal.SIGSTOP)
    assert served(daemon, "tiny")["done"]
    assert runner(daemon) != stuck


@pytest.mark.skipif(sys.platform != "linux", reason="watches processes by descriptors")
def test_a_killed_daemon_leaves_no_runner(tmp_path_factory: pytest.TempPathFactory) -> None:
    """One that generates, one in reserve, and one that is stopped and could not read the end of its pipe."""
    daemon = Daemon(tmp_path_factory.mktemp("killed"))
    try:
        daemon.add("one", "tinychat-f16.gguf")
        daemon.add("two", "tinychat-q8_0.gguf")
        served(daemon, "one")
        until(lambda: len(daemon.runners()) == 2, "a runner waits in reserve")
        served(daemon, "two")
        until(lambda: len(daemon.runners()) == 3, "another one waits in reserve")
        talking = Caller(daemon, {"model": "two", **TALK})
        talking.hear(600)
        watched = {pid: os.pidfd_open(pid) for pid in daemon.runners()}
        os.kill(min(watched), signal.SIGSTOP)
        daemon.process.kill()
        until(lambda: ended(watched.values()), "all runners end")
        talking.hang_up()
        for descriptor in watched.values():
            os.close(descriptor)
    finally:
        daemon.process.kill()
        daemon.stop()


@pytest.mark.skipif(sys.platform != "linux", reason="watches processes by descriptors")
def test_a_signal_ends_streams_with_a_word_and_all_runners(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """A stream in flight goes on until its time is up and ends with an error line, no runner is left, and the daemon
    exits well."""
    daemon = Daemon(tmp_path_factory.mktemp("drained"), {"LLAMAD_DRAIN_TIMEOUT": "500ms"})
    try:
        daemon.add("one", "tinychat-f16.gguf")
        with daemon.http.stream("POST", "/api/generate", json={"model": "one", **TALK}) as answer:
            lines = answer.iter_lines()
            next(lines)
            watched = {pid: os.pidfd_open(pid) for pid in daemon.runners()}
            daemon.process.terminate()
            *rest, last = lines
        assert rest
        assert json.loads(last) == {"error": "server is shutting down"}
        assert daemon.process.wait(30) == 0
        until(lambda: ended(watched.values()), "all runners end")
        for descriptor in watched.values():
            os.close(descriptor)
    finally:
        daemon.stop()


def ended(descriptors: Any) -> bool:
    """Whether all these processes have ended; nobody need have reaped them."""
    poll = select.poll()
    watched = list(descriptors)
    for descriptor in watched:
        poll.register(descriptor, select.POLLIN)
    return len(poll.poll(0)) == len(watched)


# -- one model at a time ------------------------------------------------------------------------------------------


def test_alternating_models_are_all_served_and_never_two_loaded(narrow: Daemon) -> None:
    """Two clients, each with a model of its own, take turns with the one place there is."""
    seen: set[int] = set()
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.01):
            seen.add(len(shown(narrow)))

    def client(model: str) -> list[int]:
        return [generate(narrow, model).status_code for _ in range(3)]

    with ThreadPoolExecutor() as threads:
        watching = threads.submit(watch)
        answers = [threads.submit(client, model) for model in ("one", "two")]
        assert [answer.result() for answer in answers] == [[200] * 3] * 2
        over.set()
        watching.result()
    assert seen <= {0, 1}


@pytest.mark.skipif(os.name == "nt", reason="signals are of POSIX")
def test_who_finds_the_queue_full_is_told_at_once_and_the_others_are_served(narrow: Daemon) -> None:
    """One is worked on and one waits: the third gets 503 and the reference's words, two spaces and all."""
    served(narrow, "one")
    until(lambda: len(narrow.runners()) == 2, "a reserve is there")
    unload(narrow, "one")
    until(lambda: len(narrow.runners()) == 1, "only the reserve is there")
    reserve = runner(narrow)
    os.kill(reserve, signal.SIGSTOP)
    with ThreadPoolExecutor() as threads:
        asked: set[Future[httpx.Response]] = {threads.submit(generate, narrow, "one") for _ in range(3)}
        first, rest = wait(asked, timeout=60, return_when=FIRST_COMPLETED)
        (refused,) = [one.result() for one in first]
        os.kill(reserve, signal.SIGCONT)
        assert (refused.status_code, refused.json()) == (503, {"error": BUSY})
        assert [one.result().status_code for one in rest] == [200, 200]


@pytest.mark.skipif(os.name == "nt", reason="signals are of POSIX")
def test_a_loaded_model_is_served_while_the_queue_is_full(narrow: Daemon) -> None:
    """A client that waits for another model does not keep those away from the one that is there, twice its width."""
    served(narrow, "one")
    until(lambda: len(narrow.runners()) == 2, "a reserve is there")
    talking = Caller(narrow, {"model": "one", **TALK})
    talking.hear(600)
    with ThreadPoolExecutor() as threads:
        other = threads.submit(generate, narrow, "two")
        passing = Caller(narrow, {"model": "one", "keep_alive": "5m"})
        assert b'"done_reason":"load"' in passing.hear(400)
        passing.hang_up()
        talking.hang_up()
        assert other.result().status_code == 200
