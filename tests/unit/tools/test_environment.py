"""Fetching the pinned pip."""

import threading
from collections.abc import Generator
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.install import environment
from tools.install.environment import PIP_WHEEL, find_link, pip_wheel
from tools.install.errors import DownloadFailed, InstallError

CONTENT = b"not really pip"
PAGE = f'<html><a href="../../files/pip-1.0.tar.gz">x</a><A data-x="1" HREF=\'../../files/{PIP_WHEEL}#sha256=0\'>y</A>'


class Index:
    """A package index on a free port: paths and what they answer."""

    def __init__(self) -> None:
        self.pages = {"/simple/pip/": PAGE.encode(), f"/files/{PIP_WHEEL}": CONTENT}
        self.asked: list[str] = []
        index = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                index.asked.append(self.path)
                body = index.pages.get(self.path)
                self.send_response(200 if body is not None else 404)
                self.end_headers()
                self.wfile.write(body or b"")

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.environ = {"PIP_INDEX_URL": f"http://127.0.0.1:{self.server.server_port}/simple/"}


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Generator[Index]:
    monkeypatch.setattr(environment, "PIP_SHA256", sha256(CONTENT).hexdigest())
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    served = Index()
    thread = threading.Thread(target=served.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield served
    served.server.shutdown()
    thread.join()
    served.server.server_close()


def test_it_comes_from_the_configured_index_once(tmp_path: Path, index: Index) -> None:
    cache = tmp_path / "cache"
    wheel = pip_wheel(cache, index.environ)
    assert wheel == cache / PIP_WHEEL
    assert wheel.read_bytes() == CONTENT
    assert index.asked == ["/simple/pip/", f"/files/{PIP_WHEEL}"]
    assert pip_wheel(cache, index.environ) == wheel
    assert len(index.asked) == 2


def test_another_content_is_refused_and_leaves_nothing(tmp_path: Path, index: Index) -> None:
    index.pages[f"/files/{PIP_WHEEL}"] = b"something else"
    with pytest.raises(DownloadFailed, match="its SHA-256 is"):
        pip_wheel(tmp_path, index.environ)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_copy_in_the_cache_is_fetched_again(tmp_path: Path, index: Index) -> None:
    (tmp_path / PIP_WHEEL).write_bytes(b"half")
    assert pip_wheel(tmp_path, index.environ).read_bytes() == CONTENT


def test_an_index_without_it_is_named(tmp_path: Path, index: Index) -> None:
    index.pages["/simple/pip/"] = b"<html></html>"
    with pytest.raises(DownloadFailed, match="/simple/pip/: it does not list"):
        pip_wheel(tmp_path, index.environ)


def test_an_index_that_cannot_be_reached_is_named(tmp_path: Path, index: Index) -> None:
    del index.pages["/simple/pip/"]
    with pytest.raises(DownloadFailed, match="/simple/pip/: Not Found"):
        pip_wheel(tmp_path, index.environ)


@pytest.mark.parametrize("url", ["file:///etc", "ftp://x/simple", "nonsense"])
def test_only_http_is_fetched(tmp_path: Path, url: str) -> None:
    with pytest.raises(DownloadFailed, match="not an http address"):
        pip_wheel(tmp_path, {"PIP_INDEX_URL": url})


def test_a_certificate_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InstallError, match=r"PIP_CERT=/nowhere\.pem: No such file"):
        pip_wheel(tmp_path, {"PIP_CERT": "/nowhere.pem"})


@pytest.mark.parametrize(
    ("href", "address"),
    [
        (f"https://files.example/a/{PIP_WHEEL}#sha256=1", f"https://files.example/a/{PIP_WHEEL}"),
        (f"/a/{PIP_WHEEL}", f"https://index.example/a/{PIP_WHEEL}"),
        (f"{PIP_WHEEL}?a=1&amp;b=2", f"https://index.example/simple/pip/{PIP_WHEEL}?a=1&b=2"),
        (f"{PIP_WHEEL}.metadata", None),
        (f"x{PIP_WHEEL}", None),
    ],
)
def test_links_of_an_index_page(href: str, address: str | None) -> None:
    assert find_link(f'<a href="{href}">pip</a>', "https://index.example/simple/pip/") == address


@given(st.text())
def test_any_page_is_read(page: str) -> None:
    assert find_link(page, "https://index.example/simple/pip/") is None


def test_variables_that_would_install_elsewhere_do_not_reach_pip(tmp_path: Path) -> None:
    made = environment.Environment(tmp_path).variables({"PIP_USER": "1", "PIP_TARGET": "/x", "PIP_INDEX_URL": "u"})
    assert "PIP_USER" not in made
    assert "PIP_TARGET" not in made
    assert made["PIP_INDEX_URL"] == "u"
    assert made["PATH"].startswith(str(tmp_path / "bin"))
