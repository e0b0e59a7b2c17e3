"""What a header may lead to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.handover import address_in, header_value

HEX = "0123456789abcdef" * 2


@pytest.mark.parametrize(
    "address", [f"\0llamad-{HEX}", "/tmp/llamad-ab_c1234/handover", "/var/folders/x/T/llamad-abcdefgh/handover"]
)
def test_an_address_of_ours_comes_through(address: str) -> None:
    assert address_in(header_value(address)) == address


@pytest.mark.parametrize(
    "header",
    [
        "",
        "unix:",
        "unix:@docker",
        "unix:/run/docker.sock",
        "unix:/tmp/llamad-abcdefgh/../docker.sock",
        f"unix:@llamad-{HEX}0",
        f"unix:@llamad-{HEX}\n",
        f"tcp:@llamad-{HEX}",
        "unix:tmp/llamad-abcdefgh/handover",
        "unix:/" + "x" * 200 + "/llamad-abcdefgh/handover",
    ],
)
def test_a_file_is_not_handed_to_just_any_socket(header: str) -> None:
    assert address_in(header) == ""


@given(st.text())
def test_no_header_is_too_odd(header: str) -> None:
    assert header_value(address_in(header)) in (header, "unix:")
