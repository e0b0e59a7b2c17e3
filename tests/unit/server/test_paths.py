"""Where paths lead."""

import posixpath

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.responses import Response

from server.paths import FOUND, NOWHERE, Endpoint, Resolution, RouteTable, clean_path, location


async def handler(request: Request) -> Response:
    return Response()


TABLE = RouteTable(
    [
        Endpoint("/", handler, ("GET", "HEAD")),
        Endpoint("/api/tags", handler, ("GET", "HEAD")),
        Endpoint("/api/show", handler, ("POST",)),
        Endpoint("/api/blobs/{digest}", handler, ("HEAD",)),
        Endpoint("/api/blobs/{digest}", handler, ("POST",)),
        Endpoint("/v1/models", handler, ("GET",)),
        Endpoint("/v1/models/{model}", handler, ("GET",)),
    ]
)


@pytest.mark.parametrize(
    ("method", "path", "resolution"),
    [
        ("GET", "/", FOUND),
        ("HEAD", "/api/tags", FOUND),
        ("POST", "/api/blobs/sha256:0", FOUND),
        ("GET", "/v1/models/a:b", FOUND),
        ("GET", "/nope", NOWHERE),
        ("GET", "/API/TAGS", NOWHERE),
        ("POST", "/api/blobs", NOWHERE),
        ("POST", "/api/blobs/", NOWHERE),
        ("POST", "/api/blobs/a/b", NOWHERE),
        ("GET", "/api/show/", NOWHERE),
        ("GET", "/api/show", Resolution(found=False, allow="POST")),
        ("TRACE", "/api/tags", Resolution(found=False, allow="HEAD, GET")),
        ("GET", "/api/blobs/x", Resolution(found=False, allow="HEAD, POST")),
        ("GET", "/api/tags/", Resolution(found=False, redirect="/api/tags")),
        ("POST", "/api/show/", Resolution(found=False, redirect="/api/show")),
        ("POST", "/api/blobs/x/", Resolution(found=False, redirect="/api/blobs/x")),
        ("GET", "/v1/models/", Resolution(found=False, redirect="/v1/models")),
    ],
)
def test_resolves(method: str, path: str, resolution: Resolution) -> None:
    assert TABLE.resolve(method, path) == resolution


@given(st.text("/.a", max_size=12))
def test_cleaning_agrees_with_the_file_system_and_keeps_the_last_slash(path: str) -> None:
    cleaned = clean_path("/" + path)
    assert cleaned.rstrip("/") == "/" + posixpath.normpath("/" + path).strip("/") or cleaned == "/"
    assert clean_path(cleaned) == cleaned


@pytest.mark.parametrize(
    ("path", "cleaned"),
    [("//api/tags", "/api/tags"), ("/api//tags/", "/api/tags/"), ("/a/./b", "/a/b"), ("/a/../../b", "/b"), ("", "/"),
     ("/a/..", "/"), ("/.hidden", "/.hidden")],
)  # fmt: skip
def test_cleans(path: str, cleaned: str) -> None:
    assert clean_path(path) == cleaned


def test_a_location_is_escaped_and_keeps_its_query() -> None:
    assert location("/a b/é:c", b"x=1") == "/a%20b/%C3%A9:c?x=1"
