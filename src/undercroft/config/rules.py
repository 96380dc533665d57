"""What a configuration may be called, what it may be set to, and how two values differ."""

import math
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, Final

import orjson
from pydantic import Secret, SecretBytes, SecretStr

from undercroft.config.records import ConfigDifference
from undercroft.core.canonical import check_text
from undercroft.core.seal.envelope import Concealed, Hidden
from undercroft.errors import InvalidInput, SealBroken

LONGEST_KEY: Final = 200
LONGEST_CATEGORY: Final = 100
LONGEST_DESCRIPTION: Final = 2000
LONGEST: Final = 262_144
"""Bytes of a value as JSON: room for a long prompt, not for files."""
DEEPEST: Final = 64
MOST: Final = 1000
"""Keys that are set at once."""

_KEY = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*")
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
_SCALARS: Final = {str, int, float, bool, type(None)}


def check_key(key: Any) -> str:
    """Return a configuration's key.

    Raises:
        InvalidInput: it is no name of 1 to 200 letters, digits, ``_`` and ``-``, with single dots between its parts.
    """
    if not isinstance(key, str) or len(key) > LONGEST_KEY or not _KEY.fullmatch(key):
        message = f"A key is 1 to {LONGEST_KEY} letters, digits, _ and -, with single dots between its parts."
        raise InvalidInput(message, field="key", hint="such as slack.retry_seconds or OPENAI_API_KEY")
    return key


def check_prefix(prefix: str | None) -> str | None:
    """Return what keys begin with; raises InvalidInput for what none can begin with."""
    if prefix is not None:
        check_key(prefix.removesuffix("."))
    return prefix


def check_about(category: str | None, description: str | None) -> None:
    """Raise InvalidInput for an empty category, or for one or a description that is too long."""
    if category is not None and not 1 <= len(check_text(category, "category").strip()) <= LONGEST_CATEGORY:
        message = f"A category has 1 to {LONGEST_CATEGORY} characters."
        raise InvalidInput(message, field="category", hint="such as slack")
    if description is not None and len(check_text(description, "description")) > LONGEST_DESCRIPTION:
        message = f"A description has at most {LONGEST_DESCRIPTION:,} characters."
        raise InvalidInput(message, field="description")


def check_version(version: Any, field: str, least: int) -> int:
    """Return a version; raises InvalidInput for what is none."""
    if type(version) is not int or not least <= version < 2**63:
        message = f"A version is a whole number of at least {least}."
        raise InvalidInput(message, field=field)
    return version


def given(value: object) -> Secret[Any]:
    """Return what the caller gave, which may itself be hidden, behind what hides it from tracebacks."""
    if isinstance(value, Concealed):
        return Secret(value.get_secret_value())
    return value if isinstance(value, Secret) else Secret(value)


def check_value(
    value: Secret[Any], *, is_sensitive: bool | None, field: str = "value"
) -> tuple[SecretStr, bool | None]:
    """Return a value's JSON, hidden, and whether it is to be sealed, None where nobody said so; see `given`.

    Raises:
        InvalidInput: it is no JSON, too long or nested too deeply; or it was given hidden and is to be stored in clear.
    """
    is_marked = isinstance(value.get_secret_value(), Secret | SecretStr | SecretBytes)
    if is_marked and is_sensitive is False:
        message = "The value is hidden and was to be stored in clear."
        raise InvalidInput(message, field=field, hint="give its get_secret_value(), or leave is_sensitive out")
    fault, text = _written(value, field)
    if text is None:
        raise fault
    return text, True if is_marked else is_sensitive


def read(text: str) -> Any:
    """Return the value that was written as JSON.

    Raises:
        InvalidInput: somebody stored what is none, past our calls.
    """
    with suppress(orjson.JSONDecodeError):  # which holds the text
        return orjson.loads(text)
    message = "What is stored is no JSON, so no call of ours has stored it."
    raise InvalidInput(message, field="value", hint="set it anew, or roll it back to a version before")


def hidden_json(opened: Hidden) -> SecretStr:
    """Return a value's JSON as it was sealed; raises SealBroken where bytes are."""
    if isinstance(opened, SecretStr):
        return opened
    message = "Bytes are sealed where the text of a configuration should be"
    raise SealBroken(message)


def read_hidden(text: SecretStr) -> SecretStr | Secret[Any]:
    """Return a sensitive value: text as SecretStr, anything else as Secret."""
    value = Secret(read(text.get_secret_value()))
    return SecretStr(value.get_secret_value()) if isinstance(value.get_secret_value(), str) else value


def differences(old: Any, new: Any, path: str = "$") -> Iterator[ConfigDifference]:
    """Yield the places at which two values differ, in the order of their keys; 1, 1.0 and True are three values."""
    if type(old) is dict and type(new) is dict:
        for key in sorted({*old, *new}):
            below = f"{path}.{key}" if _PLAIN.fullmatch(key) else f"{path}[{key!r}]"
            yield from _between(old, new, key, below)
    elif type(old) is list and type(new) is list:
        here, there = dict(enumerate(old)), dict(enumerate(new))
        for index in range(max(len(old), len(new))):
            yield from _between(here, there, index, f"{path}[{index}]")
    elif type(old) is not type(new) or old != new:
        yield ConfigDifference(path, "changed", old, new)


def _between(old: Mapping[Any, Any], new: Mapping[Any, Any], key: Any, path: str) -> Iterator[ConfigDifference]:
    if key not in old:
        yield ConfigDifference(path, "added", new=new[key])
    elif key not in new:
        yield ConfigDifference(path, "removed", old=old[key])
    else:
        yield from differences(old[key], new[key], path)


def _written(value: object, field: str) -> tuple[InvalidInput, SecretStr | None]:
    """Return a value's JSON or what is wrong with it: an error that is raised here would hold the value in its frames.

    The keys of what it holds are in order, so equal values are equal texts; 1.0 stays 1.0, which RFC 8785 makes 1.
    """
    while isinstance(value, Secret | SecretStr | SecretBytes):
        value = value.get_secret_value()
    path, fault = next(_faults(value, "$", DEEPEST), ("", ""))
    if fault:
        return InvalidInput(fault, field=field if path == "$" else f"{field} {path}"), None
    text = orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    if len(text.encode()) > LONGEST:
        message = f"A value has at most {LONGEST:,} bytes as JSON."
        return InvalidInput(message, field=field, hint="store files elsewhere, and their name here"), None
    return InvalidInput(), SecretStr(text)


def _faults(value: object, path: str, depth: int) -> Iterator[tuple[str, str]]:
    """Yield the path of what cannot be stored and what is wrong with it, from the outside inwards."""
    if depth < 0:
        yield path, f"A value is nested {DEEPEST} deep at most, and does not contain itself"
    elif type(value) is list:
        for index, element in enumerate(value):
            yield from _faults(element, f"{path}[{index}]", depth - 1)
    elif type(value) is dict:
        for key, element in value.items():
            if type(key) is not str or _is_unstorable(key):
                yield path, "A key in JSON is text, without NUL and lone surrogates"
                return
            yield from _faults(element, f"{path}.{key}" if _PLAIN.fullmatch(key) else f"{path}[{key!r}]", depth - 1)
    elif fault := _scalar_fault(value):
        yield path, fault


def _scalar_fault(value: object) -> str | None:
    if type(value) not in _SCALARS:
        return f"JSON has no {type(value).__name__}: convert it first"
    if type(value) is int and not -(2**63) <= value < 2**63:
        return "A whole number has 64 bits: keep a longer one as text"
    if type(value) is float and not math.isfinite(value):
        return "JSON has no NaN and no infinity: leave the value out, or use null"
    if type(value) is str and _is_unstorable(value):
        return "Text cannot be stored with NUL or a lone surrogate in it"
    return None


def _is_unstorable(text: str) -> bool:
    return _UNSTORABLE.search(text) is not None
