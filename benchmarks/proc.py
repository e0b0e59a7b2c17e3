"""What Linux says about a process: CPU time and memory."""

import os
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_KIB: Final = 1024
_UTIME, _STIME = 11, 12
"""Positions after the command's closing bracket; proc(5) counts them 14 and 15 from one."""
_PPID: Final = 1


def cpu_seconds(pid: int) -> float:
    """User and system time of all threads, in steps of a clock tick (10 ms)."""
    return parse_cpu((_PROC / str(pid) / "stat").read_text())


def parse_cpu(stat: str) -> float:
    """From the text of /proc/<pid>/stat; the command in it may contain anything."""
    fields = _after_command(stat)
    return (int(fields[_UTIME]) + int(fields[_STIME])) / _TICKS


def private_bytes(pid: int) -> int:
    """Resident memory that no other process shares."""
    return parse_private((_PROC / str(pid) / "smaps_rollup").read_text())


def parse_private(rollup: str) -> int:
    """From the text of /proc/<pid>/smaps_rollup."""
    lines = (line.split() for line in rollup.splitlines() if line.startswith("Private_"))
    return sum(int(fields[1]) for fields in lines) * _KIB


def children(pid: int) -> list[int]:
    """Processes that it started."""
    found: list[int] = []
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            try:
                fields = _after_command((entry / "stat").read_text())
            except OSError:
                continue  # it ended between the listing and the look
            if int(fields[_PPID]) == pid:
                found.append(int(entry.name))
    return found


def environment(pid: int) -> dict[str, str]:
    """The variables a process was started with."""
    text = (_PROC / str(pid) / "environ").read_bytes().decode("utf-8", "replace")
    entries = (entry.partition("=") for entry in text.split("\0"))
    return {name: value for name, sign, value in entries if sign}


def command(pid: int) -> str:
    """The command line of a process."""
    return (_PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").strip()


def _after_command(stat: str) -> list[str]:
    return stat[stat.rindex(")") + 1 :].split()
