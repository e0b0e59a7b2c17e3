"""llama.cpp's grammars (GBNF): which tokens may follow a text.

Two traps of the native code are kept shut here: a source that it cannot parse gives a null pointer, and accepting a
token that the grammar forbids ends the process with an exception that nobody catches. So nothing is accepted unasked.
"""

import ctypes
import weakref
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from scheduler.runner.engine.library import native
from scheduler.runner.engine.vocabulary import Vocabulary

_CANDIDATE: Final = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])
"""`llama_token_data`."""


class GrammarError(ValueError):
    """The engine refuses the grammar; its log says why."""


class Grammar:
    """A position in a grammar. Not to be used by two threads at once."""

    def __init__(self, vocabulary: Vocabulary, source: str, root: str = "root") -> None:
        """Raises `GrammarError`. The source must be free of left recursion in any disguise, or the engine never
        returns."""
        lib = native()
        pointer = lib.llama_sampler_init_grammar(vocabulary.pointer, source.encode(), root.encode())
        if not pointer:
            raise GrammarError("the engine cannot parse the grammar, or its repetitions are too many")
        self._take(lib, pointer)

    def _take(self, lib: Any, pointer: Any) -> None:
        self._lib = lib
        self._pointer = pointer
        self._free = weakref.finalize(self, lib.llama_sampler_free, pointer)
        self._free.atexit = False  # the process ends without destructors
        self._one: Any = lib.llama_token_data()
        self._single: Any = _candidates(lib, ctypes.pointer(self._one), 1)

    def clone(self) -> "Grammar":
        """Another one at the same position."""
        copy = Grammar.__new__(Grammar)
        copy._take(self._lib, self._lib.llama_sampler_clone(self._pointer))
        return copy

    def admits(self, token: int) -> bool:
        """Whether the token may come next: microseconds."""
        self._one.id = token
        self._one.logit = 0.0
        self._lib.llama_sampler_apply(self._pointer, ctypes.byref(self._single))
        return self._one.logit == 0.0

    def which(self, tokens: NDArray[np.int32]) -> NDArray[np.bool_]:
        """For each of the tokens whether it may come next: milliseconds to tens of them for all of a vocabulary."""
        candidates = np.zeros(len(tokens), _CANDIDATE)
        candidates["id"] = tokens
        kind: type[Any] = self._lib.llama_token_data
        array = _candidates(self._lib, ctypes.cast(candidates.ctypes.data, ctypes.POINTER(kind)), len(tokens))
        self._lib.llama_sampler_apply(self._pointer, ctypes.byref(array))
        return candidates["logit"] == 0.0

    def accept(self, token: int) -> bool:
        """Advance over a token. False, and nothing happens, where it may not come next."""
        if not self.admits(token):
            return False
        self._lib.llama_sampler_accept(self._pointer, token)
        return True


def _candidates(lib: Any, data: Any, size: int) -> Any:
    return lib.llama_token_data_array(data=data, size=size, selected=-1, sorted=False)
