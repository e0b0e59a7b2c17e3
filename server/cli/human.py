"""Sizes and times as the tables show them. Counts of parameters are in `modelstore.numbers`."""

from datetime import UTC, datetime, timedelta
from typing import Final

_UNITS: Final = (("TB", 1_000_000_000_000), ("GB", 1_000_000_000), ("MB", 1_000_000), ("KB", 1000))
_HOUR: Final = 3600
_FOREVER: Final = timedelta(days=20 * 365)


def size(count: int) -> str:
    """Bytes in decimal units: whole from ten on (cut, not rounded), else with one decimal unless that is none."""
    for unit, scale in _UNITS:
        if count >= scale:
            value = count / scale
            if value >= 10 or value == int(value):
                return f"{int(value)} {unit}"
            return f"{value:.1f} {unit}"
    return f"{count} B"


def instant(text: str) -> datetime | None:
    """An RFC 3339 time; None for the zero time and for what is no time. Without a zone it is taken as UTC."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    if at.year == 1:
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def when(at: datetime | None, now: datetime) -> str:
    """How long ago, or from now; `now` carries a zone."""
    if at is None:
        return "Never"
    away = at - now
    if away > _FOREVER:
        return "Forever"
    if away > timedelta(0):
        return f"{span(away)} from now"
    return f"{span(-away)} ago"


def span(length: timedelta) -> str:
    """A length of time in one unit."""
    seconds = int(length.total_seconds())
    minutes, exact_hours = seconds // 60, length.total_seconds() / _HOUR
    hours = int(exact_hours + 0.5)
    if seconds < 1:
        return "Less than a second"
    if seconds == 1:
        return "1 second"
    if seconds < 60:
        return f"{seconds} seconds"
    if minutes == 1:
        return "About a minute"
    if minutes < 60:
        return f"{minutes} minutes"
    if hours == 1:
        return "About an hour"
    if hours < 48:
        return f"{hours} hours"
    return _days(hours, exact_hours)


def _days(hours: int, exact_hours: float) -> str:
    if hours < 24 * 7 * 2:
        return f"{hours // 24} days"
    if hours < 24 * 30 * 2:
        return f"{hours // 24 // 7} weeks"
    if hours < 24 * 365 * 2:
        return f"{hours // 24 // 30} months"
    return f"{int(exact_hours) // 24 // 365} years"
