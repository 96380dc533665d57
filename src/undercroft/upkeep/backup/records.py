"""What backups are told by: manifests, progress and reports."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal
from uuid import UUID

Kind = Literal["sqlite", "postgresql", "rows"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupTable:
    """One table of a backup: its rows, and a checksum of them that does not depend on their order."""

    name: str
    rows: int
    checksum: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupPart:
    """One part of the file: its bytes as stored (compressed, maybe encrypted) and as they were before."""

    name: str
    stored_bytes: int
    stored_sha256: str
    raw_bytes: int
    raw_sha256: str
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """The manifest of a backup: what is in it, of which database, and when it was made.

    ``database`` tells which database it is of, by address and birth. ``kind`` is ``sqlite`` (the file), ``postgresql``
    (an archive of pg_dump) or ``rows`` (our portable form). ``partial`` tells that only the listed tables are in it.
    """

    format: Literal[1] = 1
    kind: Kind
    made_at: datetime
    library: str
    revision: str
    engine: str
    database: str
    tenant: str | None = None
    tenant_id: UUID | None = None
    partial: bool = False
    authenticated: bool
    encrypted: bool
    key: str | None = None
    server: str = ""
    tool: str = ""
    extensions: tuple[str, ...] = ()
    tables: tuple[BackupTable, ...] = ()
    parts: tuple[BackupPart, ...] = ()

    @property
    def rows(self) -> int:
        """The rows of all tables."""
        return sum(table.rows for table in self.tables)


@dataclass(frozen=True, slots=True)
class BackupProgress:
    """How far the work has come: ``total`` is 0 where nobody knows it beforehand."""

    stage: Literal["copying", "checking", "restoring"]
    done: int
    total: int


Progress = Callable[[BackupProgress], object]


@dataclass(frozen=True, slots=True)
class BackupFile:
    """A file in a folder of backups; ``backup`` is None where ``problem`` says why it is none to be trusted."""

    path: Path
    bytes: int
    backup: Backup | None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Rotation:
    """What a rotation kept, removed, and left alone because it is no verified backup of this database."""

    kept: list[Path] = field(default_factory=list)
    removed: list[Path] = field(default_factory=list)
    left: list[BackupFile] = field(default_factory=list)
