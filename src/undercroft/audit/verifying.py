"""Verifying a trail in its database, a page at a time."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from sqlalchemy import and_, bindparam, func, select

from undercroft.audit.chain import Chain
from undercroft.audit.checkpoints import (
    Checkpoint,
    is_signed,
    parse,
    read_checkpoints,
    read_private,
    read_public,
    sign,
)
from undercroft.audit.models import AuditArchive, AuditEvent as Row, AuditLink, AuditPending
from undercroft.audit.records import AuditReport, Damage
from undercroft.audit.rules import NO_HASH, moment
from undercroft.audit.sealing import seal
from undercroft.core.operation import operation
from undercroft.core.runtime.base import Ports
from undercroft.core.schema import any_of, uuid_bytes
from undercroft.core.tx import Tx
from undercroft.errors import InvalidInput

PAGE = 2000
"""Links that are read at once."""

_COLUMNS = (
    *("event_type", "category", "action", "status", "description", "actor", "resource_type", "resource_id", "ip"),
    *("user_agent", "data"),
)
_LINKS = (
    select(
        AuditLink.sequence,
        uuid_bytes(AuditLink.event_id),
        AuditLink.event_hash,
        AuditLink.previous,
        AuditLink.hash,
    )
    .where(
        AuditLink.tenant_id == bindparam("tenant_id"),
        AuditLink.sequence > bindparam("after"),
        AuditLink.sequence <= bindparam("until"),
    )
    .order_by(AuditLink.sequence)
    .limit(bindparam("limit"))
    .execution_options(binary=True)
)
# Events have nearly the order of their links, so those of a page lie side by side in the primary key. A join would look
# each up for itself, in the wrong index where the server has no statistics yet.
_EVENTS = (
    select(uuid_bytes(Row.id), Row.canonical)
    .where(Row.tenant_id == bindparam("tenant_id"), Row.id >= bindparam("low"), Row.id <= bindparam("high"))
    .order_by(Row.id)
    .limit(bindparam("limit"))
    .execution_options(binary=True)
)
_REST = select(uuid_bytes(Row.id), Row.canonical).where(Row.tenant_id == bindparam("tenant_id"), any_of(Row.id, "ids"))
_SAID = (*(getattr(Row, name) for name in _COLUMNS), Row.occurred_at, Row.event_hash, Row.actor_id)
_EVENTS_SAID, _REST_SAID = _EVENTS.add_columns(*_SAID), _REST.add_columns(*_SAID)


def _of_tenant(model: Any, *columns: Any) -> Any:
    return select(*columns).select_from(model).where(model.tenant_id == bindparam("tenant_id"))


def _last(model: Any, column: Any) -> Any:
    return _of_tenant(model, column).order_by(model.sequence.desc()).limit(1).scalar_subquery()


_HASH = _of_tenant(AuditLink, AuditLink.hash).where(AuditLink.sequence == bindparam("sequence"))
_ENDS = select(
    func.coalesce(_last(AuditArchive, AuditArchive.sequence), 0),
    _last(AuditArchive, AuditArchive.hash),
    _last(AuditArchive, AuditArchive.checkpoint),
    func.coalesce(_last(AuditLink, AuditLink.sequence), 0),
    _last(AuditLink, AuditLink.hash),
)
_COUNTS = select(
    *(_of_tenant(model, func.count()).scalar_subquery() for model in (Row, AuditLink, AuditPending)),
)
# Joins and not NOT IN: either engine makes one pass of them.
_UNLINKED = (
    select(Row.id)
    .select_from(
        Row.__table__.outerjoin(
            AuditLink.__table__, and_(AuditLink.tenant_id == Row.tenant_id, AuditLink.event_id == Row.id)
        ).outerjoin(
            AuditPending.__table__, and_(AuditPending.tenant_id == Row.tenant_id, AuditPending.event_id == Row.id)
        )
    )
    .where(Row.tenant_id == bindparam("tenant_id"), AuditLink.event_id.is_(None), AuditPending.event_id.is_(None))
    .order_by(Row.id)
    .limit(1)
)
_TWICE = (
    select(func.max(AuditLink.sequence), AuditLink.event_id)
    .where(AuditLink.tenant_id == bindparam("tenant_id"))
    .group_by(AuditLink.event_id)
    .having(func.count() > 1)
    .order_by(func.max(AuditLink.sequence))
    .limit(1)
)


class Ends(NamedTuple):
    """Where what the database holds of a chain begins and ends."""

    tenant_id: UUID
    anchor: int
    anchor_hash: bytes
    anchor_proof: str | None
    last: int
    last_hash: bytes


def verify(
    ports: Ports,
    *,
    checkpoints: Iterable[Checkpoint | str | bytes] = (),
    since: Checkpoint | str | bytes | None = None,
    public_keys: Iterable[str | bytes] = (),
    columns: bool = True,
) -> AuditReport:
    """Verify the trail: every link and event, and that nothing stands beside them.

    Events that wait for their place are sealed first. Only ``checkpoints`` that were kept elsewhere tell of a trail
    that was rewritten as a whole, or put back to an older state. With ``since`` verification begins at that one.
    Signatures are verified with ``public_keys`` (PEM); without any a checkpoint is trusted as it was given, and the end
    of an archive is verified with the public half of ``audit_key_file``. Without
    ``columns`` only the hashed bytes are verified, which is faster, and not that the columns say the same.

    Raises:
        InvalidInput: a checkpoint or key that is none, or a checkpoint that none of the keys has signed.
    """
    pems = list(public_keys)
    kept = read_checkpoints([*checkpoints, *([] if since is None else [since])], pems)
    start = None if since is None else parse(since)
    seal(ports)
    while True:
        ends: Ends = ports.run(_READ_ENDS)
        report = _verified(ports, ends, kept, start, columns=columns)
        if report.damage is None and not _is_proven(ports, ends, pems):
            return replace(report, damage=Damage("foreign", ends.anchor))
        if report.damage is None or ports.run(_READ_ENDS).anchor == ends.anchor:  # else it was archived meanwhile
            return report


def checkpoint(ports: Ports) -> Checkpoint:
    """Sign how far the trail has come, with the key of the setting ``audit_key_file``; keep ``str()`` of it elsewhere.

    Raises:
        ConfigurationError: there is no such key.
        InvalidInput: the trail is empty.
    """
    key = read_private(ports.facts.audit_key_file)
    seal(ports)
    ends, now = ports.run(_READ_ENDS_NOW)
    if not ends.last:
        raise InvalidInput("There is nothing in the trail yet", field="tenant", hint="log an event first")
    return sign(key, tenant=ends.tenant_id, sequence=ends.last, hash_=ends.last_hash, at=now)


def _verified(
    ports: Ports, ends: Ends, kept: Sequence[Checkpoint], since: Checkpoint | None, *, columns: bool
) -> AuditReport:
    start = (ends.anchor, ends.anchor_hash)
    if since is not None and since.sequence > ends.anchor:
        start = (since.sequence, since.hash)
    compared = {one.sequence: one.hash for one in kept if one.sequence >= ends.anchor}
    first = start[0] + 1
    damage = next((Damage("foreign", one.sequence) for one in kept if one.tenant != ends.tenant_id), None)
    found = ends.anchor_hash if start[0] == ends.anchor else ports.run(_READ_HASH, start[0])
    if found is None:
        damage = damage or Damage("truncated", ends.last + 1, until=start[0])
    elif compared.pop(start[0], found) != found:
        damage = damage or Damage("rewritten", min(ends.anchor + 1, start[0]), until=start[0])
    chain = Chain(ends.tenant_id, start, compared)
    chain.damage = damage
    while chain.damage is None:
        entries, edited = ports.run(READ, chain.sequence, ends.last, columns=columns)
        _feed(chain, entries, edited)
        if len(entries) < PAGE:
            break
    damage = chain.finish() or ports.run(_READ_STRAYS)
    return AuditReport(
        verified=chain.verified,
        first=first,
        last=chain.sequence,
        head=chain.hash,
        anchor=ends.anchor,
        checkpoints=sum(one.sequence >= ends.anchor for one in kept),
        damage=damage,
    )


def _is_proven(ports: Ports, ends: Ends, pems: Sequence[str | bytes]) -> bool:
    """Tell whether the anchor is what was signed when its archive was made, where there is a key to tell by."""
    own = ports.facts.audit_key_file
    if not ends.anchor or not (pems or own):
        return True
    keys = [read_public(pem) for pem in pems] or [read_private(own).public_key()]
    try:
        proof = parse(ends.anchor_proof or "")
    except InvalidInput:
        return False
    here = (ends.tenant_id, ends.anchor, ends.anchor_hash)
    return (proof.tenant, proof.sequence, proof.hash) == here and is_signed(proof, keys)


def _feed(chain: Chain, entries: Sequence[Any], edited: int | None) -> None:
    """Verify a page; ``edited`` is the place in it of an event whose columns say something else than its bytes."""
    if edited is None:
        chain.feed(entries)
    elif chain.feed(entries[:edited]):
        sequence, event_id, *_ = entries[edited]
        chain.feed(entries[edited:])
        if chain.damage is None or chain.damage.sequence != sequence:
            chain.damage = Damage("edited", sequence, event_id=UUID(bytes=event_id))


def _read(tx: Tx, after: int, until: int, *, columns: bool) -> tuple[Sequence[Any], int | None]:
    """Read a page of links with the bytes of their events, and find the first event whose columns differ."""
    links = tx.rows(_LINKS, {"after": after, "until": until, "limit": PAGE})
    if not links:
        return links, None
    events = _events(tx, [link[1] for link in links], columns=columns)
    entries = [(*link, events[link[1]][1] if link[1] in events else None) for link in links]
    if not columns:
        return entries, None
    edited = (n for n, link in enumerate(links) if link[1] in events and not _agree(link[2], events[link[1]]))
    return entries, next(edited, None)


def _events(tx: Tx, ids: Sequence[bytes], *, columns: bool) -> dict[bytes, Any]:
    beside, rest = (_EVENTS_SAID, _REST_SAID) if columns else (_EVENTS, _REST)
    most = 2 * PAGE
    found = tx.rows(beside, {"low": UUID(bytes=min(ids)), "high": UUID(bytes=max(ids)), "limit": most})
    events = {row[0]: row for row in found}
    if len(found) == most and (missing := [UUID(bytes=id_) for id_ in ids if id_ not in events]):
        events |= {row[0]: row for row in tx.rows(rest, {"ids": missing})}
    return events


def _agree(linked: bytes, event: Sequence[Any]) -> bool:
    """Tell whether an event's columns say what its bytes say."""
    _, written, *columns, at, hashed, actor_id = event
    try:
        told = orjson.loads(written)
        said, moment_said = [told.get(name) for name in _COLUMNS], told["occurred_at"]
    except (ValueError, AttributeError, KeyError):
        return False
    return said == columns and moment_said == moment(at) and hashed == linked and actor_id is None


def read_hash(tx: Tx, sequence: int) -> bytes | None:
    """Read the hash of a link."""
    found: bytes | None = tx.value(_HASH, {"sequence": sequence})
    return found


def read_ends(tx: Tx) -> Ends:
    """Read where the chain begins and ends."""
    [(anchor, anchor_hash, proof, last, last_hash)] = tx.rows(_ENDS)
    first = NO_HASH if anchor_hash is None else anchor_hash
    return Ends(tx.tenant_id, anchor, first, proof, max(anchor, last), first if last_hash is None else last_hash)


def _ends_now(tx: Tx) -> tuple[Ends, Any]:
    return read_ends(tx), tx.now


def _strays(tx: Tx) -> Damage | None:
    """Look for events without a place and links without an event of their own."""
    events, links, pending = tx.rows(_COUNTS)[0]
    if events == links + pending:
        return None
    if (unlinked := tx.value(_UNLINKED)) is not None:
        return Damage("inserted", None, event_id=unlinked)
    twice = tx.row(_TWICE)
    return None if twice is None else Damage("inserted", twice[0], event_id=twice[1])


_READ_ENDS = operation(read_ends, access="read")
_READ_ENDS_NOW = operation(_ends_now, access="read")
_READ_STRAYS = operation(_strays, access="read")
_READ_HASH = operation(read_hash, access="read")
READ = operation(_read, access="read")
