"""What is built for which wishes on which machine."""

import pytest

from tools.install.choices import Plan, Wishes, plan, read_wishes
from tools.install.errors import BadChoice, ToolMissing
from tools.install.machine import Cpu, Machine

AMX_CPU = Cpu("Xeon", frozenset({"avx2", "avx512f", "amx_tile"}))


def machine(
    *gpus: str,
    cpu: Cpu = AMX_CPU,
    arch: str = "x86_64",
    packages: str = "apt-get",
    system: str = "Linux",
    kits: dict[str, str] | None = None,
) -> Machine:
    return Machine(system=system, arch=arch, cpu=cpu, gpus=gpus, toolkits=kits or {}, packages=packages)


def test_nothing_said_on_a_plain_machine_is_a_native_cpu_build_without_amx() -> None:
    made = plan(Wishes(), machine())
    assert made == Plan(
        accel="cpu",
        isa="native",
        amx=False,
        without_amx=True,
        definitions=("-DGGML_CCACHE=OFF",),
        user_args="",
        toolkit="",
        gpu_found="",
        hint="",
    )


@pytest.mark.parametrize(
    ("gpus", "kits", "accel"),
    [
        (("nvidia",), {"cuda": "/nvcc"}, "cuda"),
        (("nvidia",), {"vulkan": "/glslc"}, "vulkan"),
        (("nvidia",), {"cuda": "/nvcc", "vulkan": "/glslc"}, "cuda"),
        (("amd",), {"rocm": "/hipcc"}, "rocm"),
        (("amd",), {"cuda": "/nvcc"}, "cpu"),
        (("nvidia", "amd"), {"rocm": "/hipcc"}, "rocm"),
        ((), {"cuda": "/nvcc"}, "cpu"),
    ],
)
def test_a_gpu_is_used_when_its_toolkit_is_there(gpus: tuple[str, ...], kits: dict[str, str], accel: str) -> None:
    assert plan(Wishes(), machine(*gpus, kits=kits)).accel == accel


@pytest.mark.parametrize("accel", ["cuda", "rocm", "vulkan"])
def test_an_accelerator_can_be_forced_without_a_gpu(accel: str) -> None:
    assert plan(Wishes(accel=accel), machine(kits={accel: "/tool"})).accel == accel


@pytest.mark.parametrize("accel", ["cuda", "rocm", "vulkan", "metal"])
@pytest.mark.parametrize("packages", ["apt-get", "dnf", ""])
def test_an_accelerator_without_its_toolkit_is_refused_with_a_remedy(accel: str, packages: str) -> None:
    with pytest.raises(ToolMissing, match=f"ACCEL={accel}") as caught:
        plan(Wishes(accel=accel), machine("nvidia", packages=packages))
    assert "make install" in caught.value.remedy


def test_a_gpu_without_toolkit_gives_a_cpu_build_and_the_one_command_that_changes_it() -> None:
    made = plan(Wishes(), machine("nvidia"))
    assert (made.accel, made.gpu_found) == ("cpu", "an NVIDIA GPU")
    assert made.hint == "sudo apt-get install -y nvidia-cuda-toolkit && make install"
    assert plan(Wishes(), machine("amd")).hint.startswith("sudo apt-get install -y libvulkan-dev")
    assert plan(Wishes(), machine("amd", packages="")).hint == "ACCEL=vulkan make install"


def test_a_forced_cpu_build_names_the_way_back() -> None:
    assert plan(Wishes(accel="cpu"), machine("nvidia", kits={"cuda": "/nvcc"})).hint == "ACCEL=auto make install"
    assert plan(Wishes(accel="cpu"), machine("nvidia")).hint.endswith("&& ACCEL=cuda make install")


def test_no_hint_where_the_gpu_is_used() -> None:
    assert plan(Wishes(), machine("nvidia", kits={"cuda": "/nvcc"})).hint == ""


def test_amx_is_compiled_in_when_asked_for_and_present() -> None:
    wished = Wishes(amx=True)
    assert plan(wished, machine()).amx
    assert not plan(wished, machine()).without_amx
    assert not plan(wished, machine(cpu=Cpu("old", frozenset({"avx2"})))).amx


def test_amx_is_no_matter_elsewhere_than_on_x86() -> None:
    made = plan(Wishes(), machine(arch="aarch64"))
    assert not made.amx
    assert not made.without_amx


def test_lesser_instruction_sets() -> None:
    assert {"-DGGML_NATIVE=OFF", "-DGGML_AVX2=ON"} <= set(plan(Wishes(isa="avx2"), machine()).definitions)
    assert {"-DGGML_NATIVE=OFF", "-DGGML_AVX=OFF"} <= set(plan(Wishes(isa="baseline"), machine()).definitions)
    assert "-DGGML_AVX=OFF" not in plan(Wishes(isa="baseline"), machine(arch="aarch64")).definitions


def test_a_portable_build_has_a_variant_for_every_processor() -> None:
    made = plan(Wishes(isa="portable"), machine(), backends="/opt/llamad/backends")
    assert {
        "-DGGML_NATIVE=OFF",
        "-DGGML_BACKEND_DL=ON",
        "-DGGML_CPU_ALL_VARIANTS=ON",
        "-DGGML_BACKEND_DIR=/opt/llamad/backends",
    } <= set(made.definitions)


def test_a_mac_builds_for_metal_unless_told_otherwise() -> None:
    mac = machine("apple", arch="arm64", system="Darwin", packages="brew", kits={"metal": "xcrun"})
    assert plan(Wishes(), mac).accel == "metal"
    assert "-DLLAMAD_WITHOUT_METAL=ON" in plan(Wishes(accel="cpu"), mac).definitions


def test_wishes_come_from_the_environment() -> None:
    environ = {"ACCEL": "Vulkan", "LLAMAD_AMX": "1", "LLAMAD_ISA": "avx2", "CMAKE_ARGS": " -DX=1 "}
    assert read_wishes(environ, {}) == Wishes(accel="vulkan", isa="avx2", amx=True, cmake_args="-DX=1")


def test_a_wish_holds_until_another_is_given() -> None:
    recorded: dict[str, object] = {"accel": "vulkan", "amx": True, "isa": "native", "cmake_args": "", "unknown": 1}
    assert read_wishes({}, recorded) == Wishes(accel="vulkan", amx=True)
    assert read_wishes({"ACCEL": "auto", "LLAMAD_AMX": "0"}, recorded) == Wishes()
    assert read_wishes({"ACCEL": ""}, recorded).accel == "auto"


@pytest.mark.parametrize("variable", ["ACCEL", "LLAMAD_ISA", "LLAMAD_AMX"])
def test_an_unknown_value_is_refused_by_name(variable: str) -> None:
    with pytest.raises(BadChoice, match=f"{variable}=bogus: expected one of"):
        read_wishes({variable: "bogus"}, {})
