"""What shows while one waits: lines as pure functions of state, and the two displays."""

import io
import os
import pty
import re

import pytest

from server.cli.progress import Bar, LiveDisplay, PlainDisplay, Spinner, cut, remaining, terminal_size
from server.cli.tables import width


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(screen: Screen) -> list[str]:
    """The redraws, without their escapes."""
    return [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", draw) for draw in screen.getvalue().split("\x1b[?2026h")[1:]]


def test_a_spinner_turns_until_it_is_done() -> None:
    spinner = Spinner("pulling manifest")
    assert {spinner.render(80, at / 10 + 0.05) for at in range(10)} == {f"pulling manifest {c} " for c in "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"}
    spinner.done = True
    assert spinner.render(80, 0) == "pulling manifest "


def test_a_bar_shows_its_share_amounts_rate_and_time_left() -> None:
    bar = Bar("pulling 0123456789ab:", 100_000_000)
    bar.advance(0, 0.0)
    bar.advance(50_000_000, 10.0)
    assert bar.render(100, 10.0) == (
        "pulling 0123456789ab:  50% ▕" + "█" * 19 + " " * 19 + "▏  50 MB/100 MB    5 MB/s     10s"
    )


def test_a_full_bar_keeps_its_width_and_drops_the_rate() -> None:
    bar = Bar("x", 1000, 1000)
    assert bar.render(80, 0) == "x 100% ▕" + "█" * 38 + "▏   1 KB" + " " * 25
    assert width(bar.render(80, 0)) == width(Bar("x", 1000, 10).render(80, 0)) == 79


def test_a_rate_is_taken_from_the_last_ten_samples_a_second_apart() -> None:
    bar = Bar("x", 10**9)
    assert bar.rate() == 0
    for at in range(100):
        bar.advance(at * 10, at / 2)
    assert len(bar.samples) == 10
    assert bar.rate() == pytest.approx(20)


def test_a_bar_without_a_size_is_full() -> None:
    assert Bar("x", 0).percent() == 100
    assert Bar("x", 0).render(80, 0)


@pytest.mark.parametrize(
    ("seconds", "text"), [(12, "12s"), (3599, "59m59s"), (3720, "1h2m"), (359_999, "99h59m"), (360_000, "99h+")]
)
def test_time_left(seconds: float, text: str) -> None:
    assert remaining(seconds) == text


def test_a_file_gets_each_message_and_each_full_bar_once() -> None:
    out = io.StringIO()
    with PlainDisplay(out) as display:
        display.status("pulling manifest")
        display.status("pulling manifest")
        display.bar("a", "pulling a:", 1, 2)
        display.bar("a", "pulling a:", 2, 2)
        display.bar("a", "pulling a:", 2, 2)
        display.status("success")
    assert out.getvalue() == "pulling manifest\npulling a: 100%\nsuccess\n"


def test_a_terminal_is_redrawn_in_place_and_keeps_the_last_state() -> None:
    screen = Screen()
    with LiveDisplay(screen, clock=lambda: 0.0) as display:
        display.status("one")
        display.bar("a", "two", 5, 10)
        display.status("three")
        display.status("three")
    last = shown(screen)[-1].splitlines()
    assert [line.split()[0] for line in last] == ["one", "two", "three"]
    assert last[0] == "one "
    assert "\x1b[2A\x1b[1G" in screen.getvalue()
    assert screen.getvalue().endswith("\x1b[?25h\x1b[?2026l\n")


def test_a_display_that_is_not_kept_is_erased() -> None:
    screen = Screen()
    with LiveDisplay(screen, clock=lambda: 0.0, keep=False) as display:
        display.status("loading")
    assert screen.getvalue().endswith("\x1b[1G\x1b[J\x1b[?25h")


def test_a_line_never_wraps() -> None:
    assert cut("abc", 3) == "abc"
    assert cut("abcdef", 3) == "abc"
    assert width(cut("日本語日本語", 5)) <= 5


def test_a_screen_of_unknown_size_is_80_by_24() -> None:
    """No terminal, or one that nobody told its size."""
    assert terminal_size(io.StringIO()) == (80, 24)
    main, terminal = pty.openpty()
    with os.fdopen(main), os.fdopen(terminal, "w") as out:
        assert terminal_size(out) == (80, 24)
