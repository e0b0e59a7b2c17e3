"""Chains of samplers, built link by link."""

from typing import Any

from scheduler.runner.engine.context import Context
from scheduler.runner.engine.library import native


class SamplerChain:
    """Chooses a token from a row of logits. Links act in the order they were added; the last one must choose."""

    def __init__(self) -> None:
        lib = native()
        self._lib = lib
        self._chain: Any = lib.llama_sampler_chain_init(lib.llama_sampler_chain_default_params())
        self._sample: Any = lib.llama_sampler_sample

    def _add(self, link: Any) -> None:
        self._lib.llama_sampler_chain_add(self._chain, link)

    def add_penalties(self, vocab_size: int, last_n: int, repeat: float, frequency: float, presence: float) -> None:
        """Lower the logits of the last `last_n` tokens."""
        self._add(self._lib.llama_sampler_init_penalties(vocab_size, last_n, repeat, frequency, presence))

    def add_top_k(self, k: int) -> None:
        """Keep the k best; 0 or less keeps all."""
        self._add(self._lib.llama_sampler_init_top_k(k))

    def add_typical(self, p: float) -> None:
        """Keep the tokens whose surprise is nearest to the expected one."""
        self._add(self._lib.llama_sampler_init_typical(p, 1))

    def add_top_p(self, p: float) -> None:
        """Keep the best that together reach probability p."""
        self._add(self._lib.llama_sampler_init_top_p(p, 1))

    def add_min_p(self, p: float) -> None:
        """Keep what is at least p times as probable as the best."""
        self._add(self._lib.llama_sampler_init_min_p(p, 1))

    def add_temperature(self, temperature: float) -> None:
        """Divide the logits; 0 or less keeps only the best."""
        self._add(self._lib.llama_sampler_init_temp(temperature))

    def add_mirostat(self, version: int, vocab_size: int, seed: int, tau: float, eta: float) -> None:
        """Choose by Mirostat 1 or 2."""
        if version == 1:
            self._add(self._lib.llama_sampler_init_mirostat(vocab_size, seed, tau, eta, 100))
        else:
            self._add(self._lib.llama_sampler_init_mirostat_v2(seed, tau, eta))

    def add_greedy(self) -> None:
        """Choose the best."""
        self._add(self._lib.llama_sampler_init_greedy())

    def add_dist(self, seed: int) -> None:
        """Choose at random by probability, from a stream that depends on the seed alone."""
        self._add(self._lib.llama_sampler_init_dist(seed))

    def sample(self, context: Context, row: int) -> int:
        """The token chosen for batch row `row`; the chain takes note of it."""
        return self._sample(self._chain, context.pointer, row)

    def accept(self, token: int) -> None:
        """Take note of a token that was not chosen here: penalties look back on it."""
        self._lib.llama_sampler_accept(self._chain, token)

    def close(self) -> None:
        """Free the chain; it cannot be used afterwards."""
        if self._chain is not None:
            self._lib.llama_sampler_free(self._chain)
            self._chain = None
