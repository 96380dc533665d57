"""Whose data a call reaches."""

from dataclasses import dataclass, replace
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose data a slice reaches: one tenant's, the fleet's directory, or nobody's.

    Under an ``idempotency_key`` each write is done once, however often it is called. A read may miss what was committed
    in the last ``stale`` seconds, and so may come from a replica.
    """

    tenant_id: UUID | None = None
    tenant_name: str | None = None
    fleet: bool = False
    idempotency_key: str | None = None
    stale: float | None = None

    @property
    def fresh(self) -> "Scope":
        """The same without permission to miss anything."""
        return self if self.stale is None else replace(self, stale=None)


FLEET = Scope(fleet=True)
NOBODY = Scope()
