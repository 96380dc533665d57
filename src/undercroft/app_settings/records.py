"""What the slice of settings answers with."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from undercroft.core.values import Kind, decoded


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting; ``text`` is how its value is stored, ``updated_by`` the platform's id of who set it last."""

    name: str
    kind: Kind
    text: str
    description: str
    created_at: datetime
    updated_at: datetime
    updated_by: str | None

    @property
    def value(self) -> Any:
        """The value, of the type that was set."""
        return decoded(self.kind, self.text)


@dataclass(frozen=True, slots=True)
class Flag:
    """For whom a feature is on; ``share`` is in per cent, None where no share is drawn."""

    name: str
    enabled: bool
    users: tuple[str, ...]
    except_users: tuple[str, ...]
    share: float | None
    description: str
    created_at: datetime
    updated_at: datetime
    updated_by: str | None
