"""Logs: one `key=value` line an event on standard error, one line a request on standard output.

Neither holds the body of a request or of an answer. Modules log through structlog; what libraries log through `logging`
comes out in the same form.
"""

import logging
import sys
import time
from collections.abc import MutableMapping
from typing import Any, Final

import structlog

from modelstore.quoting import quote

TRACE: Final = 5
_LEVELS: Final = {-1: logging.WARNING, 0: logging.INFO, 1: logging.DEBUG}


class _KeyValue(logging.Formatter):
    """`time=… level=INFO source=… msg="…"`, then the event's own fields, then a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        moment = time.localtime(record.created)
        zone = time.strftime("%z", moment)
        parts = [
            f"time={time.strftime('%Y-%m-%dT%H:%M:%S', moment)}.{int(record.msecs):03d}{zone[:3]}:{zone[3:]}",
            f"level={record.levelname}",
            f"source={record.name}",
            f"msg={_value(record.getMessage())}",
        ]
        fields: dict[str, object] = getattr(record, "fields", {})
        parts += [f"{key}={_value(str(value))}" for key, value in fields.items()]
        line = " ".join(parts)
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def _value(text: str) -> str:
    plain = text and text.isprintable() and not any(char in text for char in ' ="')
    return text if plain else quote(text)


def configure(verbosity: int) -> None:
    """Send what matters enough to standard error: 0 is INFO, 1 DEBUG, 2 and more everything, -1 WARNING."""
    logging.addLevelName(TRACE, "TRACE")
    logging.addLevelName(logging.WARNING, "WARN")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_KeyValue())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(_LEVELS.get(verbosity, TRACE if verbosity > 1 else logging.ERROR))
    for name in ("uvicorn", "asyncio"):
        logging.getLogger(name).setLevel(logging.WARNING)
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, _to_logging],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def _to_logging(logger: Any, method: str, event: MutableMapping[str, Any]) -> tuple[tuple[str], dict[str, Any]]:
    """The last step of structlog: a call of the standard logger, fields and all."""
    message = str(event.pop("event"))
    return (message,), {"exc_info": event.pop("exc_info", None), "extra": {"fields": dict(event)}}
