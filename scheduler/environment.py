"""The environment a runner is started with."""

import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

_TUNABLES: Final = "GLIBC_TUNABLES"
_HUGE_PAGES: Final = "glibc.malloc.hugetlb"
_HUGE_PAGES_SINCE: Final = (2, 35)

NO_GPUS: Final[Mapping[str, str]] = {
    "CUDA_VISIBLE_DEVICES": "-1",
    "ROCR_VISIBLE_DEVICES": "-1",
    "GGML_VK_VISIBLE_DEVICES": "-1",
}
"""Hides every GPU from a runner."""

SOURCE_ROOT: Final = Path(__file__).resolve().parent.parent
"""Where the packages lie, in a checkout as well as when installed."""


def glibc_version() -> tuple[int, int] | None:
    """Major and minor version of the C library; None where it is another one."""
    name, version = platform.libc_ver() if sys.platform.startswith("linux") else ("", "")
    parts = version.split(".")
    if name != "glibc" or len(parts) < 2 or not all(part.isdigit() for part in parts[:2]):
        return None
    return int(parts[0]), int(parts[1])


def runner_environment(
    inherited: Mapping[str, str], extra: Mapping[str, str], *, glibc: tuple[int, int] | None
) -> dict[str, str]:
    """`inherited` with what a runner needs, and `extra` on top.

    Where `extra` chooses GPUs of one library, those of the others are hidden: a build may have several.
    """
    path = [str(SOURCE_ROOT), *filter(None, inherited.get("PYTHONPATH", "").split(os.pathsep))]
    environment = {
        **inherited,
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(path)),
        # An engine that aborts would otherwise look for a debugger and fill the log.
        "GGML_NO_BACKTRACE": "1",
    }
    if glibc is not None and glibc >= _HUGE_PAGES_SINCE:
        environment[_TUNABLES] = with_huge_pages(inherited.get(_TUNABLES, ""))
    chosen = any(extra.get(variable, hidden) != hidden for variable, hidden in NO_GPUS.items())
    return {**environment, **(NO_GPUS if chosen else {}), **extra}


def with_huge_pages(tunables: str) -> str:
    """The setting that lets malloc, where repacked weights live, use huge pages; one that is there already stands."""
    settings = [setting for setting in tunables.split(":") if setting]
    if not any(setting.startswith(f"{_HUGE_PAGES}=") for setting in settings):
        settings.append(f"{_HUGE_PAGES}=1")
    return ":".join(settings)


def sees_no_gpu(environ: Mapping[str, str]) -> bool:
    """Whether every GPU is hidden from a process with this environment."""
    return all(environ.get(name) == value for name, value in NO_GPUS.items())
