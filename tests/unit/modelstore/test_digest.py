"""Digests as types."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelstore.digest import Digest
from modelstore.errors import InvalidDigest

HEX = "89a2116c3a82d6a97f59f748d86ed4417214353fd178ee54df418fde32495fad"


@pytest.mark.parametrize("text", [f"sha256:{HEX}", f"sha256-{HEX}", f"sha256:{HEX.upper()}"])
def test_accepted_forms(text: str) -> None:
    """Colon or dash, either case; all are one digest."""
    digest = Digest.parse(text)
    assert str(digest) == f"sha256:{HEX}"
    assert digest.file_name == f"sha256-{HEX}"
    assert digest.short12 == HEX[:12]


@pytest.mark.parametrize(
    "text",
    [
        "",
        HEX,
        f"sha512:{HEX}",
        f"sha256:{HEX}0",
        f"sha256:{HEX[:-1]}",
        f"sha256:{HEX}\n",
        "sha256:../../x",
        f"sha256:{'g' * 64}",
        f"SHA256:{HEX}",
        f"sha256_{HEX}",
        f"sha256:{'٠' * 64}",
    ],
)
def test_refused_forms(text: str) -> None:
    """Nothing that could be a path or a part of a digest gets through."""
    with pytest.raises(InvalidDigest, match=r"^invalid digest format$"):
        Digest.parse(text)


def test_cannot_be_built_unvalidated() -> None:
    """The constructor wants exactly what `hex` promises."""
    with pytest.raises(InvalidDigest):
        Digest(HEX.upper())


@given(st.binary(max_size=100), st.integers(1, 9))
def test_pieces_and_files_hash_alike(tmp_path_factory: pytest.TempPathFactory, data: bytes, step: int) -> None:
    """However the bytes arrive, the digest is theirs."""
    path: Path = tmp_path_factory.getbasetemp() / "hashed"
    path.write_bytes(data)
    pieces = [data[i : i + step] for i in range(0, len(data), step)]
    assert Digest.of(data) == Digest.of_chunks(pieces) == Digest.of_file(path)
