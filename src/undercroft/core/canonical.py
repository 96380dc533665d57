"""JSON as the bytes that are hashed (RFC 8785), and what text may be stored.

PostgreSQL stores no NUL, UTF-8 has no lone surrogates, and a number in JSON is an IEEE double: whatever would change or
fail on its way through a database or another language is refused here, by the path at which it stands.
"""

import math
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

import orjson
import rfc8785

from undercroft.errors import InvalidInput

LARGEST_INTEGER: Final = 2**53 - 1

_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def canonical(value: object, field: str = "$") -> bytes:
    """Return the canonical JSON of RFC 8785: no spaces, keys in UTF-16 order, numbers as ECMAScript writes them.

    `value` is made of dict, list, tuple, str, int, float, bool and None. A float is a double of any size, so 1e20 is
    written without exponent, and reads back as an integer that is refused here: hash the stored bytes, not what was
    parsed from them.

    Raises:
        InvalidInput: NaN, infinity, an integer beyond ±(2**53 - 1), NUL or a lone surrogate in a text, a key that is no
            text, another type, or nesting past Python's recursion limit; named by its path below `field`, "$.a[3]".
    """
    try:
        encoded = _encoded(value)
    except (ValueError, RecursionError) as error:
        raise _refusal(value, field) or InvalidInput("The value is nested too deeply", field=field) from error
    if rb"\u0000" in encoded and (refusal := _refusal(value, field)):  # else the text of the escape behind a backslash
        raise refusal
    return encoded


def check_text(text: str, field: str) -> str:
    """Return the text verbatim.

    Raises:
        InvalidInput: `text`, named by `field`, is no text, or holds NUL or a lone surrogate.
    """
    if fault := _text_fault(text):
        raise InvalidInput(fault, field=field)
    return text


def clean_text(text: str) -> tuple[str, int]:
    """Return the text with every NUL and lone surrogate replaced by U+FFFD, and how many there were."""
    return _UNSTORABLE.subn("\N{REPLACEMENT CHARACTER}", text)


def _encoded(value: object) -> bytes:
    if _is_simple(value):
        with suppress(TypeError):  # a lone surrogate, or nested too deeply for it
            return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    return rfc8785.dumps(value)  # type: ignore[arg-type] # what is no JSON is refused at run time


def _is_simple(value: object) -> bool:
    """Whether orjson writes the very same bytes, ten times as fast: no float, no key but of ASCII."""
    if value is None or type(value) is str or type(value) is bool:
        return True
    if type(value) is int:
        return -LARGEST_INTEGER <= value <= LARGEST_INTEGER
    if type(value) is dict:
        return all(type(key) is str and key.isascii() and _is_simple(element) for key, element in value.items())
    return (type(value) is list or type(value) is tuple) and all(map(_is_simple, value))


def _refusal(value: object, field: str) -> InvalidInput | None:
    try:
        path, fault = next(_faults(value, field), (field, None))
    except RecursionError:
        path, fault = field, "The value is nested too deeply, or contains itself"
    return InvalidInput(fault, field=path) if fault else None


def _text_fault(text: object) -> str | None:
    if not isinstance(text, str):
        return "Text is expected"
    if "\0" in text:
        return "Text cannot be stored with NUL in it"
    if not text.isascii() and _UNSTORABLE.search(text):
        return "Text cannot be stored with a lone surrogate in it"
    return None


def _scalar_fault(value: object) -> str | None:
    match value:
        case None | bool():
            return None
        case int():
            beyond = abs(value) > LARGEST_INTEGER
            return "An integer beyond 2**53 - 1 loses digits in JSON: keep it as text" if beyond else None
        case float():
            finite = math.isfinite(value)
            return None if finite else "JSON has no NaN and no infinity: leave the value out, or use null"
        case str():
            return _text_fault(value)
        case _:
            return f"JSON has no {type(value).__name__}: convert it first"


def _faults(value: object, path: str) -> Iterator[tuple[str, str]]:
    """Yield the path of each thing that cannot be stored and what is wrong with it, in the order of the value."""
    if isinstance(value, list | tuple):
        for index, element in enumerate(value):
            yield from _faults(element, f"{path}[{index}]")
    elif isinstance(value, dict):
        for key, element in value.items():
            below = f"{path}.{key}" if isinstance(key, str) and _PLAIN_KEY.fullmatch(key) else f"{path}[{key!r}]"
            if fault := _text_fault(key) if isinstance(key, str) else "A key in JSON is text":
                yield below, fault
            yield from _faults(element, below)
    elif fault := _scalar_fault(value):
        yield path, fault
