"""How a client on the same machine hands over an open file: what both sides have to agree on.

The daemon opens no path that a request names. A client that reaches it by a loopback address learns from the header
`Llamad-Handover` where a Unix socket listens, and sends one message: a line with the digest, and beside it the
descriptor of the file. Lines come back: how far it is, and at last how it went. Who cannot connect (from another
machine, out of a container, through a tunnel) uploads instead.

    header     unix:@llamad-<32 hex>                  an abstract address of Linux
               unix:/…/llamad-…/handover              a socket in a directory of its own, elsewhere
    ─▶         {"digest": "sha256:<64 hex>"}          with one descriptor
    ◀─         {"completed": 8388608, "total": 469762048}
    ◀─         {"status": "cloned"}                   or present, copied
               {"status": 400, "error": "…"}          as the HTTP API would answer
"""

import re
import socket
from typing import Final

HEADER: Final = "Llamad-Handover"
WORTH_IT: Final = 1 << 20
"""Bytes from which on asking for the socket costs less than sending the file."""
MAX_LINE: Final = 256
"""Bytes of the client's message."""

_PREFIX: Final = "unix:"
_OURS: Final = re.compile(r"unix:(@llamad-[0-9a-f]{32}|/[^\x00\n]{1,90}/llamad-[a-z0-9_]{8}/handover)")


def is_possible() -> bool:
    """Whether descriptors can be sent on this system."""
    return hasattr(socket, "AF_UNIX") and hasattr(socket, "send_fds")


def header_value(address: str) -> str:
    """The header for a socket's address as Python has it."""
    return _PREFIX + address.replace("\0", "@", 1)


def address_in(header: str) -> str:
    """The address in a header; empty if it is none of ours: a file is not handed to just any socket."""
    found = _OURS.fullmatch(header)
    if found is None:
        return ""
    return "\0" + found[1][1:] if found[1].startswith("@") else found[1]
