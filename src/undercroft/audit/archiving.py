"""Taking a trail out of the database: a copy for somebody, or for good, with what proves that nothing is missing."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, bindparam, func, select

from undercroft.audit import verifying
from undercroft.audit.chain import Entry
from undercroft.audit.checkpoints import Checkpoint, read_private, sign
from undercroft.audit.files import Part, verify_audit_files, write
from undercroft.audit.models import AuditLink
from undercroft.audit.records import AuditArchived, AuditExport
from undercroft.audit.rules import NO_HASH
from undercroft.audit.sealing import seal
from undercroft.core import ids
from undercroft.core.clock import micros, require_aware
from undercroft.core.operation import operation
from undercroft.core.runtime.base import Ports
from undercroft.core.tx import Tx
from undercroft.errors import AuditDamaged, InvalidInput, PermissionDenied

KEPT_DAYS = 730
"""Two years."""

_SPAN = select(func.min(AuditLink.sequence), func.max(AuditLink.sequence)).where(
    AuditLink.tenant_id == bindparam("tenant_id")
)
_SINCE = _SPAN.where(AuditLink.event_id >= bindparam("since"))
_UNTIL = _SPAN.where(AuditLink.event_id < bindparam("until"))


def export(
    ports: Ports, path: str | Path, *, since: datetime | None = None, until: datetime | None = None
) -> AuditExport:
    """Write the trail, or what of it is of a period, into a new file that is verified without us or the database.

    Events stand in the order of the chain. The file holds every event of the period, and those between them.

    Raises:
        InvalidInput: nothing is of that period, or the file cannot be written.
        AuditDamaged: an event is missing in the database.
    """
    seal(ports)
    first, last = ports.run(
        _READ_SPAN,
        None if since is None else require_aware(since, "since"),
        None if until is None else require_aware(until, "until"),
    )
    if first is None or last is None or first > last:
        raise InvalidInput("The trail has no event of that time", field="since", hint="choose a longer period")
    return _written(ports, Path(path), first, last)


def archive(ports: Ports, directory: str | Path, *, days: float = KEPT_DAYS) -> AuditArchived | None:
    """Move events older than ``days`` into a new file of a directory and return what was moved, None for nothing.

    First the whole trail is verified. The file is on the disk and verified from there before anything is removed, which
    the login of ``migrate_url`` does: the application has no right to. A signed checkpoint of the end of what was moved
    lies beside the file, and stays in the database as the anchor at which verification of what remains begins. The
    newest event always remains.

    Raises:
        AuditDamaged: the trail is not intact; nothing was moved.
        ConfigurationError: there is no key to sign with, ``audit_key_file``.
        InvalidInput: ``days`` is negative, or the file cannot be written.
        PermissionDenied: the login of the migrations may not act as undercroft_owner.
    """
    if days < 0:
        raise InvalidInput("A time to keep is not negative", field="days", hint=f"{KEPT_DAYS} days are two years")
    key = read_private(ports.facts.audit_key_file)
    report = verifying.verify(ports)
    if report.damage is not None:
        raise AuditDamaged(damage=report.damage)
    tenant, upto, hash_, now = ports.run(_READ_BOUNDARY, days, report.last)
    first = report.anchor + 1
    if upto < first:
        return None
    path = Path(directory) / f"audit-{tenant}-{first:012}-{upto:012}.jsonl"
    written = _written(ports, path, first, upto)
    signed = sign(key, tenant=tenant, sequence=upto, hash_=hash_, at=now)
    beside = path.with_suffix(".checkpoint.json")
    beside.write_text(f"{signed}\n", encoding="utf-8")
    proof = verify_audit_files([path], [signed])
    if proof.damage is not None or proof.last != upto:
        raise AuditDamaged(damage=proof.damage)
    removed = _Removal(tenant.bytes, written, hash_, signed)
    try:
        ports.administer(_ENGINES[ports.facts.engine](removed))
    except (AuditDamaged, PermissionDenied):  # nothing was removed; of a lost answer nobody knows, and the file stays
        path.unlink()
        beside.unlink()
        raise
    return AuditArchived(written.path, str(beside), first, upto, written.events)


class _Removal:
    """What is removed, as both engines ask for it."""

    def __init__(self, tenant: bytes, written: AuditExport, hash_: bytes, signed: Checkpoint) -> None:
        self.tenant = tenant
        self.written = written
        self.hash = hash_
        self.signed = signed


def _on_server(removal: _Removal) -> Callable[[Connection], None]:
    def work(connection: Connection) -> None:
        if not connection.exec_driver_sql("SELECT pg_has_role('undercroft_owner', 'MEMBER')").scalar():
            message = "Only undercroft_owner may remove what was archived"
            raise PermissionDenied(message, hint="set UNDERCROFT_MIGRATE_URL to the login of the migrations")
        connection.exec_driver_sql("SET ROLE undercroft_owner")
        written, signed = removal.written, removal.signed
        connection.exec_driver_sql(
            "SELECT undercroft.archive_audit(%s, %s, %s, %s, %s, %s, %s)",
            (signed.tenant, written.last, removal.hash, written.events, written.path, written.sha256, str(signed)),
        )

    return work


def _in_file(removal: _Removal) -> Callable[[Connection], None]:
    def work(connection: Connection) -> None:
        driver: Any = connection.connection.driver_connection
        driver.execute("BEGIN IMMEDIATE")
        try:
            if not _is_removed(driver, removal):
                driver.execute("ROLLBACK")
                raise AuditDamaged
            driver.execute("COMMIT")
        finally:
            if driver.in_transaction:
                driver.execute("ROLLBACK")

    return work


def _is_removed(driver: Any, removal: _Removal) -> bool:
    written, here = removal.written, (removal.tenant, removal.written.last)
    found = driver.execute("SELECT hash FROM audit_links WHERE tenant_id = ? AND sequence = ?", here).fetchone()
    removed = driver.execute(
        "DELETE FROM audit_events WHERE tenant_id = ? AND id IN ("
        "SELECT event_id FROM audit_links WHERE tenant_id = ? AND sequence <= ?)",
        (removal.tenant, *here),
    ).rowcount
    driver.execute("DELETE FROM audit_links WHERE tenant_id = ? AND sequence <= ?", here)
    told = written.events, written.path, written.sha256, str(removal.signed)
    driver.execute(
        "INSERT INTO audit_archives (tenant_id, sequence, hash, events, file, file_hash, checkpoint, archived_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (*here, removal.hash, *told, micros(removal.signed.at)),
    )
    return found is not None and found[0] == removal.hash and removed == written.events


_ENGINES: dict[str, Callable[[_Removal], Callable[[Connection], None]]] = {
    "postgresql": _on_server,
    "sqlite": _in_file,
}


def _written(ports: Ports, path: Path, first: int, last: int) -> AuditExport:
    tenant, previous = ports.run(_READ_BEFORE, first)
    return write(path, Part(tenant, first, previous), _pages(ports, first - 1, last))


def _pages(ports: Ports, after: int, last: int) -> Iterator[Sequence[Entry]]:
    while after < last:
        rows, _ = ports.run(verifying.READ, after, last, columns=False)
        page = [Entry(*row) for row in rows]
        if not page or any(entry.event is None for entry in page):
            raise AuditDamaged
        yield page
        after = page[-1].sequence


def _span(tx: Tx, since: datetime | None, until: datetime | None) -> tuple[int | None, int | None]:
    first = tx.rows(_SPAN if since is None else _SINCE, {"since": since and ids.floor(since)})[0][0]
    last = tx.rows(_SPAN if until is None else _UNTIL, {"until": until and ids.floor(until)})[0][1]
    return first, last


def _before(tx: Tx, first: int) -> tuple[Any, bytes]:
    ends = verifying.read_ends(tx)
    before = ends.anchor_hash if first == ends.anchor + 1 else verifying.read_hash(tx, first - 1)
    return ends.tenant_id, NO_HASH if before is None else before


def _boundary(tx: Tx, days: float, last: int) -> tuple[Any, int, bytes, datetime]:
    """Find the last link before the first one that is young enough to stay."""
    young = tx.rows(_SINCE, {"since": ids.floor(tx.now - timedelta(days=days))})[0][0]
    upto = min(last - 1, last if young is None else young - 1)
    return tx.tenant_id, upto, verifying.read_hash(tx, upto) or NO_HASH, tx.now


_READ_SPAN = operation(_span, access="read")
_READ_BEFORE = operation(_before, access="read")
_READ_BOUNDARY = operation(_boundary, access="read")
