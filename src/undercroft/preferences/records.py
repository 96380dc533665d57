"""What the preferences slice answers with."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from undercroft.core.values import Kind, decoded


@dataclass(frozen=True, slots=True)
class Preference:
    """What a user wants; ``user`` is the platform's id, ``text`` how the value is stored."""

    user: str
    name: str
    kind: Kind
    text: str
    updated_at: datetime

    @property
    def value(self) -> Any:
        """The value, of the type that was set."""
        return decoded(self.kind, self.text)
