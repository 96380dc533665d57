"""How a setting is declared: its line in the reference, and spellings that mean the same."""

from typing import Any

from pydantic import BeforeValidator, Field
from pydantic.config import JsonDict


def setting(
    group: str, description: str, *aliases: str, default: object, shown: str | None = None, **limits: Any
) -> Any:
    """Declare a setting; `shown` stands in the reference in place of the default."""
    about: JsonDict = {"group": group, "aliases": list(aliases), "shown": shown}
    return Field(default, description=description, json_schema_extra=about, **limits)


def lower(value: object) -> object:
    """Return a word in small letters, anything else as it is."""
    return value.strip().lower() if isinstance(value, str) else value


def _upper(value: object) -> object:
    return value.strip().upper() if isinstance(value, str) else value


LOWER = BeforeValidator(lower)
UPPER = BeforeValidator(_upper)
