"""A request's random numbers: the ones that llama.cpp would draw, so that a seed means here what it means there.

The generator is the 32-bit Mersenne Twister (Matsumoto and Nishimura, 1998) with its original initialisation from one
word; a number in [0, 1) takes two words of it, the lower half first.
"""

from collections.abc import Callable
from functools import lru_cache
from random import Random
from typing import Final

_WORDS: Final = 624
_STATE_VERSION: Final = 3
_DRAW_ONE: Final = 0xFFFFFFFF
"""llama.cpp's word for another seed each time."""


def word(seed: int) -> int:
    """The 32 bits of a seed that count. -1, and nothing else, stands for another one each time."""
    return seed & _DRAW_ONE if seed == -1 or seed & _DRAW_ONE != _DRAW_ONE else _DRAW_ONE - 1


def uniform(seed: int) -> Callable[[], float]:
    """A stream of numbers in [0, 1) that depends on the seed alone; -1: another one each time."""
    random = Random()
    if seed != -1:
        random.setstate((_STATE_VERSION, _initial(word(seed)), None))
    bits = random.getrandbits

    def draw() -> float:
        return bits(64) / 18446744073709551616.0

    return draw


@lru_cache(maxsize=8)
def _initial(seed: int) -> tuple[int, ...]:
    words = [seed]
    for index in range(1, _WORDS):
        seed = (1812433253 * (seed ^ seed >> 30) + index) & 0xFFFFFFFF
        words.append(seed)
    return (*words, _WORDS)
