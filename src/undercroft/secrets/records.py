"""What the secrets slice answers with."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class StoredSecret:
    """What may be known of a secret without opening it; ``version`` counts how often it was set."""

    name: str
    version: int
    created_at: datetime
    updated_at: datetime
    updated_by: str | None
