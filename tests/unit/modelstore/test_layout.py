"""Paths of the store."""

from pathlib import Path

import pytest

from modelstore.digest import Digest
from modelstore.errors import InvalidName
from modelstore.layout import Layout
from modelstore.names import Name

LAYOUT = Layout(Path("/models"))
DIGEST = Digest("0" * 64)


def test_paths() -> None:
    """The tree that other programs know."""
    assert LAYOUT.blob(DIGEST) == Path("/models/blobs/sha256-" + "0" * 64)
    assert LAYOUT.manifest(Name.parse("h:5/n/m:t")) == Path("/models/manifests/h:5/n/m/t")
    assert LAYOUT.partial(DIGEST).is_relative_to("/models/.llamad")
    assert LAYOUT.journal(DIGEST).parent == LAYOUT.partials


def test_manifest_path_and_back() -> None:
    """A manifest's path is its name."""
    name = Name.parse("hf.co/u/r:Q4_K_M")
    assert LAYOUT.name(LAYOUT.manifest(name)) == name


@pytest.mark.parametrize("path", ["h/n/m", "h/n/m/t/x", "h/n/m/.DS_Store", "h/n.s/m/t"])
def test_paths_that_are_no_names(path: str) -> None:
    """Anything else among the manifests has no name."""
    with pytest.raises(InvalidName):
        LAYOUT.name(LAYOUT.manifests / path)


def test_temporary_names() -> None:
    """Each is new, and is recognised as ours."""
    first, second = LAYOUT.temporary(LAYOUT.blobs), LAYOUT.temporary(LAYOUT.blobs)
    assert first != second
    assert first.parent == LAYOUT.blobs
    assert LAYOUT.is_temporary(first)
    assert not LAYOUT.is_temporary(LAYOUT.blob(DIGEST))
