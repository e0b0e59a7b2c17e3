"""Reading logs, exit codes and sizes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.errors import InsufficientMemory, LoadStalled, RunnerDied, human_bytes
from scheduler.faults import CAPTURE_BYTES, FaultLog, blames_device, exit_words, remedy, tells_of_memory
from scheduler.stderr import LineBuffer


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ("llama_model_load: error loading model: unknown", "error loading model: unknown"),
        ("x GGML_ASSERT(a == b) failed", "GGML_ASSERT(a == b) failed"),
        ("ValueError: bad", "Error: bad"),
        ("load_tensors: ok", ""),
        ("llama_init_from_model: model default pooling_type is [-1], but [0] was specified", ""),
        ("ggml_cuda_init: failed to initialize CUDA: unknown error",) * 2,
        ("terminate called, what():  vk::Device::waitForFences: ErrorDeviceLost",) * 2,
        ("failed to initialize the context: std::bad_alloc", "failed to initialize the context: std::bad_alloc"),
        ("ggml: failed to allocate buffer of size 5", "ggml: failed to allocate buffer of size 5"),
    ],
)
def test_a_complaint_is_kept_from_its_first_marker_on(line: str, kept: str) -> None:
    log = FaultLog()
    assert log.read(line) is bool(kept)
    assert log.text == log.last == kept


def test_complaints_of_the_start_can_be_forgotten() -> None:
    log = FaultLog()
    log.read("error: early")
    log.clear()
    log.read("error: late")
    assert log.text == "error: late"


@given(st.lists(st.text(max_size=400), max_size=60))
def test_only_whole_lines_of_the_last_eight_kibibytes_are_kept(lines: list[str]) -> None:
    log = FaultLog()
    written: list[str] = []
    for line in lines:
        if log.read(f"error: {line}"):
            written.append(f"error: {line}".strip())
    assert len(log.text.encode()) <= CAPTURE_BYTES
    text = "\n".join(written)
    assert text.endswith(log.text)
    assert not written or log.last == written[-1] or blames_device(log.last)


def test_a_line_longer_than_all_that_is_kept_is_cut() -> None:
    log = FaultLog()
    log.read("error: " + "é" * CAPTURE_BYTES)
    assert 0 < len(log.text.encode()) <= CAPTURE_BYTES


@pytest.mark.parametrize(
    ("text", "told"),
    [("CUDA error: out of memory", True), ("VK_ERROR_OUT_OF_DEVICE_MEMORY", True), ("memory is fine", False)],
)
def test_complaints_about_memory(text: str, told: bool) -> None:
    assert tells_of_memory(text) is told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("CUDA error: unspecified launch failure", True),
        ("CUDA error: out of memory", False),
        ("ggml_cuda_init: failed to initialize CUDA: no CUDA-capable device is detected", True),
        ("NVML, GPU 0: GPU is lost", True),
        ("vk::Queue::submit: ErrorDeviceLost", True),
        ("Memory access fault by GPU node-1 (Agent handle: 0x5) on address 0x7f", True),
        ("signal: killed", False),
        ("error loading model: unknown model architecture", False),
    ],
)
def test_complaints_about_a_gpu(text: str, told: bool) -> None:
    assert blames_device(text) is told


def test_what_was_said_of_a_gpu_stands_before_what_follows_from_it() -> None:
    log = FaultLog()
    for line in (
        "CUDA error: unspecified launch failure",
        "  current device: 0, in function ggml_backend_cuda_synchronize at ggml-cuda.cu:2945",
        "ggml-cuda.cu:91: CUDA error",
        "error: llama_decode failed",
    ):
        log.read(line)
    assert log.last == "CUDA error: unspecified launch failure"
    assert log.text == "CUDA error: unspecified launch failure\nerror: llama_decode failed"


@pytest.mark.parametrize(
    ("text", "container", "advice"),
    [
        ("failed to initialize CUDA: unknown error", False, "sudo rmmod nvidia_uvm && sudo modprobe nvidia_uvm"),
        ("failed to initialize CUDA: no CUDA-capable device is detected", False, "sudo modprobe nvidia_uvm"),
        ("failed to initialize CUDA: no CUDA-capable device is detected", True, "native.cgroupdriver=cgroupfs"),
        ("Failed to initialize NVML: Unknown Error", True, "--device /dev/nvidia0"),
        ("Failed to initialize NVML: Driver/library version mismatch", False, "reboot"),
        ("failed to initialize CUDA: CUDA driver version is insufficient for CUDA runtime version", False, "update it"),
        ("failed to initialize CUDA: system not yet initialized", False, "nvidia-fabricmanager"),
        ("NVML, GPU 3: GPU is lost", False, "grep -i xid"),
        ("CUDA error: no kernel image is available for execution on the device", False, "ACCEL=cuda make install"),
        ("ROCm error: invalid device function", False, "HSA_OVERRIDE_GFX_VERSION"),
        ("no permission on /dev/kfd", False, "groups render and video"),
        ("vk::Queue::submit: ErrorDeviceLost", False, "the GPU was reset"),
        ("CUDA error: an illegal memory access was encountered", False, ""),
        ("", True, ""),
    ],
)
def test_the_known_remedy(text: str, container: bool, advice: str) -> None:
    known = remedy(text, container=container)
    assert advice in known if advice else not known


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (None, ""),
        (0, ""),
        (2, "exit status 2"),
        (-9, "signal: killed"),
        (-11, "signal: segmentation fault"),
        (-6, "signal: aborted"),
        (-200, "signal 200"),
    ],
)
def test_how_a_process_ended(code: int | None, words: str) -> None:
    assert exit_words(code) == words


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5 << 20, "5.0 MiB"), (3 << 40, "3072.0 GiB")]
)
def test_sizes_for_people(size: int, text: str) -> None:
    assert human_bytes(size) == text


def test_texts_without_detail_end_cleanly() -> None:
    assert str(RunnerDied()).endswith("check ollama server logs for details")
    assert str(RunnerDied(streamed=True)) == "an error was encountered while running the model: unexpected EOF"
    assert str(LoadStalled()) == "timed out waiting for llama-server to start"
    assert str(InsufficientMemory(1 << 30, 1 << 20, detail="x")).endswith("than is available (1.0 MiB): x")


@given(
    st.lists(st.text(st.characters(exclude_characters="\r\n\x85\u2028\u2029\x0b\x0c\x1c\x1d\x1e"))), st.integers(1, 9)
)
def test_lines_survive_any_cut_of_the_stream(lines: list[str], size: int) -> None:
    stream = "".join(line + "\n" for line in lines).encode("utf-8", "surrogatepass")
    buffer = LineBuffer()
    got = [line for at in range(0, len(stream), size) for line in buffer.feed(stream[at : at + size])]
    expected = [line.encode("utf-8", "surrogatepass").decode("utf-8", "replace").rstrip() for line in lines]
    assert got == [line for line in expected if line]
    assert buffer.last == (got[-1] if got else "")


def test_a_line_without_end_is_cut() -> None:
    buffer = LineBuffer()
    assert [len(line) for line in buffer.feed(b"x" * 100_000)] == [100_000]
    assert list(buffer.feed(b"y\n")) == ["y"]
