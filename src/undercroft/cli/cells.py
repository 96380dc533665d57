"""Values as a person reads them, and as another program does.

A person gets thousands separated, sizes in powers of 1,000, per cent and times of the local zone; a program gets whole
numbers, bytes, seconds, shares of 1 and ISO 8601 in UTC.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rich.text import Text


@dataclass(frozen=True, slots=True)
class Size:
    """A size in bytes; None where it is not known."""

    bytes: int | None


@dataclass(frozen=True, slots=True)
class Duration:
    """A time in seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Share:
    """A part of the whole, 0 to 1; None where there is no whole."""

    part: float | None


_CONTROLS = {code: "\ufffd" for code in (*range(32), *range(127, 160)) if chr(code) not in "\t\n\r"}


def harmless(text: str) -> str:
    """Return somebody's text without what drives a terminal: a message may hold the codes that clear a screen."""
    return text.translate(_CONTROLS)


def shown(value: Any) -> str | Text:
    """Return a value as a person reads it."""
    read: str | Text
    match value:
        case None:
            read = "-"
        case bool():
            read = "yes" if value else "no"
        case int():
            read = f"{value:,}"
        case Size():
            read = _size(value.bytes)
        case Duration():
            read = _duration(value.seconds)
        case Share():
            read = "-" if value.part is None else f"{value.part:.0%}".replace("%", " %")
        case datetime():
            read = f"{value.astimezone():%Y-%m-%d %H:%M}"
        case Text():
            read = value
        case _:
            read = harmless(str(value))
    return read


def plain(value: Any) -> str:
    """Return a value as another program reads it: one field of a tab-separated line."""
    match value:
        case None | Size(None) | Share(None):
            field = ""
        case bool():
            field = "true" if value else "false"
        case Size():
            field = str(value.bytes)
        case Duration():
            field = f"{value.seconds:.3f}"
        case Share():
            field = f"{value.part:.3f}"
        case datetime():
            field = value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case _:
            field = " ".join(harmless(str(value)).split())  # nothing in it may end the field or the line
    return field


def _size(size: int | None) -> str:
    if size is None:
        return "-"
    value = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:  # noqa: PLR2004 - powers of a thousand
            return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"  # noqa: PLR2004
        value /= 1000
    return f"{value:,.1f} TB"


def _duration(seconds: float) -> str:
    if seconds < 0.1:  # noqa: PLR2004 - below it, two digits say enough
        return f"{seconds * 1000:.2g} ms"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:  # noqa: PLR2004 - a minute
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"
