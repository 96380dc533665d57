"""Whose data a call reaches."""

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose data a slice reaches: one tenant's, the fleet's directory, or nobody's."""

    tenant_id: UUID | None = None
    tenant_name: str | None = None
    fleet: bool = False


FLEET = Scope(fleet=True)
NOBODY = Scope()
