"""What the users slice answers with."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from undercroft.users.rules import Role


@dataclass(frozen=True, slots=True)
class User:
    """Somebody, or a bot, in one tenant.

    ``native_id`` is the platform's own id, verbatim; ``is_stub`` tells that no user list named him, only a message.
    """

    id: UUID
    native_id: str
    name: str
    display_name: str
    real_name: str
    email: str | None
    role: Role
    is_bot: bool
    is_stub: bool
    timezone: str | None
    preferences: Mapping[str, Any]
    profile: Mapping[str, Any]
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None

    @property
    def shown_name(self) -> str:
        """The name that people read."""
        return self.display_name or self.real_name or self.name or self.native_id


@dataclass(frozen=True, slots=True)
class DatabaseMapping:
    """As whom a user asks the warehouse, and what he may ask there; ``native_id`` is the platform's id of the user."""

    native_id: str
    database_user: str
    role: str
    allowed_databases: tuple[str, ...]
    permissions: tuple[str, ...]
    created_at: datetime
    updated_at: datetime

    @property
    def rights(self) -> tuple[str, ...]:
        """What decides which rows the warehouse shows: cached results are shared by those who have the same."""
        permissions = (f"permission:{permission}" for permission in self.permissions)
        return (f"user:{self.database_user}", f"role:{self.role}", *permissions)
