"""Reading what went wrong from a runner's log and from how its process ended, and what a user can do about it."""

import signal
from collections.abc import Mapping
from typing import Final

_MARKERS: Final = (
    "panic:",
    "fatal error:",
    "error:",
    "Error:",
    "CUDA error",
    "ROCm error",
    "cudaMalloc failed",
    '"ERR"',
    "error loading model",
    "GGML_ASSERT",
    "Deepseek2 does not support K-shift",
    "llama_init_from_model:",
)
"""A log line is worth keeping from the first of these on."""

_HARMLESS: Final = ("model default pooling_type",)
"""Marks of lines that are no complaints, although they begin like some."""

_MEMORY: Final = (
    "out of memory",
    "out of device memory",
    "cudamalloc failed",
    "hipmalloc failed",
    "failed to allocate",
    "allocation failed",
    "bad_alloc",
    "not enough memory",
    "insufficient memory",
    "vk_error_out_of_device_memory",
    "erroroutofmemory",
)

_DEVICE: Final = (
    "cuda error",
    "rocm error",
    "hip error",
    "failed to initialize cuda",
    "failed to initialize rocm",
    "failed to initialize nvml",
    "no cuda-capable device",
    "driver/library version mismatch",
    "gpu is lost",
    "fallen off the bus",
    "device lost",
    "devicelost",
    "vk_error_device_lost",
    "hsa_status_error",
    "memory access fault by gpu",
    "hw exception by gpu",
    "uncorrectable ecc error",
)
"""Marks of a GPU, or its driver, that does not work."""

CAPTURE_BYTES: Final = 8 << 10

_SIGNALS: Final = {
    "SIGABRT": "aborted",
    "SIGBUS": "bus error",
    "SIGFPE": "floating point exception",
    "SIGHUP": "hangup",
    "SIGILL": "illegal instruction",
    "SIGINT": "interrupt",
    "SIGKILL": "killed",
    "SIGSEGV": "segmentation fault",
    "SIGTERM": "terminated",
    "SIGTRAP": "trace/breakpoint trap",
}


def tells_of_memory(text: str) -> bool:
    """Whether the text complains of memory that could not be had."""
    lowered = text.lower()
    return any(mark in lowered for mark in _MEMORY)


def blames_device(text: str) -> bool:
    """Whether the text tells of a GPU that failed or is gone, and not only of one that is full."""
    lowered = text.lower()
    return any(mark in lowered for mark in _DEVICE) and not tells_of_memory(text)


_RELOAD_UVM: Final = (
    "after suspend the driver may have lost the GPU: reload it with `sudo rmmod nvidia_uvm && sudo modprobe nvidia_uvm`"
)
_RESTART_CONTAINER: Final = (
    "the container has lost its GPUs, as happens when systemd reloads its units: restart the container; to prevent "
    'it, set "exec-opts": ["native.cgroupdriver=cgroupfs"] in /etc/docker/daemon.json on the host, or name the devices '
    "with --device /dev/nvidia0 --device /dev/nvidiactl --device /dev/nvidia-uvm --device /dev/nvidia-uvm-tools"
)
_RESET: Final = "the GPU was reset: see `sudo dmesg`; if it does not come back, restart the daemon or reboot"
_OFF_THE_BUS: Final = "the GPU has dropped off the PCI bus: see `sudo dmesg | grep -i xid`, then reboot"
_AMD_RESET: Final = "see `sudo dmesg | grep amdgpu` for a reset of the GPU"
_GROUPS: Final = "add the user of the daemon to the groups render and video"
_REMEDIES: Final[Mapping[str, str]] = {
    "driver/library version mismatch": "the NVIDIA driver was updated while it was loaded: reboot",
    "driver version is insufficient": "the NVIDIA driver is too old for this build: update it",
    "system not yet initialized": "start the service nvidia-fabricmanager, which GPUs on NVSwitch need",
    "no kernel image is available": "this build has no code for the GPU: rebuild with `ACCEL=cuda make install`",
    "invalid device function": "this build has no code for the GPU: set HSA_OVERRIDE_GFX_VERSION, or rebuild",
    "uncorrectable ecc error": "the GPU's memory is damaged: see `nvidia-smi -q -d ECC`, then reset the GPU or reboot",
    "fallen off the bus": _OFF_THE_BUS,
    "gpu is lost": _OFF_THE_BUS,
    "hsa_status_error": _AMD_RESET,
    "by gpu": _AMD_RESET,
    "device lost": _RESET,
    "devicelost": _RESET,
    "vk_error_device_lost": _RESET,
    "/dev/kfd": _GROUPS,
    "permission": _GROUPS,
}
"""What is known to help, by what the text says; the first that is found counts."""
_NVIDIA_GONE: Final = (
    "unknown error",
    "no cuda-capable device",
    "initialization error",
    "unspecified launch failure",
    "failed to initialize nvml",
    "driver not loaded",
    "uninitialized",
)


def remedy(text: str, *, container: bool = False) -> str:
    """What is known to help against what `text` tells of a GPU; empty when nothing is. `container`: we run in one.

    The two that NVIDIA's driver is known for: CUDA answers 'unknown error' after suspend until nvidia_uvm is loaded
    anew; a container's access to its devices ends when systemd writes the device rules of its group again (documented
    by the NVIDIA Container Toolkit, 'Containers losing access to GPUs').
    """
    lowered = text.lower()
    for mark, advice in _REMEDIES.items():
        if mark in lowered:
            return advice
    if any(mark in lowered for mark in _NVIDIA_GONE):
        return _RESTART_CONTAINER if container else _RELOAD_UVM
    return ""


def exit_words(code: int | None) -> str:
    """How a process ended, from its return code (negative: a signal); empty for a clean or unknown end."""
    if not code:
        return ""
    if code > 0:
        return f"exit status {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
    return f"signal: {_SIGNALS.get(name, name)}"


class FaultLog:
    """The last complaints in a log: whole lines, 8 KiB of them at most."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._size = 0

    def read(self, line: str) -> bool:
        """Keep the line from its first marker on; whether it had one."""
        at = min((found for mark in _MARKERS if (found := line.find(mark)) >= 0), default=-1)
        if at < 0 and not tells_of_memory(line) and not blames_device(line):
            return False
        if any(mark in line for mark in _HARMLESS):
            return False
        kept = line[max(at, 0) :].strip().encode()[:CAPTURE_BYTES].decode(errors="ignore")
        if kept in ("CUDA error", "ROCm error") and self.last.startswith(kept):
            return True  # the engine's last word, where it has said which one before
        self._lines.append(kept)
        self._size += len(kept.encode()) + 1
        while self._size > CAPTURE_BYTES + 1:
            self._size -= len(self._lines.pop(0).encode()) + 1
        return True

    def clear(self) -> None:
        """Forget: a warning of the start-up must not explain a later failure."""
        self._lines.clear()
        self._size = 0

    @property
    def last(self) -> str:
        """The last complaint; one about a GPU stands before all that follows from it."""
        about_gpus = (line for line in reversed(self._lines) if blames_device(line))
        return next(about_gpus, self._lines[-1] if self._lines else "")

    @property
    def text(self) -> str:
        return "\n".join(self._lines)
