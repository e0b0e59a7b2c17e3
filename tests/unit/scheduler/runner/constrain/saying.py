"""A text that a matcher is led over, byte by byte."""

import numpy as np

from scheduler.runner.constrain.constraints import Matcher


def said(matcher: Matcher, text: str, ends: str = "") -> str:
    """The text up to where it is refused. With `ends`, it also stops where nothing may follow, and `ends` says so."""
    for index, byte in enumerate(text.encode()):
        if matcher.active:
            matcher.prepare()
            bits = np.unpackbits(matcher.mask().view(np.uint8), bitorder="little")
            assert bool(bits[byte]) == matcher.admits(byte)
            if not matcher.admits(byte):
                return text[:index]
        if matcher.consume(byte) and ends:
            return text[: index + 1] + ends
    return text
