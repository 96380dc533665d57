"""Values of a type, as a kind and a text: what comes back is of exactly the type that went in.

The text is what people would write, so that SQL of an operator's own reads it too. It is no JSONB, which knows neither
-0.0 nor the order of keys, and makes whole numbers of large floats.
"""

import json
import math
from datetime import UTC, datetime
from typing import Any, Final, Literal, TypeAlias, get_args

from undercroft.core.canonical import check_text
from undercroft.core.clock import require_aware
from undercroft.errors import InvalidInput

Kind = Literal["bool", "int", "float", "str", "json", "datetime"]
Value: TypeAlias = bool | int | float | str | datetime | list[Any] | dict[str, Any] | None
"""What may be stored; lists, dicts and None are JSON, all the way down."""

KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
LONGEST = 65_536
"""Characters of a value's text: room for a prompt or a table of rules, not for files."""
LONGEST_NAME = 200
DEEPEST = 100
MOST_DIGITS = 640
"""Of an integer: what Python reads and writes whatever limit a program has set for itself."""
_BOUND = 10**MOST_DIGITS
_PLAIN = "use bool, int, float, str, an aware datetime, or lists and dicts of them (but for datetimes)"


def check_name(name: Any, field: str = "name") -> str:
    """Return a name; raises InvalidInput for an empty one, or one of more than 200 characters."""
    if not 1 <= len(check_text(name, field)) <= LONGEST_NAME:
        message = f"A {field} has 1 to {LONGEST_NAME} characters."
        raise InvalidInput(message, field=field)
    return str(name)


def encoded(value: Any, field: str = "value") -> tuple[Kind, str]:
    """Return the kind of a value and its text.

    Raises:
        InvalidInput: another type, NaN or an infinity, a naive datetime, NUL or a lone surrogate, more than 65,536
            characters, 640 digits or 100 levels; ``field`` or the path below it names where.
    """
    if isinstance(value, datetime):
        return "datetime", require_aware(value, field).isoformat()
    if type(value) is bool:
        told: tuple[Kind, str] = "bool", "true" if value else "false"
    elif type(value) is int:
        told = "int", str(_checked_int(value, field))
    elif type(value) is float:
        told = "float", repr(_checked_float(value, field))
    elif type(value) is str:
        told = "str", check_text(value, field)
    else:
        _check_json(value, field, 0)
        told = "json", json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    if len(told[1]) > LONGEST:
        message = f"A value has at most {LONGEST:,} characters."
        raise InvalidInput(message, field=field, hint="store what is larger elsewhere, and its address here")
    return told


def decoded(kind: str, text: str) -> Any:
    """Return the value that was encoded.

    Raises:
        InvalidInput: it was written past our calls, and is nothing of its kind.
    """
    try:
        match kind:
            case "str":
                return text
            case "bool":
                return {"true": True, "false": False}[text]
            case "int":
                return int(text)
            case "float":
                return float(text)
            case "json":
                return json.loads(text)
            case "datetime":
                return datetime.fromisoformat(text).astimezone(UTC)
    except (KeyError, ValueError, RecursionError, OverflowError):
        pass
    message = f"What is stored is no {kind}."
    raise InvalidInput(message, field="value", hint="somebody wrote it past these calls: set it again")


def _checked_int(value: int, field: str) -> int:
    if not -_BOUND < value < _BOUND:
        message = f"An integer has at most {MOST_DIGITS} digits."
        raise InvalidInput(message, field=field, hint="keep it as text")
    return value


def _checked_float(value: float, field: str) -> float:
    if not math.isfinite(value):
        message = "NaN and the infinities are no values."
        raise InvalidInput(message, field=field, hint="use None, or a number")
    return value


def _check_json(value: Any, path: str, depth: int) -> None:
    if depth > DEEPEST:
        message = f"A value is nested at most {DEEPEST} levels deep."
        raise InvalidInput(message, field=path[:LONGEST_NAME])
    if type(value) is list:
        for place, part in enumerate(value):
            _check_json(part, f"{path}[{place}]", depth + 1)
    elif type(value) is dict:
        for key, part in value.items():
            if type(key) is not str:
                message = "A key in JSON is text."
                raise InvalidInput(message, field=path)
            _check_json(part, f"{path}.{check_text(key, path)}", depth + 1)
    else:
        _check_scalar(value, path)


def _check_scalar(value: Any, path: str) -> None:
    if type(value) is int:
        _checked_int(value, path)
    elif type(value) is float:
        _checked_float(value, path)
    elif type(value) is str:
        check_text(value, path)
    elif value is not None and type(value) is not bool:
        message = f"A {type(value).__name__} would not come back as one."
        raise InvalidInput(message, field=path, hint=_PLAIN)
