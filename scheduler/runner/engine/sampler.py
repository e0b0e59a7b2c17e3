"""llama.cpp's samplers, for candidates that were selected before."""

import ctypes
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from scheduler.runner.engine.library import native

_CANDIDATE: Final = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])


class CandidateSampler:
    """Keeps the `top_k` best of some candidates, then what the other filters leave, and draws one at a temperature.

    The random numbers depend on the seed alone; 0xFFFFFFFF draws a seed. Choosing is for one thread.
    """

    _chain: Any = None

    def __init__(
        self, room: int, *, top_k: int, typical_p: float, top_p: float, min_p: float, temperature: float, seed: int
    ) -> None:
        """`room`: most candidates at a time. Temperature 0 takes the best that is left."""
        lib = native()
        links = [lib.llama_sampler_init_top_k(top_k)]
        if typical_p < 1:
            links.append(lib.llama_sampler_init_typical(typical_p, 1))
        if top_p < 1:
            links.append(lib.llama_sampler_init_top_p(top_p, 1))
        if min_p > 0:
            links.append(lib.llama_sampler_init_min_p(min_p, 1))
        links += [lib.llama_sampler_init_temp(temperature), lib.llama_sampler_init_dist(seed)]
        self._free: Any = lib.llama_sampler_free
        self._apply: Any = lib.llama_sampler_apply
        self._chain = _chain(lib, links)
        array = np.zeros(room, _CANDIDATE)
        self._ids: NDArray[np.int32] = array["id"]
        self._logits: NDArray[np.float32] = array["logit"]
        self._chances: NDArray[np.float32] = array["p"]
        self._candidates: Any = lib.llama_token_data_array(data=array.ctypes.data_as(lib.llama_token_data_p))
        self._pointer = ctypes.byref(self._candidates)

    def choose(self, ids: NDArray[np.intp], logits: NDArray[np.float32]) -> int:
        """The id of the one drawn; -1 where the logits are no distribution. At least one, no NaN."""
        count = len(ids)
        self._ids[:count] = ids
        self._logits[:count] = logits
        candidates = self._candidates
        candidates.size = count
        candidates.selected = -1
        candidates.sorted = False
        self._apply(self._chain, self._pointer)
        place = candidates.selected
        return int(self._ids[place]) if self._chances[place] > 0 else -1

    def close(self) -> None:
        """Free the samplers; nothing can be chosen afterwards."""
        if self._chain is not None:
            self._free(self._chain)
            self._chain = None

    def __del__(self) -> None:
        self.close()


def _chain(lib: Any, links: Sequence[Any]) -> Any:
    chain = lib.llama_sampler_chain_init(lib.llama_sampler_chain_default_params())
    for link in links:
        lib.llama_sampler_chain_add(chain, link)
    return chain
