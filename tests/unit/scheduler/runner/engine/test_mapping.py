"""Pages of mapped weights that were copied."""

import mmap
import os
import sys
from pathlib import Path

import pytest

from scheduler.frames import Buffer
from scheduler.runner.engine import mapping

MAPS = """\
55d0c0a00000-55d0c0a01000 r--p 00000000 fe:00 1234                       /usr/bin/python3.11
7f1b20000000-7f1b20021000 rw-p 00000000 00:00 0
7f1b24000000-7f1b26000000 r--s 00000000 fe:00 99                         /store/a model\\012.gguf
7ffd00000000-7ffd00021000 rw-p 00000000 00:00 0                          [stack]
"""


def test_mappings_are_read_from_procfs() -> None:
    found = {path: (start, size) for start, size, path in mapping.mappings(MAPS)}
    assert found["/store/a model\n.gguf"] == (0x7F1B24000000, 0x2000000)
    assert found["/usr/bin/python3.11"] == (0x55D0C0A00000, 0x1000)
    assert len(found) == 3


@pytest.mark.parametrize(
    ("buffers", "copied"),
    [
        ([Buffer("CPU_Mapped", "model", 90), Buffer("CPU_REPACK", "model", 80)], True),
        ([Buffer("CPU_Mapped", "model", 100), Buffer("CPU_REPACK", "model", 40)], False),
        ([Buffer("CPU_Mapped", "model", 10), Buffer("CUDA0", "model", 95)], True),
        ([Buffer("CPU_Mapped", "model", 100), Buffer("CPU", "KV", 500)], False),
        ([], False),
    ],
)
def test_whether_the_weights_were_copied(buffers: list[Buffer], copied: bool) -> None:
    assert mapping.copied(buffers, 100) is copied


@pytest.mark.skipif(sys.platform != "linux", reason="needs procfs")
def test_pages_that_were_given_back_can_still_be_read(tmp_path: Path) -> None:
    file = tmp_path / "weights"
    file.write_bytes(os.urandom(1 << 16))
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, prot=mmap.PROT_READ) as mapped:
        before = bytes(mapped)
        assert mapping.release([str(tmp_path / "other")]) == 0
        assert mapping.release([str(file)]) == 1 << 16
        assert bytes(mapped) == before == file.read_bytes()
