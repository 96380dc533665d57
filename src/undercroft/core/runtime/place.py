"""What a runner is told of its database: where it is, what is known of it unasked, and the history of its schema."""

import re
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import Connection

from undercroft.core.runtime.listener import Listener
from undercroft.core.runtime.memory import Memory
from undercroft.core.seal.keyring import Keyring


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
class ReplicaState:
    """Whether reads go to the replica at this moment, and why not.

    ``lag_seconds``: it has everything that the primary had committed so long ago; None where nobody knows. ``answered``
    counts the reads that it has answered to this store, ``passed_on`` those that the primary was asked in its place.
    """

    address: str
    used: bool
    lag_seconds: float | None
    reason: str | None
    answered: int
    passed_on: int


class Replica(Protocol):
    """What a store knows of its replica."""

    def look(self) -> "Future[ReplicaState]":
        """Ask it once more; the future settles within the deadlines of the settings, and never fails."""


@dataclass(frozen=True, slots=True)
class Facts:
    """A store's database as its settings and runner know it; the address carries no password, ``pool`` counts.

    ``pooled`` tells that the settings name a pooler in transaction mode, ``relayed`` that there is some pooler.
    Of the four after it the third is the replica, the others are settings.
    """

    engine: str
    address: str
    head: str
    pool: dict[str, int]
    pooled: bool = False
    relayed: bool = False
    cache_ttl_seconds: int = 3600
    max_cache_entries: int = 1000
    replica: Replica | None = None
    audit_key_file: str | None = None


class Place(Protocol):
    """Where a database is, whatever the colour: a server or a file; and the keys of the store.

    ``sensitive`` are the names whose values the audit trail never holds, beside those that it knows itself.
    """

    keys: Keyring
    sensitive: frozenset[str]
    memory: Memory
    listener: Listener

    def migrate(self, revision: str = "head") -> None:
        """Bring the schema to a revision."""

    def administer(self, work: Callable[[Connection], Any]) -> Any:
        """Run work as the login of the migrations, each statement its own transaction."""


def names(listed: str) -> frozenset[str]:
    """Read a setting that lists names with commas between them; case, hyphens and blanks do not matter."""
    return frozenset(re.sub(r"[\s-]+", "_", name.strip().lower()) for name in listed.split(",") if name.strip())
