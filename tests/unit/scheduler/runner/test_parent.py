"""A runner ends with the daemon, even where nobody reads the pipe that tells of it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]
RUNNER = """
import signal, sys
from scheduler.runner import parent
parent.follow()
print("ready", flush=True)
signal.pause()
"""
DAEMON = """
import signal, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]])
signal.pause()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks the kernel of Linux")
def test_a_killed_daemon_takes_along_a_runner_that_does_not_listen() -> None:
    """The end of file comes when the last process that could write, the runner, is gone."""
    daemon = subprocess.Popen([sys.executable, "-c", DAEMON, RUNNER], cwd=ROOT, stdout=subprocess.PIPE)
    try:
        assert daemon.stdout is not None
        assert daemon.stdout.readline() == b"ready\n"
        os.kill(daemon.pid, signal.SIGKILL)
        assert daemon.stdout.read() == b""
    finally:
        daemon.communicate()
