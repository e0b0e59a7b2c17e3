"""What the daemon and a runner say to each other, and how it becomes bytes.

A frame is a little-endian u32 byte count followed by one msgpack array whose first element is the type's tag. The
daemon writes to the runner's stdin, the runner to its (original) stdout. End of file on either pipe means that the
other side is gone. A runner answers every `Generate` with any number of `Delta` and exactly one `Done` or `Failed`;
every `Embed`, `Rank`, `Tokenize`, `Detokenize` with exactly one answer or `Failed`. Ids are chosen by the daemon and
never reused within one process.

    daemon → runner   Load · Generate · Embed · Rank · Tokenize · Detokenize · Cancel
    runner → daemon   Progress · Loaded · LoadFailed · Step · Embedded · Ranked · Tokens · Text · Failed
"""

from collections.abc import Iterator
from typing import Final, Generic, Literal, TypeAlias, TypeVar

import msgspec

LENGTH_BYTES: Final = 4
MAX_FRAME: Final = 1 << 30
NO_MARK: Final = "[img\ufdd0-"
"""In a prompt with images: the beginning of a text that reads `[img-` and marks none of them."""


class Frame(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Base of everything that crosses the pipe."""


# -- daemon → runner ----------------------------------------------------------------------------------------------


class Load(Frame, tag="load", frozen=True):
    """Load one model; the first frame a runner receives, and the only one of its kind. It is confirmed at once, by
    `Progress`."""

    weights: list[str]
    """Paths of the GGUF file, or of all its shards in split order."""
    num_ctx: int
    """Context of one sequence, in tokens."""
    parallel: int
    """Sequences decoded side by side; the KV cache holds num_ctx × parallel cells."""
    num_batch: int
    """Most tokens in one decode."""
    num_ubatch: int = 0
    """Most of them that are computed together; 0: all."""
    num_gpu: int = -1
    """Layers on the GPU; -1 is all that fit, 0 none."""
    main_gpu: int | None = None
    tensor_split: list[int] = []
    """Of the layers on GPUs, how many each one gets; empty: as the engine divides them."""
    use_mmap: bool | None = None
    use_mlock: bool = False
    num_thread: int = 0
    """0: as many as this process may use cores."""
    embedding: bool = False
    """The file names a pooling type: open the context for embeddings."""
    flash_attention: bool | None = None
    """None leaves the choice to the engine."""
    kv_cache_type: str = "f16"
    adapters: list[tuple[str, float]] = []
    """LoRA files with their scale."""
    projectors: list[str] = []
    draft: list[str] = []
    """Files of a smaller model with the same vocabulary that proposes tokens."""
    draft_num_predict: int = 0
    """Most tokens proposed at a time; 0 leaves it to the runner, negative switches proposals off."""
    archive_bytes: int = 0
    """Host memory for prefixes that have to leave the KV cache."""
    projector_on_gpu: bool = True
    """Whether the projectors compute on a GPU, if this process sees one."""


class Sampling(Frame, frozen=True):
    """How the next token is chosen. Neutral values switch a member off; see the options table in docs/options.md."""

    temperature: float = 0.8
    top_k: int = 40
    top_p: float = 0.9
    min_p: float = 0.0
    typical_p: float = 1.0
    repeat_last_n: int = 64
    """Tokens the penalties look back on; 0 is off, -1 the whole context."""
    repeat_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    seed: int = -1
    """-1 draws a fresh seed; anything else is reproducible, 0 included."""
    mirostat: int = 0
    mirostat_tau: float = 5.0
    mirostat_eta: float = 0.1
    logit_bias: list[tuple[int | str, float]] = []
    """Added to the logits of these tokens before anything else; a token by its id, or by its text if that is one."""


class Calls(Frame, frozen=True):
    """The tool calls that an answer may hold, and how they are written.

    `rules` are lines of Lark. They define `calls`, everything from the beginning of the first call to the end of the
    last one, and `rest`, what follows an opening up to the end of its call; and they may use `mark_<n>`, the n-th of
    `marks`, a text or a control token that is written so, and `json_<n>`, JSON by the n-th of `schemas`.
    """

    rules: str
    openings: list[str]
    """Texts with which a call begins."""
    marks: list[str] = []
    schemas: list[str] = []
    """JSON Schema texts."""
    required: bool = False
    """The answer is nothing but calls."""
    many: bool = True
    """There may be another one after the first."""
    at_start: bool = False
    """An opening counts only where the answer begins with it."""
    anywhere: bool = False
    """An opening counts in the middle of reasoning, too."""
    lead: list[str] = []
    """Texts that may stand, in this order, in front of what is said instead of calls."""


class Constraint(Frame, frozen=True):
    """What the text must conform to. `source` is JSON Schema text, a regular expression, a Lark grammar or GBNF."""

    kind: Literal["any", "json_schema", "regex", "lark", "gbnf"]
    """"any": any text, so that only `calls` bind."""
    source: str = ""
    after: list[str] = []
    """The answer is free until one of these texts has appeared in it, and conforms from its end on; empty: from the
    first token."""
    opening: str = ""
    """With `after`: what the free part begins with, but for white space. An answer that begins otherwise conforms from
    its first token."""
    calls: Calls | None = None
    """The text may instead be calls of tools; of kind "any" it may also hold them."""


class Generate(Frame, tag="generate", frozen=True):
    """Continue a prompt."""

    id: int
    prompt: str
    sampling: Sampling = Sampling()
    num_predict: int = -1
    num_keep: int = 4
    """Prompt tokens that a cut or a shift of the context keeps; negative keeps all."""
    stop: list[str] = []
    shift: bool = True
    """Whether a full context may slide."""
    truncate: bool = True
    """Whether a prompt longer than the context may be cut."""
    logprobs: int | None = None
    """None: none. n: each token's log-probability and its n best alternatives (0 to 20)."""
    prompt_logprobs: bool = False
    """The same for the tokens of the prompt, which is then evaluated whole; only together with `logprobs`."""
    constraint: Constraint | None = None
    images: list[bytes] = []
    """The n-th is placed at each `[img-<n>]` of the prompt. A text that begins so is written with `NO_MARK` instead."""
    preserved: list[str] = []
    """Control tokens to write out as text instead of hiding them."""
    want_context: bool = False
    """Return the tokens of prompt and answer with `Done`."""


class Embed(Frame, tag="embed", frozen=True):
    """Turn texts into vectors."""

    id: int
    inputs: list[str]
    truncate: bool = True
    """Whether an input longer than the context may be cut at its end."""
    dimensions: int = 0
    """Keep so many leading values and normalise again; 0 or more than the width keeps all."""
    normalize: bool = True
    """Scale to length 1. False: only unless the file asks for raw vectors, as the older endpoint has it."""
    encoding: Literal["float32", "json32", "json64"] = "json32"
    """Little-endian float32, or a JSON array with the shortest text of a float32 or of the same value as float64."""


class Rank(Frame, tag="rank", frozen=True):
    """How well each document answers a query. For models with a ranking head."""

    id: int
    query: str
    documents: list[str]
    truncate: bool = True
    """Whether a pair longer than the context may be cut at the end of its document."""


class Tokenize(Frame, tag="tokenize", frozen=True):
    """Count or list the tokens of texts. Control tokens written in the text are recognised."""

    id: int
    texts: list[str]
    add_special: bool = False
    count_only: bool = False


class Detokenize(Frame, tag="detokenize", frozen=True):
    """The text of tokens: their pieces joined."""

    id: int
    tokens: list[int]


class Cancel(Frame, tag="cancel", frozen=True):
    """Drop a request. Its sequence leaves the batch before the next decode; frames already on their way may still name
    the id, and must be ignored."""

    id: int


Command: TypeAlias = Load | Generate | Embed | Rank | Tokenize | Detokenize | Cancel


# -- runner → daemon ----------------------------------------------------------------------------------------------


class Progress(Frame, tag="progress", frozen=True):
    """How much of the weights is loaded, 0 to 1."""

    fraction: float


class Buffer(Frame, frozen=True):
    """Memory that the engine reported while loading, from its log."""

    device: str
    """As the engine names it: CPU, CPU_Mapped, CPU_REPACK, CUDA0, CUDA_Host …"""
    kind: str
    """model, KV, RS (recurrent state), compute or output."""
    size: int
    """Bytes."""


class Loaded(Frame, tag="loaded", frozen=True):
    """The model is ready."""

    num_ctx: int
    """Tokens one sequence may hold: never more than asked for, nor than the model was trained on."""
    num_ctx_train: int
    vocab_size: int
    embedding_width: int
    add_bos: bool
    """The tokenizer puts a begin-of-sequence token in front by itself."""
    bos: str
    eos: str
    """Text of the begin and end tokens; empty when the vocabulary has none."""
    can_shift: bool
    buffers: list[Buffer]
    layers_offloaded: int
    layers_total: int
    """Both 0 where the engine did not say."""
    vision: bool = False
    audio: bool = False
    """What its projector takes beside text."""
    ranks: bool = False
    """It has a ranking head: it answers `Rank`."""
    fill_in: tuple[str, str, str] | None = None
    """Texts of the vocabulary's tokens before the prefix, the suffix and the middle of a text to fill in."""
    kv_cache_type: str = ""
    """That of K and V: f16 where the engine refused the one that was asked for."""


class LoadFailed(Frame, tag="load-failed", frozen=True):
    """The model cannot be loaded; the runner exits after this frame."""

    message: str
    unsupported: bool = False
    """The file itself is at fault (unknown architecture, damaged), not memory or devices."""


class TopLogprob(Frame, frozen=True):
    """One candidate for a position."""

    token: str
    logprob: float
    raw: bytes | None = None
    """Its bytes where they are no UTF-8: the token is part of a character."""


class Logprob(Frame, frozen=True):
    """The chosen token of a position, and the best candidates in descending order."""

    token: str
    logprob: float
    top: list[TopLogprob] = []
    raw: bytes | None = None


class Delta(Frame, frozen=True):
    """New text of one request: whole UTF-8 characters that no stop string can take back."""

    id: int
    text: str
    logprobs: list[Logprob] = []
    prompt: list[Logprob] = []
    """Entries of the prompt's tokens but the first, which nothing predicts; in one piece, before any text."""


class Done(Frame, frozen=True):
    """The last word about one request that went well."""

    id: int
    reason: Literal["stop", "length"]
    prompt_tokens: int
    """Cached ones included."""
    cached_tokens: int
    prompt_ns: int
    eval_tokens: int
    eval_ns: int
    truncated_tokens: int = 0
    """Prompt tokens that were cut to make the prompt fit."""
    context: list[int] | None = None
    drafted_tokens: int = 0
    """Tokens proposed by a draft, and how many of them the model would have chosen itself."""
    accepted_tokens: int = 0


class Step(Frame, tag="step", frozen=True):
    """What one or several decode steps brought, for all their requests. Deltas of an id come before its `Done`."""

    deltas: list[Delta]
    done: list[Done]


class Embedded(Frame, tag="embedded", frozen=True):
    """The vectors of an `Embed`, in the order of its inputs."""

    id: int
    vectors: list[bytes]
    prompt_tokens: int


class Ranked(Frame, tag="ranked", frozen=True):
    """The scores of a `Rank`, in the order of its documents: the raw output of the model's head, higher is better."""

    id: int
    scores: list[float]
    prompt_tokens: int
    probabilities: bool = False
    """The head ends in a softmax: the scores are probabilities already."""


class Tokens(Frame, tag="tokens", frozen=True):
    """Answer to `Tokenize`: `tokens` is empty when only counts were asked for."""

    id: int
    counts: list[int]
    tokens: list[list[int]] = []


class Text(Frame, tag="text", frozen=True):
    """Answer to `Detokenize`."""

    id: int
    text: str


class Failed(Frame, tag="failed", frozen=True):
    """One request could not be served; the runner goes on."""

    id: int
    message: str
    status: int = 500
    """The HTTP status that fits: 400 when the request is at fault."""


Report: TypeAlias = Progress | Loaded | LoadFailed | Step | Embedded | Ranked | Tokens | Text | Failed


# -- codec --------------------------------------------------------------------------------------------------------

_encoder = msgspec.msgpack.Encoder()


def encode(frame: Frame) -> bytes:
    """The frame with its length in front."""
    body = _encoder.encode(frame)
    return len(body).to_bytes(LENGTH_BYTES, "little") + body


FrameT = TypeVar("FrameT", bound=Frame)


class FrameReader(Generic[FrameT]):
    """Cuts a byte stream into frames, whatever pieces it arrives in.

    Raises `ValueError` when the stream is not ours: a length over MAX_FRAME, or a body of another shape.
    """

    def __init__(self, union: object) -> None:
        self._decoder: msgspec.msgpack.Decoder[FrameT] = msgspec.msgpack.Decoder(union)
        self._buffer = bytearray()

    @property
    def pending(self) -> bool:
        """Whether a frame has begun but not ended."""
        return bool(self._buffer)

    def feed(self, data: bytes) -> Iterator[FrameT]:
        """Frames that are complete now that `data` has arrived."""
        buffer = self._buffer
        buffer += data
        start = 0
        try:
            while len(buffer) - start >= LENGTH_BYTES:
                size = int.from_bytes(buffer[start : start + LENGTH_BYTES], "little")
                if size > MAX_FRAME:
                    raise ValueError(f"a frame of {size} bytes exceeds {MAX_FRAME}")
                end = start + LENGTH_BYTES + size
                if end > len(buffer):
                    break
                body = bytes(buffer[start + LENGTH_BYTES : end])
                start = end
                yield self._decoder.decode(body)
        finally:
            del buffer[:start]


def command_reader() -> FrameReader[Command]:
    """Reader of the runner's side."""
    return FrameReader(Command)


def report_reader() -> FrameReader[Report]:
    """Reader of the daemon's side."""
    return FrameReader(Report)
