"""Whether a process has begun to die."""

import os
import re
from typing import Final

_PF_EXITING: Final = 0x4
_SIGKILL_BIT: Final = 1 << 8
_SHARED_PENDING: Final = re.compile(rb"^ShdPnd:\s*([0-9a-f]+)", re.MULTILINE)


def is_exiting(pid: int) -> bool:
    """Whether a process has begun to die, which takes a while when it has much memory to give back.

    Read from /proc/<pid>/stat (proc_pid_stat(5): the state, PF_EXITING in the kernel flags) and from /proc/<pid>/status
    (SIGKILL among the signals of all threads, where it stays until the end); False where there is none, as the end of
    the pipe will tell.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            fields = stat.read().rpartition(b")")[2].split()
        if fields[0] in (b"Z", b"X") or int(fields[6]) & _PF_EXITING:
            return True
        with open(f"/proc/{pid}/status", "rb") as status:
            pending = _SHARED_PENDING.search(status.read())
    except (FileNotFoundError, ProcessLookupError):
        return os.path.exists("/proc/self/stat")
    except OSError:
        return False
    return pending is not None and bool(int(pending[1], 16) & _SIGKILL_BIT)
