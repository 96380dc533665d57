"""What the config slice answers with."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

Change = Literal["set", "delete", "rollback"]


@dataclass(frozen=True, slots=True)
class ConfigEntry:
    """A configuration; ``value`` is None where it is sensitive, which only ``config.get`` tells, hidden."""

    key: str
    value: Any
    version: int
    category: str
    description: str
    is_sensitive: bool
    created_at: datetime
    updated_at: datetime
    updated_by: str | None


@dataclass(frozen=True, slots=True)
class ConfigVersion:
    """What a configuration was changed to, when, and by whom; ``value`` is None where it is sensitive or deleted.

    ``rolled_back_to`` is the version whose value a rollback brought back.
    """

    key: str
    version: int
    change: Change
    rolled_back_to: int | None
    value: Any
    category: str
    description: str
    is_sensitive: bool
    at: datetime
    by: str | None


@dataclass(frozen=True, slots=True)
class ConfigDifference:
    """One place at which two versions differ.

    ``path`` is ``$`` for the whole value, ``$.retries[0]`` for a part of it, else ``category``, ``description`` or
    ``is_sensitive``.
    """

    path: str
    kind: Literal["added", "removed", "changed"]
    old: Any = None
    new: Any = None


@dataclass(frozen=True, slots=True)
class ConfigDiff:
    """How two versions differ; of a sensitive value it tells whether it changed, and neither value."""

    key: str
    old: int
    new: int
    is_sensitive: bool
    differences: Sequence[ConfigDifference]
