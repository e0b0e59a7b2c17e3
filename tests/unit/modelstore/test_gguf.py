"""GGUF headers: what they tell, and that no file, however damaged, does harm."""

import math
import os
import socket
import struct
import tracemalloc
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from modelstore import gguf, ggufcursor
from modelstore.errors import InvalidGGUF
from modelstore.gguf import ArrayRef, Split, Tensor
from tests.unit.modelstore.ggufbytes import (
    ARRAY,
    BOOL,
    CODES,
    F32,
    I32,
    STRING,
    U32,
    U64,
    Key,
    llama,
    string,
    tensor,
)
from tests.unit.modelstore.ggufbytes import gguf as written

T = TypeVar("T")

SIZES = {kind: struct.calcsize("<" + code) for kind, code in CODES.items()}
BARE = Path(__file__).parents[2] / "models" / "bare.gguf"
SMALLEST = bytes.fromhex(
    "474755460300000000000000000000000100000000000000140000000000000067656e6572616c2e617263686974656374757265"
    "08000000040000000000000074657374"
)
ARCHITECTURE: Key = ("general.architecture", STRING, "llama")


def header(tmp_path: Path, data: bytes) -> gguf.Header:
    path = tmp_path / "file.gguf"
    path.write_bytes(data)
    return gguf.read_header(path)


def refused(tmp_path: Path, data: bytes) -> str:
    with pytest.raises(InvalidGGUF) as caught:
        header(tmp_path, data)
    return caught.value.reason


def traced(call: Callable[[], T]) -> tuple[T, int]:
    """The result of a call, and the bytes that Python held at most meanwhile."""
    tracemalloc.start()
    try:
        return call(), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


# -- sound files ------------------------------------------------------------------------------------------------------


def test_smallest_file(tmp_path: Path) -> None:
    """One key, no tensors, 68 bytes."""
    found = header(tmp_path, SMALLEST)
    assert (found.version, found.size, found.architecture, found.tensors) == (3, 68, "test", ())
    assert found.metadata() == {"general.architecture": "test", "general.parameter_count": 0}


def test_real_model() -> None:
    """The facts of a model of 27 thousand weights."""
    found = gguf.read_header(BARE)
    assert found.parameter_count == 26848
    assert found.get("context_length") == found.get("llama.context_length") == 2048
    assert (found.kind, found.file_type, found.matrix_type, found.split) == ("unknown", "unknown", "F32", None)
    assert found.tensors[0] == Tensor("token_embd.weight", "F32", (32, 258), 0, 32 * 258 * 4, 0)
    assert found.metadata()["llama.attention.layer_norm_rms_epsilon"] == 1e-05
    assert found.metadata()["tokenizer.ggml.tokens"] is None
    assert found.metadata(verbose=True)["tokenizer.ggml.merges"] == ["Ġ t"]
    assert len(gguf.read_arrays(BARE)["tokenizer.ggml.tokens"]) == 258


def test_values_of_every_type(tmp_path: Path) -> None:
    """Numbers, flags, texts and arrays come out as they went in; a float32 with its own digits."""
    numbers: list[tuple[int, Any]] = [(0, 255), (1, -128), (2, 65535), (3, -32768), (4, 2**32 - 1), (5, -(2**31))]
    numbers += [(6, 0.1), (7, True), (8, "text"), (10, 2**64 - 1), (11, -(2**63)), (12, 0.1)]
    keys: list[Key] = [(f"k{kind}", kind, content) for kind, content in numbers]
    keys += [(f"a{kind}", ARRAY, (kind, [content, content])) for kind, content in numbers]
    found = header(tmp_path, written(keys)).metadata(verbose=True)
    assert all(found[f"k{kind}"] == content for kind, content in numbers)
    assert all(found[f"a{kind}"] == [content, content] for kind, content in numbers)


def test_arrays_are_listed_only_on_demand(tmp_path: Path) -> None:
    """Unlisted, an array is None and an empty one a list."""
    found = header(tmp_path, written([("a", ARRAY, (U32, [1])), ("b", ARRAY, (STRING, []))]))
    assert isinstance(found.kv["a"], ArrayRef)
    assert found.metadata() == {"a": None, "b": [], "general.parameter_count": 0}
    assert found.metadata(verbose=True) == {"a": [1], "b": [], "general.parameter_count": 0}


def test_metadata_is_sorted_and_counts_for_itself(tmp_path: Path) -> None:
    """The stored number of parameters is not believed; what has no JSON form is null."""
    keys: list[Key] = [("z", F32, math.inf), ("general.parameter_count", U64, 7), ("a", F32, math.nan)]
    found = header(tmp_path, llama(*keys)).metadata()
    assert list(found) == sorted(found)
    assert (found["general.parameter_count"], found["z"], found["a"]) == (40, None, None)


def test_what_is_shown_of_weights(tmp_path: Path) -> None:
    """Tensors by block and name, no name, no chat template, and the version of the quantization."""
    names = ["token_embd.weight", "blk.10.b", "blk.2.b", "blk.2.a", "output.weight"]
    tensors = [tensor(name, [8], offset=32 * place) for place, name in enumerate(names)]
    found = header(tmp_path, written([("general.name", STRING, "x"), ("z", U32, 1)], tensors, 160))
    assert [shown.name for shown in found.listed_tensors()] == [
        "output.weight", "token_embd.weight", "blk.2.a", "blk.2.b", "blk.10.b",
    ]  # fmt: skip
    assert found.model_info() == {"general.parameter_count": 40, "general.quantization_version": 2, "z": 1}


def test_what_is_shown_of_weights_that_see(tmp_path: Path) -> None:
    """A file with a vision part is shown as it is."""
    tensors = [tensor("b", [8]), tensor("v.a", [8], offset=32)]
    found = header(tmp_path, written([("z", U32, 1)], tensors, 64))
    assert [shown.name for shown in found.listed_tensors()] == ["b", "v.a"]
    assert found.model_info() == {"general.parameter_count": 16, "z": 1}


def test_looking_up(tmp_path: Path) -> None:
    """Keys are found under the architecture first; integers of any type are integers, flags are not."""
    found = header(tmp_path, llama(("llama.flag", BOOL, True), ("split.no", I32, 2), ("llama.name", STRING, "x")))
    assert found.integer("embedding_length") == 32
    assert (found.integer("flag"), found.get("flag")) == (0, True)
    assert found.integer("split.no") == 2
    assert (found.text("name"), found.text("general.name", "none"), found.get("absent")) == ("x", "none", None)


@pytest.mark.parametrize("prefix", ["", "llama."])
def test_shard(tmp_path: Path, prefix: str) -> None:
    """A part of a split file knows its number and how many there are; one of one stands alone."""
    keys: list[Key] = [(prefix + "split.no", 2, 1), (prefix + "split.count", 2, 3)]
    assert header(tmp_path, written([ARCHITECTURE, *keys])).split == Split(1, 3)
    assert header(tmp_path, written([ARCHITECTURE, keys[1]])).split == Split(None, 3)
    assert header(tmp_path, written([ARCHITECTURE, ("split.count", 2, 1)])).split is None


def test_facts_stop_at_the_tokenizer(tmp_path: Path) -> None:
    """The quick reading has what stands in front of the tokenizer, and no tensors."""
    (tmp_path / "file.gguf").write_bytes(llama())
    facts = gguf.read_facts(tmp_path / "file.gguf")
    assert facts.integer("context_length") == 2048
    assert "tokenizer.ggml.tokens" not in facts.kv
    assert facts.tensors == ()


def test_version_2(tmp_path: Path) -> None:
    """Version 2 has the same form."""
    assert header(tmp_path, written([ARCHITECTURE], version=2)).version == 2


def test_alignment(tmp_path: Path) -> None:
    """The data begins at a multiple of what the file says."""
    aligned = written([("general.alignment", U32, 64)], [tensor("w", [8])], 96)
    found = header(tmp_path, aligned)
    assert found.data_start % 64 == 0


def test_broken_text_is_replaced(tmp_path: Path) -> None:
    """Bytes that are no UTF-8 do not stop the reading."""
    assert header(tmp_path, written([("a", STRING, b"x\xff")])).kv["a"] == "x\ufffd"


def test_early_mxfp4(tmp_path: Path) -> None:
    """Type 4 is MXFP4 in a gpt-oss file and nothing anywhere else."""
    shard = [tensor("w", [32], kind=4)]
    found = header(tmp_path, written([("general.architecture", STRING, "gptoss")], shard, 32))
    assert (found.tensors[0].type, found.tensors[0].bytes, found.tensors[0].type_id) == ("MXFP4", 17, 4)
    assert refused(tmp_path, written([ARCHITECTURE], shard, 32)) == 'tensor "w" size overflow'


@pytest.mark.parametrize(("data", "found"), [(SMALLEST, True), (b"GGUF", True), (b"GGU", False), (b"", False)])
def test_magic(tmp_path: Path, data: bytes, found: bool) -> None:
    """Four bytes decide what a file is taken for; fewer are not enough."""
    (tmp_path / "file").write_bytes(data)
    assert gguf.has_magic(tmp_path / "file") is found


def test_a_large_vocabulary_is_passed_over(tmp_path: Path) -> None:
    """The texts of 40,000 tokens and merges are not kept, and are there when asked for."""
    tokens, count = b"".join(string(f"token{i}") for i in range(40_000)), struct.pack("<IQ", STRING, 40_000)
    body = b"".join(string(f"tokenizer.ggml.{name}") + struct.pack("<I", ARRAY) + count + tokens for name in "ab")
    path = tmp_path / "file.gguf"
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, 2) + body)
    found, peak = traced(lambda: gguf.read_header(path))
    assert peak < 3 << 20
    array = found.kv["tokenizer.ggml.b"]
    assert isinstance(array, ArrayRef)
    assert array.read()[-1] == "token39999"


# -- unsound files ----------------------------------------------------------------------------------------------------


def counts(tensors: int, keys: int, rest: bytes = b"") -> bytes:
    return b"GGUF" + struct.pack("<IQQ", 3, tensors, keys) + rest


def one(kind: int, rest: bytes) -> bytes:
    """A file with one key, whose value is `rest`."""
    return counts(0, 1, string("k") + struct.pack("<I", kind) + rest)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "invalid file magic"),
        (b"GG", "invalid file magic"),
        (b"lmgg" + bytes(40), "invalid file magic"),
        (b"GGUF" + struct.pack("<IQQ", 1, 0, 0), "unsupported GGUF version 1"),
        (b"GGUF" + struct.pack("<IQQ", 4, 0, 0), "unsupported GGUF version 4"),
        (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "big-endian GGUF is not supported"),
        (b"GGUF", "unexpected EOF"),
        (counts(0, 1), "unexpected EOF"),
        (counts(1, 0), "unexpected EOF"),
        (counts(0, 2**63, bytes(99)), "GGUF key count 9223372036854775808 exceeds maximum 65536"),
        (counts(2**40, 0, bytes(99)), "GGUF tensor count 1099511627776 exceeds maximum 65536"),
        (one(STRING, struct.pack("<Q", 2**40)), "GGUF string length 1099511627776 exceeds maximum 16777216"),
        (one(STRING, struct.pack("<Q", 2**24)), "unexpected EOF"),
        (one(13, bytes(8)), "invalid type: 13"),
        (one(ARRAY, struct.pack("<IQ", 13, 1)), "invalid array type: 13"),
        (one(ARRAY, struct.pack("<IQ", ARRAY, 1)), "invalid array type: 9"),
        (one(ARRAY, struct.pack("<IQ", U32, 2**40)), "GGUF array size 1099511627776 exceeds maximum 67108864"),
        (one(ARRAY, struct.pack("<IQ", U32, 2**26)), "unexpected EOF"),
        (one(ARRAY, struct.pack("<IQ", STRING, 2**26)), "unexpected EOF"),
        (
            one(ARRAY, struct.pack("<IQQ", STRING, 1, 2**40)),
            "GGUF string length 1099511627776 exceeds maximum 16777216",
        ),
        (one(ARRAY, struct.pack("<IQQ", STRING, 1, 9)), "unexpected EOF"),
        (written([("", U32, 1)]), "GGUF key is empty"),
        (written([("k", U32, 1), ("k", U32, 2)]), 'GGUF key "k" is there twice'),
        (written([("general.alignment", U32, 0)]), "invalid GGUF alignment: 0"),
        (written([("general.alignment", U32, 48)]), "invalid GGUF alignment: 48"),
        (written([("general.alignment", U64, 32)]), "general.alignment is no uint32"),
        (written([("general.alignment", STRING, "32")]), "general.alignment is no uint32"),
        (written([], [tensor("w", [1] * 5)], 64), 'tensor "w" dimensions 5 exceeds maximum 4'),
        (written([], [tensor("w", [2**62, 8])], 64), 'tensor "w" elements overflow'),
        (written([], [tensor("w", [2**63])], 64), 'tensor "w" elements overflow'),
        (written([], [tensor("w", [2**62])], 64), 'tensor "w" size overflow'),
        (written([], [tensor("w", [33], kind=2)], 64), 'tensor "w" size overflow'),
        (written([], [tensor("w", [32], kind=99)], 64), 'tensor "w" size overflow'),
        (written([], [tensor("w", [8], offset=5)], 64), 'tensor "w" offset 5 is no multiple of 32'),
        (written([], [tensor("w", [8], offset=2**63 - 32)], 64), 'tensor "w" offset+size overflows'),
        (written([], [tensor("w", [8])], 31), 'tensor "w" offset+size (96) exceeds file size (95)'),
        (written([], [tensor("w", [8]), tensor("w", [8])], 64), 'tensor "w" is there twice'),
        (written([], [tensor("w", [16], offset=32), tensor("v", [9])], 96), 'tensors "v" and "w" overlap'),
        (written([], [tensor("w", [8]), tensor("v", [8])], 64), 'tensors "w" and "v" overlap'),
        (written([], [tensor("w" * 64, [8])], 64), f'tensor "{"w" * 64}" has a name over 63 bytes'),
        (written([], [tensor("a", [0, 2**62, 2]), tensor("b", [2**60, 0])]), ""),
    ],
)
def test_refuses(tmp_path: Path, data: bytes, reason: str) -> None:
    """Each fault is named; tensors without elements are none."""
    if reason:
        assert refused(tmp_path, data) == reason
    else:
        assert header(tmp_path, data).parameter_count == 0


def test_too_many_kept_texts(tmp_path: Path) -> None:
    """A file cannot make the reader keep more text than any model has."""
    path = tmp_path / "file.gguf"
    with path.open("wb") as file:
        file.write(counts(0, 5))
        for i in range(5):
            file.write(string(f"k{i}") + struct.pack("<IQ", STRING, 16 << 20))
            file.seek(16 << 20, 1)
        file.truncate()
    with pytest.raises(InvalidGGUF, match="GGUF texts exceed maximum 33554432"):
        gguf.read_header(path)


def test_header_over_the_limit(tmp_path: Path) -> None:
    """However long the file, its header ends somewhere."""
    path = tmp_path / "file.gguf"
    path.write_bytes(one(ARRAY, struct.pack("<IQ", 10, 1 << 26)))
    with path.open("r+b") as file:
        file.truncate(1 << 30)
    assert gguf.read_header(path).kv
    with path.open("r+b") as file:
        file.seek(16)
        file.write(struct.pack("<Q", 2))
    with pytest.raises(InvalidGGUF, match="GGUF header exceeds maximum 536870912"):
        gguf.read_header(path)


def test_array_too_long_to_list(tmp_path: Path) -> None:
    """Passing over is cheap, listing is not: there the limit is lower."""
    path = tmp_path / "file.gguf"
    path.write_bytes(one(ARRAY, struct.pack("<IQ", 0, 1 << 23)))
    with path.open("r+b") as file:
        file.truncate(1 << 24)
    array = gguf.read_header(path).kv["k"]
    assert isinstance(array, ArrayRef)
    with pytest.raises(InvalidGGUF, match="GGUF array size 8388608 exceeds maximum 4194304"):
        array.read()


def test_what_is_no_file(tmp_path: Path) -> None:
    """Directories, pipes, links, sockets and devices are refused without waiting for anything."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(BARE)
    with socket.socket(socket.AF_UNIX) as end:
        end.bind(str(tmp_path / "socket"))
    for path in (tmp_path, *(tmp_path / name for name in ("pipe", "link", "socket")), Path("/dev/zero")):
        with pytest.raises(InvalidGGUF, match="not a regular file"):
            gguf.read_header(path)
        assert not gguf.has_magic(path)
    with pytest.raises(FileNotFoundError):
        gguf.read_header(tmp_path / "absent")


# -- any damage -------------------------------------------------------------------------------------------------------

SOUND = llama(("general.alignment", U32, 32))
DATA_START = -(-(len(SOUND) - 256) // 32) * 32


def read_all(path: Path) -> None:
    """Everything there is to read, or our error."""
    try:
        gguf.read_facts(path)
        gguf.read_header(path).metadata(verbose=True)
        gguf.read_arrays(path)
    except InvalidGGUF:
        pass


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    """Wherever a sound file is cut, the error is ours."""
    for size in range(DATA_START + 160):
        refused(tmp_path, SOUND[:size])


@given(st.data())
def test_any_damage_is_harmless(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Flipped, overwritten and missing bytes lead to a header or to our error, and never to much memory."""
    content = bytearray(SOUND)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        patch = data.draw(st.binary(min_size=1, max_size=8) | st.just(b"\xff" * 8) | st.just(bytes(8)))
        content[at : at + len(patch)] = patch
    content = content[: data.draw(st.integers(len(content) // 2, len(content)))]
    path = tmp_path_factory.getbasetemp() / "damaged.gguf"
    path.write_bytes(content)
    _, peak = traced(lambda: read_all(path))
    assert peak < 8 << 20


@contextmanager
def counted_reads() -> Generator[list[int]]:
    """The sizes of what is read from files meanwhile."""
    sizes: list[int] = []
    real = os.pread

    def noted(fd: int, size: int, offset: int) -> bytes:
        sizes.append(size)
        return real(fd, size, offset)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "pread", noted)
        yield sizes


counts_near = st.integers(0, 4) | st.sampled_from((1 << 16, 1 << 20, 1 << 26, 1 << 40, 1 << 63, (1 << 64) - 1))
names = st.sampled_from(("general.alignment", "general.architecture", "k", "tokenizer.ggml.tokens", ""))
scalars = st.sampled_from(sorted(CODES)).flatmap(
    lambda kind: st.binary(min_size=8, max_size=8).map(lambda data: struct.pack("<I", kind) + data[: SIZES[kind]])
)
strings = st.tuples(counts_near, st.binary(max_size=12)).map(lambda pair: struct.pack("<Q", pair[0]) + pair[1])
texts = st.binary(max_size=12).map(string)
arrays = st.tuples(st.integers(0, 13), counts_near, st.binary(max_size=24)).map(
    lambda parts: struct.pack("<IIQ", ARRAY, parts[0], parts[1]) + parts[2]
)
lying_keys = st.tuples(
    names.map(string) | texts | strings,
    scalars | arrays | (texts | strings).map(lambda text: struct.pack("<I", STRING) + text) | st.binary(max_size=12),
).map(b"".join)
lying_tensors = st.tuples(
    texts | strings,
    st.lists(counts_near, max_size=5),
    st.none() | counts_near,
    st.sampled_from((0, 1, 2, 12, 39, 99)),
    counts_near | st.sampled_from((32, 64)),
).map(
    lambda parts: (
        parts[0]
        + struct.pack("<I", (len(parts[1]) if parts[2] is None else parts[2]) & 0xFFFFFFFF)
        + b"".join(struct.pack("<Q", length) for length in parts[1])
        + struct.pack("<IQ", parts[3], parts[4])
    )
)
lying_files = st.tuples(
    st.sampled_from((2, 3, 3, 3, 1, 4)),
    st.none() | counts_near,
    st.none() | counts_near,
    st.lists(lying_keys, max_size=4),
    st.lists(lying_tensors, max_size=3),
    st.integers(0, 200),
).map(
    lambda parts: (
        b"GGUF"
        + struct.pack("<I", parts[0])
        + struct.pack("<Q", len(parts[4]) if parts[1] is None else parts[1])
        + struct.pack("<Q", len(parts[3]) if parts[2] is None else parts[2])
        + b"".join(parts[3])
        + b"".join(parts[4])
        + bytes(parts[5])
    )
)


@given(lying_files)
@example(b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + string("k") + struct.pack("<IIQ", ARRAY, U32, 1 << 40))
def test_whatever_a_header_claims_it_costs_one_read_of_the_file(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    """Counts, lengths, types and offsets of any size: a header or our error, and memory for what is there."""
    path = tmp_path_factory.getbasetemp() / "lying.gguf"
    path.write_bytes(data)
    with counted_reads() as sizes:
        _, peak = traced(lambda: suppressed(path))
    assert sum(sizes) <= 2 * len(data)
    assert peak < 1 << 20


def suppressed(path: Path) -> None:
    for read in (gguf.read_facts, gguf.read_header):
        with suppress(InvalidGGUF):
            read(path)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3 << 20)), max_size=6))
def test_a_large_header_is_read_about_once(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[tuple[bool, int]]
) -> None:
    """However its arrays and texts lie over the windows in which a file is read."""
    path = tmp_path_factory.getbasetemp() / "large.gguf"
    with path.open("wb") as file:
        file.write(counts(0, len(sizes)))
        for number, (is_text, size) in enumerate(sizes):
            kind = struct.pack("<I", STRING) if is_text else struct.pack("<II", ARRAY, 0)
            file.write(string(f"k{number}") + kind + struct.pack("<Q", size))
            file.seek(size, 1)
        file.truncate()
        length = file.tell()
    with counted_reads() as read:
        assert len(gguf.read_header(path).kv) == len(sizes)
    assert sum(read) <= 2 * length
    assert len(read) <= 1 + 2 * (length // ggufcursor.WINDOW) + len(sizes)


def test_more_arrays_than_can_be_listed(tmp_path: Path) -> None:
    """Each is short enough; together they would fill the memory."""
    path = tmp_path / "file.gguf"
    with path.open("wb") as file:
        file.write(counts(0, 5))
        for number in range(5):
            file.write(string(f"k{number}") + struct.pack("<IIQ", ARRAY, 0, 1 << 20))
            file.seek(1 << 20, 1)
        file.truncate()
    found = gguf.read_header(path)
    assert found.metadata()["k4"] is None
    for call in (lambda: found.metadata(verbose=True), found.arrays):
        with pytest.raises(InvalidGGUF, match="GGUF array size 5242880 exceeds maximum 4194304"):
            call()


def test_texts_too_long_to_list(tmp_path: Path) -> None:
    """Few texts can be as much as many numbers."""
    path = tmp_path / "file.gguf"
    with path.open("wb") as file:
        file.write(one(ARRAY, struct.pack("<IQ", STRING, 5)))
        for _ in range(5):
            file.write(struct.pack("<Q", 16 << 20))
            file.seek(16 << 20, 1)
        file.truncate()
    with pytest.raises(InvalidGGUF, match="GGUF arrays of 83886120 bytes exceed maximum 67108864"):
        gguf.read_header(path).arrays()


@given(st.binary(max_size=300))
def test_any_bytes_behind_the_counts(tmp_path_factory: pytest.TempPathFactory, rest: bytes) -> None:
    """Noise that claims to be a header is a header or our error."""
    path = tmp_path_factory.getbasetemp() / "noise.gguf"
    path.write_bytes(counts(1, 2, rest))
    read_all(path)
