"""What kind of memory each layer of an architecture has.

What a layer keeps of a token follows from the architecture and a handful of keys. The rules are the engine's
(llama.cpp, as of the pinned release); a file that states the kind of each layer in an array is believed.
"""

from itertools import chain, repeat
from typing import Final, NamedTuple

from scheduler.estimate.keys import Keys
from scheduler.requests import Block

_FLOAT: Final = 4


class _Windows(NamedTuple):
    """Which layers of an architecture look back on a window only: all but one of each `period`, the last one or the
    first."""

    period: int
    first: bool = False
    default: int = 0
    """The window where the file names none; 0: then there is none."""
    fixed: int = 0
    """The window whatever the file says."""
    layers: int = 0
    """Of the only model of the architecture that has windows; 0: all have."""


_WINDOWS: Final = {
    "afmoe": _Windows(4),
    "cohere2": _Windows(4),
    "cohere2moe": _Windows(4, first=True),
    "exaone4": _Windows(4, default=4096, layers=64),
    "exaone-moe": _Windows(4, default=128),
    "gemma2": _Windows(2, default=4096),
    "gemma3": _Windows(6),
    "gemma3n": _Windows(5),
    "gpt-oss": _Windows(2),
    "gptoss": _Windows(2, default=4096),
    "laguna": _Windows(4, first=True),
    "llama4": _Windows(4, default=8192, fixed=8192),
    "mellum": _Windows(4),
    "olmo2": _Windows(4),
    "plamo3": _Windows(8),
    "smallthinker": _Windows(4, first=True, fixed=4096),
}
_LISTED_WINDOWS: Final = frozenset({"gemma4", "granite-swa", "maple", "mimo2", "spark2-5", "step35"})
"""Architectures whose files must list the layers with a window."""

_RECURRENT: Final = frozenset({"mamba", "mamba2", "rwkv6", "rwkv6qwen2", "rwkv7", "arwkv7"})
_RECURRENT_WITHOUT_HEADS: Final = frozenset(
    {
        "jamba",
        "plamo2",
        "granitehybrid",
        "lfm2",
        "lfm2moe",
        "nemotron_h",
        "nemotron_h_moe",
        "kimi-linear",
        "bailingmoe3",
    }
)
"""Recurrent in the layers that have no key heads."""
_RECURRENT_BETWEEN: Final = frozenset({"qwen3next", "qwen35", "qwen35moe"})
"""Recurrent but for every fourth layer, or as the file says."""
_BOTH_AT_ONCE: Final = frozenset({"falcon-h1"})
ENCODERS: Final = frozenset(
    {
        "bert",
        "jina-bert-v2",
        "jina-bert-v3",
        "nomic-bert",
        "nomic-bert-moe",
        "neo-bert",
        "eurobert",
        "modern-bert",
        "gemma-embedding",
        "dream",
        "llada",
        "llada-moe",
        "rnd1",
    }
)
"""They see a text as a whole and keep nothing of it."""
_GEMMA3N_OWN: Final = 20
"""Layers of Gemma 3n that have a cache; the others use theirs."""
_INDEXED: Final = frozenset({"deepseek32", "glm-dsa"})
"""Architectures with a second cache, of the keys that choose what to look at."""


class Kinds:
    """Tells of each layer what it keeps."""

    def __init__(self, keys: Keys, count: int, trunk: int) -> None:
        self._architecture = keys.architecture
        heads = keys.each("attention.head_count", count)
        self._heads_kv = keys.each("attention.head_count_kv", count, default=heads)
        self._inner = keys.each("feed_forward_length", count)
        size = head_size(keys)
        self._keys = keys.number("attention.key_length") or size
        self._values = keys.number("attention.value_length") or size
        self._window_keys = keys.number("attention.key_length_swa") or self._keys
        self._window_values = keys.number("attention.value_length_swa") or self._values
        if keys.number("attention.key_length_mla") and keys.number("attention.value_length_mla"):
            self._values = self._window_values = 0  # they are part of the compressed keys
        self._indexer = keys.number("attention.indexer.key_length") if keys.architecture in _INDEXED else 0
        self._windows = _windows(keys, count, trunk)
        self._recurrent = _recurrent(keys, count, self._heads_kv, self._inner)
        self._state = _state_bytes(keys, max(heads, default=0))
        self._own = _layers_with_cache(keys, count)

    def block(self, number: int, weights: int) -> Block:
        """The layer of this number."""
        recurrent = self._recurrent[number]
        both = self._architecture in _BOTH_AT_ONCE
        state = self._state if recurrent else 0
        stores = (not recurrent or both) and number < self._own and self._architecture not in ENCODERS
        if not stores:
            return Block(weights, state=state)
        heads, window = self._heads_kv[number], self._windows[number]
        key, value = (self._window_keys, self._window_values) if window else (self._keys, self._values)
        return Block(weights, heads * key + self._indexer, heads * value, window, state, key if heads else 0)


def _layers_with_cache(keys: Keys, count: int) -> int:
    """How many layers, from the first on, have a cache of their own."""
    if keys.architecture == "gemma3n":
        return _GEMMA3N_OWN
    if keys.architecture == "gemma4":
        return max(count - keys.number("attention.shared_kv_layers"), 0)
    return count


def _windows(keys: Keys, count: int, trunk: int) -> list[int]:
    """The window of each layer; 0: it looks back on everything."""
    rule = _WINDOWS.get(keys.architecture)
    stated = keys.number("attention.sliding_window")
    if keys.architecture in ("lfm2", "lfm2moe"):
        return [stated] * count
    if rule is None and keys.architecture not in _LISTED_WINDOWS:
        return [0] * count
    window = stated
    if rule is not None:
        if rule.layers and trunk != rule.layers:
            return [0] * count
        if not keys.has("attention.sliding_window"):
            window = rule.default
        elif stated:
            window = rule.fixed or stated
    listed = keys.listed("attention.sliding_window_pattern")
    if listed is not None:
        return [window if flag else 0 for flag in chain(listed[:count], repeat(0, count - len(listed)))]
    period = keys.number("attention.sliding_window_pattern") or (rule.period if rule is not None else 1)
    whole = 0 if rule is not None and rule.first else period - 1
    return [window if n < trunk and n % period != whole else 0 for n in range(count)]


def _recurrent(keys: Keys, count: int, heads_kv: list[int], inner: list[int]) -> list[bool]:
    """Of each layer, whether it has a state."""
    architecture = keys.architecture
    if architecture in _RECURRENT or architecture in _BOTH_AT_ONCE:
        return [True] * count
    if architecture in ("nemotron_h", "nemotron_h_moe"):
        return [heads_kv[n] == 0 and inner[n] == 0 for n in range(count)]
    if architecture in _RECURRENT_WITHOUT_HEADS:
        return [heads == 0 for heads in heads_kv]
    if architecture in _RECURRENT_BETWEEN:
        listed = keys.listed("attention.recurrent_layers")
        if listed is not None:
            return [bool(flag) for flag in chain(listed[:count], repeat(0, count - len(listed)))]
        interval = keys.number("full_attention_interval") or 4
        return [(n + 1) % interval != 0 for n in range(count)]
    return [False] * count


def _state_bytes(keys: Keys, heads: int) -> int:
    """What a recurrent layer keeps of each sequence: the last inputs of its convolution, and its state."""
    width = keys.number("embedding_length")
    kernel = keys.number("ssm.conv_kernel")
    if head := keys.number("wkv.head_size"):
        shifts = keys.number("token_shift_count") or 2
        return _FLOAT * width * (shifts + head)
    if kept := keys.number("shortconv.l_cache"):
        return _FLOAT * width * (kept - 1)
    if head := keys.number("kda.head_dim"):
        inner = heads * head
        return _FLOAT * inner * (3 * (kernel - 1 if kernel else 3) + head)
    inner, state = keys.number("ssm.inner_size"), keys.number("ssm.state_size")
    convolved = inner + 2 * keys.number("ssm.group_count") * state
    return _FLOAT * (max(kernel - 1, 0) * convolved + inner * state)


def head_size(keys: Keys) -> int:
    """Numbers of one head where the file does not say."""
    heads = max(keys.each("attention.head_count", 1), default=0)
    return keys.number("embedding_length") // heads if heads else 0
