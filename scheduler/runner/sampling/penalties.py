"""What is done to a row of logits before a token is chosen: biases, and penalties for what was said lately."""

from collections import deque
from collections.abc import Iterable
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from scheduler.runner.sampling.candidates import Ids, Values

_LARGEST: Final = 1e30
"""Beyond it float32 has no room left to divide by a temperature."""


class Adjustment(Protocol):
    """Changes a few logits of a row."""

    @property
    def ids(self) -> Ids:
        """The tokens it is about, each once."""
        ...

    def __call__(self, values: Values) -> Values:
        """The new logits of `ids`, from the present ones."""
        ...


class Bias:
    """A number is added to each of some logits; minus infinity forbids the token."""

    def __init__(self, biases: Iterable[tuple[int, float]]) -> None:
        total: dict[int, float] = {}
        for token, bias in biases:
            total[token] = total.get(token, 0.0) + bias
        self.ids: Ids = np.fromiter(total, np.intp, len(total))
        self._biases = np.fromiter(total.values(), np.float64, len(total))

    def __call__(self, values: Values) -> Values:
        biased = np.minimum(values + self._biases, _LARGEST)
        return np.where(self._biases == -np.inf, -np.inf, np.maximum(biased, -_LARGEST)).astype(np.float32)


class Penalties:
    """Lowers the logits of the last `window` tokens.

    The repeat penalty divides what is above zero and multiplies what is below; the frequency penalty is taken off for
    each occurrence, the presence penalty once.
    """

    def __init__(self, window: int, repeat: float, frequency: float, presence: float) -> None:
        self._window = window
        self._repeat, self._frequency, self._presence = repeat, frequency, presence
        self._recent: deque[int] = deque()
        self._places: dict[int, int] = {}
        self._ids: Ids = np.empty(64, np.intp)
        self._counts: NDArray[np.float64] = np.empty(64, np.float64)

    @property
    def ids(self) -> Ids:
        """The tokens of the window, each once."""
        return self._ids[: len(self._places)]

    def note(self, token: int) -> None:
        """The token is the newest of the text. Constant time."""
        place = self._places.get(token)
        if place is None:
            self._append(token)
        else:
            self._counts[place] += 1
        self._recent.append(token)
        if len(self._recent) > self._window:
            self._forget(self._recent.popleft())

    def _append(self, token: int) -> None:
        place = len(self._places)
        if place == len(self._ids):
            self._ids = np.resize(self._ids, 2 * place)
            self._counts = np.resize(self._counts, 2 * place)
        self._places[token] = place
        self._ids[place] = token
        self._counts[place] = 1

    def _forget(self, token: int) -> None:
        place = self._places[token]
        self._counts[place] -= 1
        if self._counts[place] > 0:
            return
        del self._places[token]
        last = len(self._places)
        if place < last:  # the last one moves into the gap
            moved = int(self._ids[last])
            self._ids[place] = moved
            self._counts[place] = self._counts[last]
            self._places[moved] = place

    def __call__(self, values: Values) -> Values:
        exact = values.astype(np.float64)
        with np.errstate(over="ignore", invalid="ignore"):  # what leaves the range is brought back below
            exact *= np.where(exact > 0, 1 / self._repeat, self._repeat)
            exact -= self._counts[: len(self._places)] * self._frequency + self._presence
        # A third of the time that np.clip takes.
        return np.maximum(np.minimum(exact, _LARGEST), -_LARGEST).astype(np.float32)
