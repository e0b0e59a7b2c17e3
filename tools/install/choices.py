"""What to build: the user's wishes and the machine's facts in, one plan out. Pure.

    ACCEL         auto | cpu | cuda | rocm | vulkan | metal   what computes; auto takes the GPU whose toolkit is present
    LLAMAD_ISA    native | avx2 | baseline | portable         instructions of the CPU part; portable picks at start
    LLAMAD_AMX    1 | 0                                       AMX on x86-64 with LLAMAD_ISA=native
    CMAKE_ARGS    further definitions for llama.cpp

A wish once given is recorded with the build and holds until another is given: the next `make serve` does not undo an
`ACCEL=vulkan make install`.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Final

from .errors import BadChoice, ToolMissing
from .machine import Machine

ACCELERATORS: Final = ("auto", "cpu", "cuda", "rocm", "vulkan", "metal")
ISAS: Final = ("native", "avx2", "baseline", "portable")
_TRUE: Final = ("1", "true", "yes", "on")
_FALSE: Final = ("0", "false", "no", "off")

NO_AMX: Final = ("-mno-amx-tile", "-mno-amx-int8", "-mno-amx-bf16")
"""Virtual machines advertise AMX and trap on it, so it is off unless asked for."""

_X86_SETS: Final = ("SSE42", "AVX", "AVX2", "BMI2", "FMA", "F16C")
_GPU_NAMES: Final = {"nvidia": "an NVIDIA GPU", "amd": "an AMD GPU", "apple": "an Apple GPU"}
_VULKAN_PACKAGES: Final = {
    "apt-get": "sudo apt-get install -y libvulkan-dev glslc spirv-headers",
    "dnf": "sudo dnf install -y vulkan-headers vulkan-loader-devel glslc spirv-headers-devel",
    "pacman": "sudo pacman -S --needed vulkan-headers vulkan-icd-loader shaderc spirv-headers",
    "zypper": "sudo zypper install -y vulkan-devel shaderc spirv-headers",
}
_CUDA_PACKAGES: Final = {
    "apt-get": "sudo apt-get install -y nvidia-cuda-toolkit",
    "dnf": "sudo dnf install -y cuda-toolkit",
    "pacman": "sudo pacman -S --needed cuda",
    "zypper": "sudo zypper install -y cuda-toolkit",
}


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the user asked for."""

    accel: str = "auto"
    isa: str = "native"
    amx: bool = False
    cmake_args: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """What will be built. Equal plans on equal machines give interchangeable builds."""

    accel: str
    isa: str
    amx: bool
    """AMX instructions are compiled in: wished for, and this CPU has them."""
    without_amx: bool
    """The compiler has to be told to leave AMX out."""
    definitions: tuple[str, ...]
    """For CMake, `-D…` each."""
    user_args: str
    toolkit: str
    """Path of the accelerator's compiler; empty for cpu."""
    gpu_found: str
    hint: str
    """The one command that turns this CPU build into one for the GPU that was found; else empty."""


def read_wishes(environ: Mapping[str, str], recorded: Mapping[str, object]) -> Wishes:
    """Wishes of the environment, and where it is silent those of the last installation. Raises BadChoice."""
    before = {name: value for name, value in recorded.items() if name in Wishes.__dataclass_fields__}
    merged: dict[str, object] = {**asdict(Wishes()), **before}
    if "ACCEL" in environ:
        merged["accel"] = _one_of("ACCEL", environ["ACCEL"].strip().lower() or "auto", ACCELERATORS)
    if "LLAMAD_ISA" in environ:
        merged["isa"] = _one_of("LLAMAD_ISA", environ["LLAMAD_ISA"].strip().lower() or "native", ISAS)
    if "LLAMAD_AMX" in environ:
        merged["amx"] = _one_of("LLAMAD_AMX", environ["LLAMAD_AMX"].strip().lower() or "0", _TRUE + _FALSE) in _TRUE
    if "CMAKE_ARGS" in environ:
        merged["cmake_args"] = environ["CMAKE_ARGS"].strip()
    return Wishes(
        accel=str(merged["accel"]),
        isa=str(merged["isa"]),
        amx=merged["amx"] is True,
        cmake_args=str(merged["cmake_args"]),
    )


def _one_of(variable: str, value: str, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise BadChoice(variable, value, allowed)
    return value


def plan(wishes: Wishes, machine: Machine, backends: str = "") -> Plan:
    """What to build here. Raises ToolMissing when the accelerator asked for cannot be built.

    `backends` is the folder that takes the CPU variants of a portable build, known to the library by its absolute path.
    """
    accel = wishes.accel if wishes.accel != "auto" else _automatic(machine)
    if accel != "cpu" and accel not in machine.toolkits:
        raise ToolMissing(f"ACCEL={accel}: {_missing_toolkit(accel)}", _remedy(accel, machine))
    native_x86 = machine.x86 and wishes.isa == "native"
    amx = native_x86 and wishes.amx and "amx_tile" in machine.cpu.instructions
    gpu = _GPU_NAMES[machine.gpus[0]] if machine.gpus else ""
    return Plan(
        accel=accel,
        isa=wishes.isa,
        amx=amx,
        without_amx=native_x86 and not wishes.amx,
        definitions=_definitions(accel, wishes.isa, machine, backends),
        user_args=wishes.cmake_args,
        toolkit=machine.toolkits.get(accel, ""),
        gpu_found=gpu,
        hint=_hint(wishes, machine) if gpu and accel == "cpu" else "",
    )


def _automatic(machine: Machine) -> str:
    preferred = {"nvidia": ("cuda", "vulkan"), "amd": ("rocm", "vulkan"), "apple": ("metal",)}
    candidates = [accel for gpu in machine.gpus for accel in preferred[gpu]]
    return next((accel for accel in candidates if accel in machine.toolkits), "cpu")


def _definitions(accel: str, isa: str, machine: Machine, backends: str) -> tuple[str, ...]:
    made = ["-DGGML_CCACHE=OFF"]
    if isa != "native":
        made.append("-DGGML_NATIVE=OFF")
    if isa in {"avx2", "baseline"} and machine.x86:
        made += [f"-DGGML_{name}={'ON' if isa == 'avx2' else 'OFF'}" for name in _X86_SETS]
    if isa == "portable":
        made += ["-DGGML_BACKEND_DL=ON", "-DGGML_CPU_ALL_VARIANTS=ON", f"-DGGML_BACKEND_DIR={backends}"]
    if accel == "cpu" and machine.system == "Darwin":
        made.append("-DLLAMAD_WITHOUT_METAL=ON")
    made += {
        "cpu": [],
        "cuda": ["-DGGML_CUDA=ON", f"-DCMAKE_CUDA_COMPILER={machine.toolkits.get('cuda', '')}"],
        "rocm": ["-DGGML_HIP=ON"],
        "vulkan": ["-DGGML_VULKAN=ON"],
        "metal": ["-DGGML_METAL=ON", "-DGGML_METAL_EMBED_LIBRARY=ON"],
    }[accel]
    return tuple(made)


def _hint(wishes: Wishes, machine: Machine) -> str:
    if wishes.accel == "cpu" and _automatic(machine) != "cpu":
        return "ACCEL=auto make install"
    accel = "cuda" if machine.gpus[0] == "nvidia" else "vulkan"
    command = (_CUDA_PACKAGES if accel == "cuda" else _VULKAN_PACKAGES).get(machine.packages)
    # The wish stands in the command where auto would not be in force or would not find the toolkit.
    build = "make install" if wishes.accel == "auto" else f"ACCEL={accel} make install"
    return f"{command} && {build}" if command else f"ACCEL={accel} make install"


def _missing_toolkit(accel: str) -> str:
    return {
        "cuda": "no CUDA compiler (nvcc) in PATH, $CUDA_HOME/bin or /usr/local/cuda/bin",
        "rocm": "no HIP compiler (hipcc) in PATH, $ROCM_PATH/bin or /opt/rocm/bin",
        "vulkan": "glslc, the Vulkan headers or the SPIR-V headers are missing",
        "metal": "Metal is only on Macs with an Apple processor",
    }[accel]


def _remedy(accel: str, machine: Machine) -> str:
    again = f"ACCEL={accel} make install"
    commands = {
        "cuda": _CUDA_PACKAGES.get(machine.packages, "install the CUDA toolkit"),
        "rocm": "install ROCm 6.1 or newer (https://rocm.docs.amd.com)",
        "vulkan": _VULKAN_PACKAGES.get(machine.packages, "install the Vulkan SDK"),
    }
    return f"{commands[accel]}, then: {again}" if accel in commands else "ACCEL=auto make install"
