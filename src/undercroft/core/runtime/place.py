"""What a runner is told of its database: where it is, what is known of it unasked, and the history of its schema."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import Connection


class History(Protocol):
    """The schema's history, handed in by the store: the core runs migrations and knows none."""

    @property
    def head(self) -> str:
        """The newest revision."""

    def check(self, connection: Connection) -> None:
        """Raise SchemaMissing, SchemaOutdated or SchemaTooNew where the schema is not the one of this library."""

    def current(self, connection: Connection) -> str | None:
        """Tell the schema's revision."""

    def upgrade(self, connection: Connection, revision: str = "head") -> None:
        """Bring the schema to a revision, in one transaction."""


@dataclass(frozen=True, slots=True)
class Facts:
    """A store's database as its settings and runner know it; the address carries no password, ``pool`` counts.

    ``pooled`` tells that the settings name a pooler in transaction mode, ``relayed`` that there is some pooler.
    The last two are settings.
    """

    engine: str
    address: str
    head: str
    pool: dict[str, int]
    pooled: bool = False
    relayed: bool = False
    cache_ttl_seconds: int = 3600
    max_cache_entries: int = 1000


class Place(Protocol):
    """Where a database is, whatever the colour: a server or a file."""

    def migrate(self, revision: str = "head") -> None:
        """Bring the schema to a revision."""

    def administer(self, work: Callable[[Connection], Any]) -> Any:
        """Run work as the login of the migrations, each statement its own transaction."""
