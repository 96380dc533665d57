"""Moments as people write them on a command line: 2024, 2024-05, 2024-05-17, 2024-05-17T09:30, today, 30d."""

import re
from datetime import datetime, timedelta

from undercroft.errors import InvalidInput

_CALENDAR = re.compile(r"(\d{4})(?:-(\d{2})(?:-(\d{2}))?)?")
_AGO = re.compile(r"(\d{1,5})([hdw])")
_UNITS = {"h": "hours", "d": "days", "w": "weeks"}


def since(text: str, field: str = "since") -> datetime:
    """Return the first moment of a period; a date without a zone is one of the local zone.

    Raises:
        InvalidInput: it is none.
    """
    return _period(text, field)[0]


def until(text: str, field: str = "until") -> datetime:
    """Return the first moment after a period, which a search leaves out: "2024-05-17" takes that day in.

    Raises:
        InvalidInput: it is none.
    """
    return _period(text, field)[1]


def _period(text: str, field: str) -> tuple[datetime, datetime]:
    now = datetime.now().astimezone()
    try:
        if found := _CALENDAR.fullmatch(text):
            return _calendar(*(None if part is None else int(part) for part in found.groups()))
        if found := _AGO.fullmatch(text):
            moment = now - timedelta(**{_UNITS[found[2]]: int(found[1])})
            return moment, moment
        if text in {"today", "yesterday"}:
            day = now.date() - timedelta(days=text == "yesterday")
            return _calendar(day.year, day.month, day.day)
        moment = datetime.fromisoformat(text)
        moment = moment if moment.tzinfo else moment.astimezone()
    except (ValueError, OverflowError) as error:
        raise InvalidInput(
            f"--{field} is no time", field=field, hint="write 2024-05-17, 2024-05, 2024-05-17T09:30, today or 30d"
        ) from error
    return moment, moment


def _calendar(year: int | None, month: int | None, day: int | None) -> tuple[datetime, datetime]:
    """Return the bounds of a year, a month or a day of the local zone."""
    start = datetime(year or 1, month or 1, day or 1)  # noqa: DTZ001 - astimezone() takes it as local
    if day is not None:
        end = start + timedelta(days=1)
    elif month is not None:
        end = (start + timedelta(days=31)).replace(day=1)
    else:
        end = start.replace(year=start.year + 1)
    return start.astimezone(), end.astimezone()
