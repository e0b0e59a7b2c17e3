"""From a request's sampling options to a chain of samplers.

Order of the chain: penalties → top_k → typical_p → top_p → min_p → temperature → random choice; the filters see the
logits before temperature flattens or sharpens them. Links that would do nothing are left out.
"""

from collections.abc import Sequence
from typing import Final

from scheduler.frames import Sampling
from scheduler.runner.engine import SamplerChain

_RANDOM_SEED: Final = 0xFFFFFFFF
"""The engine's word for 'draw one'."""


def penalty_window(options: Sampling, num_ctx: int) -> int:
    """Tokens that the penalties look back on; 0 when no penalty acts."""
    neutral = options.repeat_penalty in (0.0, 1.0) and not options.presence_penalty and not options.frequency_penalty
    if neutral or options.repeat_last_n == 0:
        return 0
    return num_ctx if options.repeat_last_n < 0 else min(options.repeat_last_n, num_ctx)


def build_chain(options: Sampling, *, vocab_size: int, num_ctx: int, prompt: Sequence[int]) -> SamplerChain:
    """A fresh chain for one request; the penalties have seen the end of its prompt."""
    chain = SamplerChain()
    window = penalty_window(options, num_ctx)
    if window:
        repeat = options.repeat_penalty if options.repeat_penalty > 0 else 1.0
        chain.add_penalties(vocab_size, window, repeat, options.frequency_penalty, options.presence_penalty)
    seed = _RANDOM_SEED if options.seed == -1 else options.seed & 0xFFFFFFFF
    if options.mirostat in (1, 2) and options.temperature > 0:
        chain.add_temperature(options.temperature)
        chain.add_mirostat(options.mirostat, vocab_size, seed, options.mirostat_tau, options.mirostat_eta)
    elif options.temperature <= 0 and options.typical_p >= 1:
        chain.add_greedy()  # top_k, top_p and min_p never remove the best token
    else:
        _add_filters(chain, options)
        chain.add_temperature(options.temperature)
        chain.add_dist(seed)
    if window:
        for token in prompt[-window:]:
            chain.accept(token)
    return chain


def _add_filters(chain: SamplerChain, options: Sampling) -> None:
    if options.top_k > 0:
        chain.add_top_k(options.top_k)
    if options.typical_p < 1:
        chain.add_typical(options.typical_p)
    if options.top_p < 1:
        chain.add_top_p(options.top_p)
    if options.min_p > 0:
        chain.add_min_p(options.min_p)
