"""How much context a request gets: pure arithmetic over token counts.

C is the context of one sequence in tokens, enforced here: the engine rounds its own up to a multiple of 256.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

PROMPT_TOO_LONG: Final = (
    "the prompt is longer than the context length currently available to the model; shorten the prompt, "
    "adjust the context length in settings, or use a model with a longer context length"
)
_RUNAWAY_CONTEXTS: Final = 10


class PromptTooLong(Exception):
    """The prompt does not fit and may not be cut. The client's fault."""


@dataclass(frozen=True, slots=True)
class Fit:
    """A prompt that fits, and what of it survives a later shift."""

    tokens: list[int]
    keep: int
    cut: int
    """Tokens that were left out."""


def kept_tokens(num_keep: int, prompt: int, context: int, *, adds_bos: bool) -> int:
    """Leading tokens that neither a cut nor a shift may remove; negative `num_keep` is the whole prompt."""
    keep = prompt if num_keep < 0 else num_keep
    return min(keep + 1 if adds_bos else keep, context - 1)


def cut_length(context: int, keep: int) -> int:
    """Length to which a too long prompt is cut: half of what is not kept stays free for the answer."""
    if context <= 1:
        return 0
    return context - max((context - max(keep, 0)) // 2, 1)


def fit_prompt(
    tokens: Sequence[int], context: int, *, num_keep: int, adds_bos: bool, truncate: bool, shift: bool
) -> Fit:
    """The prompt as it will be evaluated. Raises `PromptTooLong` where cutting is not allowed."""
    count = len(tokens)
    keep = kept_tokens(num_keep, count, context, adds_bos=adds_bos)
    if count <= context - 1:
        return Fit(list(tokens), keep, 0)
    if not truncate:
        raise PromptTooLong(
            f"request ({count} tokens) exceeds the available context size ({context} tokens), try increasing it"
        )
    if not shift:
        raise PromptTooLong(PROMPT_TOO_LONG)
    length = cut_length(context, keep)
    tail = length - keep
    kept = [*tokens[:keep], *tokens[count - tail :]] if tail > 0 else list(tokens[:length])
    return Fit(kept, keep, count - len(kept))


def shift_range(stored: int, context: int, keep: int) -> tuple[int, int]:
    """[start, end) of the positions to forget when a sequence of `stored` tokens is full: the older half."""
    start = min(keep, context - 4) if context > 4 else 0
    left = stored - start
    return start, start + max(min(left // 2, left - 1), 1)


def token_budget(num_predict: int, context: int) -> int:
    """Most tokens one request may generate: what was asked for, and never more than ten contexts."""
    bound = _RUNAWAY_CONTEXTS * context
    return num_predict if 0 < num_predict <= bound else bound
