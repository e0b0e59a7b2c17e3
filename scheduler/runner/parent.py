"""Ending with the daemon, in whatever way that ends.

The end of the pipe tells of it everywhere (intake.py), but only once the reader is back from what it prepares, and only
if no other process has got hold of the daemon's end. Linux ends the process by itself: prctl(2), PR_SET_PDEATHSIG.
"""

import ctypes
import signal
import sys
from typing import Final

_PR_SET_PDEATHSIG: Final = 1


def follow() -> None:
    """From now on the end of the thread that started this process is its end too. The daemon's lives as long as it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
