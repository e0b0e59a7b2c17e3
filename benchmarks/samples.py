"""Figures that repeat: their middle, their spread, their ratio."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

_ONE_BY_ONE: Final = 0.8
"""Gaps a token, from which on tokens count as arriving one by one."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One figure, measured once a round."""

    rounds: tuple[float, ...]

    @classmethod
    def of(cls, values: Iterable[float]) -> "Sample":
        """Raises `ValueError` when there is none."""
        rounds = tuple(values)
        if not rounds:
            raise ValueError("a sample needs at least one value")
        return cls(rounds)

    @property
    def median(self) -> float:
        """The middle one, or the mean of the two in the middle."""
        return statistics.median(self.rounds)

    @property
    def spread(self) -> float:
        """Largest less smallest, as a share of the median; 0 when the median is 0."""
        middle = self.median
        return (max(self.rounds) - min(self.rounds)) / middle if middle else 0.0


def ratio(ours: Sample, peer: Sample | None) -> float | None:
    """The median of the ratios of the rounds, so that what slows a whole round down slows both sides of it.

    Of samples with unlike numbers of rounds, the ratio of their medians. None without a peer, or where it is zero.
    """
    if peer is None or not all(peer.rounds):
        return None
    if len(ours.rounds) != len(peer.rounds):
        return ours.median / peer.median
    return statistics.median(a / b for a, b in zip(ours.rounds, peer.rounds, strict=True))


@dataclass(frozen=True, slots=True)
class Stream:
    """One streamed answer. Times in seconds of one clock; at least two tokens."""

    sent: float
    first: float
    """When its first text arrived."""
    last: float
    tokens: int
    gaps: tuple[float, ...] = ()
    """Seconds between one arrival and the next; an arrival brings one token or several."""


@dataclass(frozen=True, slots=True)
class Wave:
    """Streams that began together."""

    streams: Sequence[Stream]

    @property
    def tokens(self) -> int:
        """Of all streams."""
        return sum(stream.tokens for stream in self.streams)

    @property
    def decode_rate(self) -> float:
        """Tokens a second between first and last token, summed over the streams: the prompts are not in it."""
        return sum((stream.tokens - 1) / (stream.last - stream.first) for stream in self.streams)

    @property
    def gap_rate(self) -> float | None:
        """Tokens a second by the median gap, which no single hiccup moves; None where tokens arrive several at once."""
        gaps = [gap for stream in self.streams for gap in stream.gaps]
        if len(gaps) < _ONE_BY_ONE * (self.tokens - len(self.streams)):
            return None
        return 1 / statistics.median(gaps)

    @property
    def throughput(self) -> float:
        """Tokens a second from the first request to the last token: the prompts are in it."""
        began = min(stream.sent for stream in self.streams)
        ended = max(stream.last for stream in self.streams)
        return self.tokens / (ended - began)

    @property
    def first_token(self) -> float:
        """Seconds from a request to its first text; the median of the streams."""
        return statistics.median(stream.first - stream.sent for stream in self.streams)
