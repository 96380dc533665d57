"""Moments: timezone-aware, in UTC, exact to the microsecond.

A moment never passes through a float: 2**53 microseconds are passed in the year 2255, and `datetime.timestamp()` is
wrong in the last digit long before.
"""

import re
from datetime import UTC, datetime, timedelta

from undercroft.errors import InvalidInput

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_SLACK_TS = re.compile(r"([0-9]{1,12})(?:\.([0-9]{1,6}))?")


def utc_now() -> datetime:
    """Return the present moment, aware, in UTC."""
    return datetime.now(UTC)


def require_aware(value: datetime, field: str) -> datetime:
    """Return the same moment in UTC.

    Raises:
        InvalidInput: `value`, named by `field`, is naive or no datetime.
    """
    if not isinstance(value, datetime):
        raise InvalidInput("A moment is a datetime", field=field, hint="pass a timezone-aware datetime")
    if value.utcoffset() is None:
        raise InvalidInput(
            "A datetime without a timezone could mean any of 38 moments",
            field=field,
            hint="add one, for example datetime.now(UTC) or value.replace(tzinfo=UTC)",
        )
    try:
        return value.astimezone(UTC)
    except OverflowError as error:
        raise InvalidInput("The moment falls outside of the years 1 to 9999 in UTC", field=field) from error


def micros(moment: datetime) -> int:
    """Return the microseconds since 1970-01-01 UTC, negative before.

    Raises:
        InvalidInput: the moment is naive or no datetime.
    """
    try:
        since = moment - EPOCH
    except (TypeError, OverflowError):
        since = require_aware(moment, "time") - EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def from_micros(count: int) -> datetime:
    """Return the moment that many microseconds after 1970-01-01 UTC.

    Raises:
        InvalidInput: `count` is no integer, or the moment falls outside of the years 1 to 9999.
    """
    if type(count) is not int:
        raise InvalidInput("Microseconds are an integer", field="time")
    try:
        return EPOCH + timedelta(microseconds=count)
    except OverflowError as error:
        raise InvalidInput("The moment falls outside of the years 1 to 9999", field="time") from error


def from_slack_ts(ts: str) -> datetime:
    """Return the moment of a Slack `ts`: decimal seconds since 1970 as text, up to six decimals, "1562120917.000300".

    Raises:
        InvalidInput: `ts` is no text, or is not of this form; a float has lost digits and is refused.
    """
    try:
        found = _SLACK_TS.fullmatch(ts)
    except TypeError:
        found = None
    if found is None:
        raise InvalidInput(
            "A Slack ts is text: seconds, a dot and six decimals",
            field="ts",
            hint='pass it as it stands in the export, for example "1562120917.000300"',
        )
    seconds, decimals = found.groups(default="")
    return from_micros(int(seconds) * 1_000_000 + int(decimals.ljust(6, "0")))
