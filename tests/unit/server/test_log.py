"""Log lines: key=value, whoever writes them."""

import logging
from collections.abc import Callable, Iterator

import pytest
import structlog

from server import log


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Logging is afterwards as it was before."""
    root = logging.getLogger()
    handlers, level, former = root.handlers[:], root.level, structlog.get_config()
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.configure(**former)


@pytest.fixture
def logged(capsys: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """Reads what went to standard error."""
    return lambda: capsys.readouterr().err


def test_fields_follow_the_message(logged: Callable[[], str]) -> None:
    log.configure(0)
    structlog.get_logger("a.b").info("model loaded", model="x:latest", note="two words", empty="", quote='"')
    line = logged()
    assert line.startswith("time=")
    assert line.endswith(
        ' level=INFO source=a.b msg="model loaded" model=x:latest note="two words" empty="" quote="\\""\n'
    )


def test_the_standard_logger_writes_the_same(logged: Callable[[], str]) -> None:
    log.configure(0)
    logging.getLogger("c").warning("100%% of %s", "it")
    assert logged().endswith(' level=WARN source=c msg="100% of it"\n')


def test_a_traceback_follows_its_line(logged: Callable[[], str]) -> None:
    log.configure(0)
    try:
        raise ZeroDivisionError
    except ZeroDivisionError:
        structlog.get_logger("d").exception("broken", path="/x")
    first, *rest = logged().splitlines()
    assert first.endswith(" level=ERROR source=d msg=broken path=/x")
    assert rest[-1] == "ZeroDivisionError"


def test_a_line_break_in_a_value_does_not_break_the_line(logged: Callable[[], str]) -> None:
    log.configure(0)
    structlog.get_logger("e").info("a\nb", c="d\n")
    assert logged().count("\n") == 1


@pytest.mark.parametrize(("verbosity", "levels"), [(-1, "w"), (0, "i w"), (1, "d i w"), (2, "d i w")])
def test_verbosity(logged: Callable[[], str], verbosity: int, levels: str) -> None:
    log.configure(verbosity)
    logger = structlog.get_logger(f"verbosity{verbosity}")
    logger.debug("d")
    logger.info("i")
    logger.warning("w")
    assert " ".join(line.rpartition("msg=")[2] for line in logged().splitlines()) == levels
