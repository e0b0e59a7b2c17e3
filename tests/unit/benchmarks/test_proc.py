"""What /proc says."""

import os

from hypothesis import given
from hypothesis import strategies as st

from benchmarks import proc

TICKS = os.sysconf("SC_CLK_TCK")


@given(command=st.text(st.characters(codec="ascii", exclude_characters="\n"), max_size=15), user=st.integers(0, 10**6))
def test_cpu_time_whatever_the_command_is_called(command: str, user: int) -> None:
    """A command may contain blanks and brackets; fields are counted from its end."""
    fields = ["S", "1", *["0"] * 9, str(user), "50", *["0"] * 30]
    assert proc.parse_cpu(f"42 ({command}) {' '.join(fields)}\n") == (user + 50) / TICKS


def test_private_memory() -> None:
    """Clean, dirty and huge pages that nobody shares; nothing else of the file counts."""
    sizes = {"Rss": 900, "Shared_Clean": 500, "Private_Clean": 100, "Private_Dirty": 200, "Private_Hugetlb": 4}
    lines = ["00400000-7fff [rollup]", *(f"{name}: {size:10} kB" for name, size in sizes.items())]
    assert proc.parse_private("\n".join(lines)) == 304 * 1024


def test_of_this_process() -> None:
    """The real files have the form that is parsed."""
    assert proc.private_bytes(os.getpid()) > 1_000_000
    assert proc.cpu_seconds(os.getpid()) > 0
    assert "python" in proc.command(os.getpid())
    assert os.getpid() in proc.children(os.getppid())
