"""Whose data a call reaches."""

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose data a slice reaches: one tenant's, the fleet's directory, or nobody's.

    Under an ``idempotency_key`` each write is done once, however often it is called.
    """

    tenant_id: UUID | None = None
    tenant_name: str | None = None
    fleet: bool = False
    idempotency_key: str | None = None


FLEET = Scope(fleet=True)
NOBODY = Scope()
