"""Compiles llama-cpp-python from its pinned source into a wheel."""

import os
import shlex
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from .choices import NO_AMX, Plan
from .commands import run_logged, say
from .compiler import Compiler
from .environment import Environment
from .errors import CommandFailed
from .lock import Lock

LEAN: Final = Path(__file__).with_name("lean.cmake")
_BYTES_PER_JOB: Final = {"cuda": 3 << 30, "rocm": 3 << 30}
_BYTES_PER_CPU_JOB: Final = 1 << 30


def build(environment: Environment, lock: Lock, plan: Plan, compiler: Compiler, folder: Path, log: Path) -> Path:
    """Build into `folder` and return the wheel. Raises CommandFailed.

    The build tools come from the environment itself, where requirements.lock has put them, so nothing unpinned runs.
    pip verifies the source against the lock's hash.
    """
    say(f"compiling llama.cpp for this machine ({describe(plan)}); minutes the first time, seconds from then on")
    variables = build_variables(environment.variables(), plan, compiler)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".source-") as scratch:
        wanted = Path(scratch) / "source.txt"
        wanted.write_text(lock.compiled + "\n")
        arguments = ["wheel", "--verbose", "--no-deps", "--no-build-isolation", "--no-cache-dir", "--require-hashes"]
        arguments += ["--no-binary", ":all:", "--requirement", str(wanted), "--wheel-dir", str(folder)]
        run_logged("compiling llama.cpp", [*environment.pip_command, *arguments], variables, log)
    wheels = list(folder.glob("llama_cpp_python-*.whl"))
    if len(wheels) != 1:
        raise CommandFailed("compiling llama.cpp", 0, f"pip left {len(wheels)} wheels in {folder}", log)
    return wheels[0]


def describe(plan: Plan) -> str:
    instructions = {"native": "this CPU's own instructions", "portable": "every CPU, chosen at start"}
    amx = ", AMX on" if plan.amx else ", AMX off" if plan.without_amx else ""
    return f"ACCEL={plan.accel}, {instructions.get(plan.isa, plan.isa)}{amx}"


def build_variables(base: Mapping[str, str], plan: Plan, compiler: Compiler) -> dict[str, str]:
    """Environment of the build: what the package's build backend reads."""
    switches = " ".join(NO_AMX) if plan.without_amx and compiler.amx_switches else ""
    definitions = [f"-DCMAKE_PROJECT_llama.cpp_INCLUDE={LEAN}", *plan.definitions]
    if switches:
        definitions += [
            f"-DCMAKE_C_FLAGS={_joined(base.get('CFLAGS'), switches)}",
            f"-DCMAKE_CXX_FLAGS={_joined(base.get('CXXFLAGS'), switches)}",
        ]
    made = {
        **base,
        "CC": compiler.cc,
        "CXX": compiler.cxx,
        "CMAKE_ARGS": " ".join([*map(shlex.quote, definitions), plan.user_args]).strip(),
        # Libraries a second time, and headers, at the top of site-packages.
        "SKBUILD_WHEEL_EXCLUDE": "/lib;/include",
    }
    made.setdefault("CMAKE_BUILD_PARALLEL_LEVEL", str(jobs(plan.accel)))
    # It would make llama.cpp leave out the machine's own instructions without a word.
    made.pop("SOURCE_DATE_EPOCH", None)
    if plan.accel == "rocm":
        made.update(_rocm_variables(plan.toolkit))
    return made


def _joined(*parts: str | None) -> str:
    return " ".join(part for part in parts if part)


def jobs(accel: str) -> int:
    """As many as there are cores, as far as their memory reaches."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        memory = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return cores
    return max(1, min(cores, memory // _BYTES_PER_JOB.get(accel, _BYTES_PER_CPU_JOB)))


def _rocm_variables(hipcc: str) -> dict[str, str]:
    hipconfig = str(Path(hipcc).with_name("hipconfig"))
    try:
        compilers, root = (
            subprocess.run([hipconfig, flag], capture_output=True, text=True, check=True).stdout.strip()
            for flag in ("-l", "-R")
        )
    except (OSError, subprocess.CalledProcessError) as error:
        raise CommandFailed(hipconfig, 1, str(error)) from None
    return {"HIPCXX": f"{compilers}/clang", "HIP_PATH": root}


def leave_out_amx(backends: Path, wished: bool) -> None:
    """Remove the AMX variant of a portable build: CPUs that advertise AMX would prefer it."""
    for library in backends.glob("*sapphirerapids*"):
        if not wished:
            library.unlink()
