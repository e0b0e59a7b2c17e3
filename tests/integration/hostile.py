"""Files that lie: models of a tiny shape with one thing wrong in each."""

import math
import random
import struct
from collections.abc import Callable, Iterator

from tests.integration.gguffile import File
from tests.integration.runner import MODELS
from tests.unit.modelstore.ggufbytes import ARRAY, F32, I32, STRING, U32, U64

TOKENS = 258


def bare() -> File:
    """A sound model of 258 tokens and one layer."""
    return File.read(MODELS / "bare.gguf")


def headers() -> Iterator[tuple[str, bytes]]:
    """Files whose header cannot be read to the end, or not be true."""
    front, keys, tensors, data = bare().sections()
    whole = front + keys + tensors + data
    yield "nothing", b""
    yield "text", b"hello, I am a model\n" * 20
    for name, end in (
        ("magic", 4),
        ("front", len(front) - 1),
        ("keys", len(front) + len(keys) // 2),
        ("tensor list", len(front) + len(keys) + len(tensors) // 2),
        ("data", len(whole) - len(data) // 2),
        ("last byte", len(whole) - 64),
    ):
        yield f"cut in the {name}", whole[:end]
    for count in (1 << 32, 1 << 63, (1 << 64) - 1):
        yield f"{count} tensors", whole[:8] + struct.pack("<Q", count) + whole[16:]
        yield f"{count} keys", whole[:16] + struct.pack("<Q", count) + whole[24:]
    for version in (0, 1, 99, 0x03000000):
        yield f"version {version}", whole[:4] + struct.pack("<I", version) + whole[8:]
    yield "a key without end", whole[:24] + struct.pack("<Q", 1 << 62) + whole[32:]
    for seed in range(6):
        yield f"noise {seed}", noisy(whole, len(whole) - len(data), seed)


def noisy(whole: bytes, header: int, seed: int) -> bytes:
    """The file with a hundred wrong bytes in its header."""
    source, changed = random.Random(seed), bytearray(whole)
    for _ in range(100):
        changed[source.randrange(8, header)] = source.randrange(256)
    return bytes(changed)


def tensors() -> Iterator[tuple[str, bytes]]:
    """Files whose tensors do not go together."""

    def one(name: str, change: Callable[[File], None]) -> tuple[str, bytes]:
        file = bare()
        change(file)
        return name, file.build()

    def shape(name: str, *lengths: int) -> Callable[[File], None]:
        return lambda file: setattr(file.tensor(name), "shape", lengths)

    yield one("no tensors", lambda file: file.tensors.clear())
    yield one("no embedding", lambda file: file.tensors.remove(file.tensor("token_embd.weight")))
    yield one("a tensor twice", lambda file: file.tensors.append(file.tensors[0]))
    yield one("a wrong shape", shape("blk.0.attn_q.weight", 16, 64))
    yield one("no elements", shape("blk.0.attn_q.weight", 32, 0))
    yield one("no dimensions", shape("blk.0.attn_q.weight"))
    yield one("five dimensions", shape("blk.0.attn_q.weight", 2, 2, 2, 2, 64))
    yield one("more elements than there are numbers", shape("blk.0.attn_q.weight", 1 << 62, 1 << 62))
    yield one("a type that is none", lambda file: setattr(file.tensor("output.weight"), "kind", 99))
    yield one("a block type on short rows", lambda file: setattr(file.tensor("output.weight"), "kind", 12))
    yield one("whole numbers for weights", lambda file: setattr(file.tensor("blk.0.attn_q.weight"), "kind", 26))
    yield one("an offset beyond the end", lambda file: setattr(file.tensor("output.weight"), "offset", 1 << 40))
    yield one("an offset that is not aligned", lambda file: setattr(file.tensor("output.weight"), "offset", 33))
    yield one("tensors that share their data", lambda file: setattr(file.tensor("output.weight"), "offset", 0))
    yield one("a name that is too long", lambda file: setattr(file.tensor("output.weight"), "name", "x" * 200))


def keys() -> Iterator[tuple[str, bytes]]:
    """Files whose metadata is missing, of the wrong type, or absurd."""
    for key in ("block_count", "context_length", "embedding_length", "attention.layer_norm_rms_epsilon"):
        yield f"no {key}", bare().drop(f"llama.{key}").build()
    for value in (0, 3, 1 << 16, (1 << 32) - 1):
        yield f"block_count {value}", bare().set("llama.block_count", U32, value).build()
    for key in ("embedding_length", "attention.head_count", "attention.head_count_kv", "rope.dimension_count"):
        for value in (0, (1 << 32) - 1):
            yield f"{key} {value}", bare().set(f"llama.{key}", U32, value).build()
    yield "head_count as text", bare().set("llama.attention.head_count", STRING, "two").build()
    yield "context_length negative", bare().set("llama.context_length", I32, -1).build()
    yield "context_length 2^63", bare().set("llama.context_length", U64, 1 << 63).build()
    yield "head_count of no layer", bare().set("llama.attention.head_count", ARRAY, (U32, [])).build()
    yield "a billion experts", bare().set("llama.expert_count", U32, 10**9).build()
    yield "epsilon not a number", bare().set("llama.attention.layer_norm_rms_epsilon", F32, math.nan).build()
    yield "alignment 1", bare().set("general.alignment", U32, 1).build()
    yield "alignment 0", bare().set("general.alignment", U32, 0).build()
    for name in ("", "nope", "clip", "mamba", "bert"):
        yield f"architecture {name or 'empty'}", bare().set("general.architecture", STRING, name).build()
    yield "architecture a number", bare().set("general.architecture", U32, 5).build()
    yield "a shard alone", bare().set("split.count", 2, 5).set("split.no", 2, 0).build()


def vocabularies() -> Iterator[tuple[str, bytes]]:
    """Files whose vocabulary is none."""

    def with_tokens(kind: int, tokens: list[object]) -> bytes:
        return bare().set("tokenizer.ggml.tokens", ARRAY, (kind, tokens)).build()

    yield "no tokens", bare().drop("tokenizer.ggml.tokens").build()
    yield "an empty vocabulary", with_tokens(STRING, [])
    yield "few tokens", with_tokens(STRING, ["a", "b", "c"])
    yield "tokens that are numbers", with_tokens(U32, [1] * TOKENS)
    yield "equal tokens", with_tokens(STRING, ["a"] * TOKENS)
    yield "types for few tokens", bare().set("tokenizer.ggml.token_type", ARRAY, (I32, [1])).build()
    yield "types that are texts", bare().set("tokenizer.ggml.token_type", ARRAY, (STRING, ["1"] * TOKENS)).build()
    yield "scores for few tokens", bare().set("tokenizer.ggml.scores", ARRAY, (F32, [1.0])).build()
    yield "merges that are numbers", bare().set("tokenizer.ggml.merges", ARRAY, (U32, [1])).build()
    for name in ("nope", "none", "no_vocab"):
        yield f"tokenizer {name}", bare().set("tokenizer.ggml.model", STRING, name).build()
    yield "an unknown pre-tokenizer", bare().set("tokenizer.ggml.pre", STRING, "nope").build()
    yield "an end token as text", bare().set("tokenizer.ggml.eos_token_id", STRING, "</s>").build()
    yield "tokens without text", with_tokens(STRING, [""] * TOKENS)
    # A SentencePiece vocabulary needs a token for each byte; the engine finds out at the first text.
    yield "bytes without tokens", bare().set("tokenizer.ggml.model", STRING, "llama").build()


def odd() -> Iterator[tuple[str, bytes]]:
    """Files that look wrong and load: what they say is not needed, or has a sound default."""
    yield (
        "tokens beyond the vocabulary",
        (
            bare()
            .set("tokenizer.ggml.eos_token_id", U32, 9999)
            .set("tokenizer.ggml.bos_token_id", U32, (1 << 32) - 1)
            .set("tokenizer.ggml.fim_pre_token_id", U32, 9999)
            .build()
        ),
    )
    yield "a context of 2^32-1", bare().set("llama.context_length", U32, (1 << 32) - 1).build()
    yield "a template that is a number", bare().set("tokenizer.chat_template", U32, 1).build()
    wild = [-5, 99999] * (TOKENS // 2)
    yield "types from nowhere", bare().set("tokenizer.ggml.token_type", ARRAY, (I32, wild)).build()


def not_numbers() -> Iterator[tuple[str, bytes]]:
    """Files whose computation comes to nothing."""
    for value in (math.nan, math.inf):
        for name in ("token_embd.weight", "blk.0.attn_q.weight", "output_norm.weight"):
            file = bare()
            tensor = file.tensor(name)
            tensor.data = struct.pack("<f", value) * (len(tensor.data) // 4)
            yield f"{name} all {value}", file.build()
