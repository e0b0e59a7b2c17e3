"""The codec of the pipe between daemon and runner."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler import frames

SOME = [
    frames.Load(weights=["a.gguf"], num_ctx=8, parallel=1, num_batch=8),
    frames.Generate(id=1, prompt="h\u00e9", stop=["x"], images=[b"\x00\xff"]),
    frames.Embed(id=2, inputs=["a", "b"]),
    frames.Tokenize(id=3, texts=[""]),
    frames.Detokenize(id=4, tokens=[1, 2]),
    frames.Cancel(5),
]


@given(st.lists(st.sampled_from(SOME), max_size=5), st.lists(st.integers(1, 30), max_size=20))
def test_frames_survive_any_cut_of_the_stream(sent: list[frames.Command], sizes: list[int]) -> None:
    stream = b"".join(map(frames.encode, sent))
    reader = frames.command_reader()
    got: list[frames.Command] = []
    while stream:
        size = sizes.pop() if sizes else len(stream)
        got += reader.feed(stream[:size])
        stream = stream[size:]
    assert got == sent
    assert not reader.pending


def test_a_stream_that_is_not_ours_is_refused() -> None:
    with pytest.raises(ValueError, match="exceeds"):
        list(frames.command_reader().feed(b"llama: hello"))


def test_a_frame_of_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="Invalid value"):
        list(frames.command_reader().feed(frames.encode(frames.Text(1, "x"))))
