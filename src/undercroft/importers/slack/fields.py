"""Reading Slack's fields, each of which may be absent, null, or of a type it should not have."""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

Raw = Mapping[str, Any]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TIMESTAMP = re.compile(r"([0-9]{1,10})(?:\.([0-9]{1,6}))?")
_ID_MAX = 255
_EMPTY: tuple[object, ...] = (None, "", [], {})


class BadRecord(ValueError):
    """The record cannot be read; the message is the reason shown to the user."""


def check_ids(*ids: str | None) -> None:
    """Raise BadRecord where an id is longer than any platform's, and than what an index can hold."""
    if any(native_id is not None and len(native_id) > _ID_MAX for native_id in ids):
        raise BadRecord(f"holds an id of more than {_ID_MAX} characters")


def text_of(raw: Raw, *keys: str) -> str:
    """Return the first of these fields that is a non-empty text, or an empty one."""
    for key in keys:
        value = raw.get(key)
        if isinstance(value, str) and value:
            return value
    return ""


def mapping_of(raw: Raw, key: str) -> Raw:
    """Return the field if it is an object, or an empty one."""
    value = raw.get(key)
    return value if isinstance(value, dict) else {}


def mappings_of(raw: Raw, key: str) -> list[dict[str, Any]]:
    """Return the objects in the field if it is a list, or none."""
    value = raw.get(key)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def ids_of(raw: Raw, key: str) -> tuple[str, ...]:
    """Return the texts in the field if it is a list, each once, in order: exports list the same member twice."""
    value = raw.get(key)
    if not isinstance(value, list):
        return ()
    return tuple(dict.fromkeys(item for item in value if isinstance(item, str) and item))


def whole_number(value: object, at_most: int) -> int | None:
    """Return a number written as one or as text, if it lies within 0 and ``at_most``."""
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value[:20])
    return value if type(value) is int and 0 <= value <= at_most else None


def moment(value: object) -> datetime | None:
    """Return the time that a `ts` or a number of seconds names, exact to the microsecond.

    None where it names none: a zero is how Slack says never.
    """
    if not value or isinstance(value, bool) or not isinstance(value, (str, int)):
        return None  # a float has lost the digits that make it a name
    match = _TIMESTAMP.fullmatch(str(value))
    if not match:
        return None
    # By whole numbers: a float holds 1700000000.000001 no better than it holds a hundred others.
    seconds, micros = int(match[1]), int((match[2] or "").ljust(6, "0"))
    return _EPOCH + timedelta(seconds=seconds, microseconds=micros) if seconds or micros else None


def rest_of(raw: Raw, without: Iterable[str]) -> dict[str, Any]:
    """Return the fields that say something and are not in ``without``."""
    dropped = frozenset(without)
    return {key: value for key, value in raw.items() if key not in dropped and value not in _EMPTY}
