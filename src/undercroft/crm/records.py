"""What the crm slice answers with."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Connection:
    """A way into a CRM; ``credentials`` names where its secret lies and is empty once it is disconnected."""

    id: UUID
    provider: str
    name: str
    credentials: str = field(repr=False)
    is_default: bool
    settings: Mapping[str, Any]
    connected_by: str | None
    connected_at: datetime
    updated_at: datetime
    disconnected_at: datetime | None


@dataclass(frozen=True, slots=True)
class AccountMapping:
    """The CRM's account of those who write from a domain, or from one whole address.

    Until somebody has ``verified`` it, it is a suggestion.
    """

    connection_id: UUID
    email_domain: str
    account_id: str
    account_name: str
    verified: bool
    mapped_by: str | None
    created_at: datetime
    updated_at: datetime
