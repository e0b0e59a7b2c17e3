"""What the server asks of the scheduler: which model, how it must be loaded, for how long it may stay."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

FOREVER: Final = math.inf
"""A keep-alive that never ends."""


@dataclass(frozen=True, slots=True)
class Block:
    """One layer of a model, as far as memory goes."""

    weights: int = 0
    """Bytes of its tensors."""
    keys: int = 0
    """Numbers that its cache keeps of each token: keys, or what keys and values are computed from."""
    values: int = 0
    window: int = 0
    """Tokens that it looks back on; 0: all."""
    state: int = 0
    """Bytes that it keeps of each sequence, however long."""
    head: int = 0
    """Numbers of the keys of one head; 0 where it has none."""


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What a GGUF header tells about the memory and the limits of its model; 0 where it does not say."""

    architecture: str = ""
    block_count: int = 0
    blocks: tuple[Block, ...] = ()
    """As many as `block_count`, or none where that is no credible number."""
    context_length: int = 0
    """Tokens the model was trained on."""
    embedding_length: int = 0
    head_count: int = 0
    query_length: int = 0
    """Numbers of a token's queries, all heads together; those of the layer that has most."""
    inner_length: int = 0
    """Numbers that a token has between the matrices of a layer, those of all its experts together; the most."""
    vocab_size: int = 0
    """Numbers that come out of the last layer."""
    input_bytes: int = 0
    """Tensors that turn tokens into vectors: they stay in the host's memory."""
    output_bytes: int = 0
    """Tensors behind the last block."""
    shared_bytes: int = 0
    """The matrix of the input, where it is the output's, too."""
    weights_bytes: int = 0
    """Size of all weights files."""
    projector_bytes: int = 0
    drafter: "ModelFacts | None" = None
    """Of the draft model."""
    embedding: bool = False
    """The file names a pooling type: it turns texts into vectors and does not generate."""


@dataclass(frozen=True, slots=True)
class ModelRef:
    """A model as the scheduler sees it: files to load, and the name that /api/ps shows for them."""

    key: str
    """Identity of a loaded model: the path of its (first) weights file. Tags with equal weights share one runner."""
    name: str
    """Display form, with the tag."""
    digest: str
    """SHA-256 of the manifest, 64 hex digits."""
    weights: tuple[str, ...]
    adapters: tuple[str, ...] = ()
    projectors: tuple[str, ...] = ()
    draft: tuple[str, ...] = ()
    """Files of a smaller model that guesses ahead."""
    families: tuple[str, ...] = ()
    facts: ModelFacts = ModelFacts()
    details: Mapping[str, object] = field(default_factory=dict[str, object])
    """The `details` object of /api/ps."""


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """The options that belong to a loaded model, not to a request; None is 'not said by anyone'."""

    num_ctx: int | None = None
    num_batch: int | None = None
    num_gpu: int = -1
    main_gpu: int | None = None
    use_mmap: bool | None = None
    use_mlock: bool | None = None
    num_thread: int = 0
    draft_num_predict: int | None = None


@dataclass(frozen=True, slots=True)
class LeaseRequest:
    """One request's wish to use a model."""

    model: ModelRef
    options: LoadOptions = LoadOptions()
    keep_alive: float | None = None
    """Seconds the model stays after its last request; FOREVER; None keeps what it has (or the default)."""
    shift: bool | None = None
    """Whether a full context may slide; None: as the model's family bears it."""
    as_loaded: bool = False
    """However the model is loaded, it will do: only its vocabulary is asked for."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The operator's settings that the scheduler obeys; read once at start."""

    keep_alive: float = 300.0
    load_timeout: float = 300.0
    """Seconds without a sign of life after which a load is given up; 0 or less: never."""
    max_queue: int = 512
    max_loaded: int = 0
    """0: three for each GPU, three on a machine without."""
    num_parallel: int = 0
    """0: chosen for each model (4, 2 or 1)."""
    context_length: int = 0
    """Default num_ctx; 0: by the memory of the GPUs."""
    flash_attention: bool | None = None
    kv_cache_type: str = "f16"
    gpu_overhead: int = 0
    """Bytes left free on every GPU."""
    spread: bool = False
    require_gpu: bool = False
    """Whether a model that would run on the CPU, without anybody having asked for that, is an error."""
    spare: bool = True
    """Whether a runner without a model waits for the next load."""
    prefix_memory: int | None = None
    """Bytes of host memory in which a runner keeps prefixes that leave its KV cache; None: an eighth of what is
    free."""


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A row of /api/ps."""

    model: ModelRef
    size: int
    """Bytes on all devices and the host."""
    size_vram: int
    context_length: int
    expires_at: float | None
    """Unix time; None: never."""
    parallel: int = 1
    """Requests it serves side by side."""
    pid: int | None = None
    reduced: tuple[str, ...] = ()
    """What was given up to make the model fit, in words."""
