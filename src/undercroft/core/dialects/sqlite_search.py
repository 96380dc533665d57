"""Search on SQLite: an FTS5 table over rows whose order is that of the messages.

A row's number is its message's milliseconds and 15 more bits of the id, so that FTS5 finds the newest hits by walking
its rows backwards, and a period is a range of them. FTS5 takes rows in rising order only without writing out what it
gathered, so they come sorted.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Table, bindparam, text

from undercroft.core.dialects.criteria import Criteria
from undercroft.core.schema import Array, BigInt, Text, Uuid
from undercroft.core.searchtext import fts5_text
from undercroft.core.tx import Tx

_STORE = text(
    "INSERT INTO main.message_search (docid, tenant_id, message_id, tenant, body)"
    " VALUES (:docid, :tenant_id, :message, :token, :body)"
).bindparams(
    bindparam("docid", type_=BigInt()),
    bindparam("tenant_id", type_=Uuid()),
    bindparam("message", type_=Uuid()),
    bindparam("token", type_=Text()),
    bindparam("body", type_=Text()),
)
_INDEX = text(
    "INSERT INTO main.messages_fts (rowid, tenant, body) SELECT docid, tenant, body FROM main.message_search"
    " WHERE docid IN (SELECT value FROM json_each(:docids)) ORDER BY docid"
).bindparams(bindparam("docids", type_=Array(BigInt())))
_TAKEN = (
    text("SELECT docid FROM main.message_search WHERE docid IN (SELECT value FROM json_each(:docids))")
    .bindparams(bindparam("docids", type_=Array(BigInt())))
    .columns(docid=BigInt())
)
# FTS5 forgets a row only when it is told the very words that it was given.
_FORGET = (
    (
        "INSERT INTO main.messages_fts (messages_fts, rowid, tenant, body)"
        " SELECT 'delete', docid, tenant, body FROM main.message_search WHERE tenant_id = {} ORDER BY docid"
    ),
    "DELETE FROM main.message_search WHERE tenant_id = {}",
)
_MERGE = "INSERT INTO main.messages_fts (messages_fts) VALUES ('optimize')"
_THESE = ":tenant_id AND message_id IN (SELECT undercroft_uuid(value) FROM json_each(:ids))"
_FORGET_THESE = tuple(
    text(part.format(_THESE)).bindparams(bindparam("tenant_id", type_=Uuid()), bindparam("ids", type_=Array(Uuid())))
    for part in _FORGET
)
_FORGET_OLD = tuple(
    text(part.format(":tenant_id AND message_id < :before")).bindparams(
        bindparam("tenant_id", type_=Uuid()), bindparam("before", type_=Uuid())
    )
    for part in _FORGET
)

# Ranking reads the whole list of a token, so one that stands in every row only costs. Where tenants share the file, it
# keeps the neighbours' rows out of the walk.
_SHARED = """
SELECT 1 WHERE EXISTS (SELECT 1 FROM main.message_search WHERE tenant_id < ?)
OR EXISTS (SELECT 1 FROM main.message_search WHERE tenant_id > ?)
"""
_FIND = """
SELECT s.message_id, {rank}
FROM main.messages_fts AS f
CROSS JOIN main.message_search AS s ON s.docid = f.rowid{messages}
WHERE f.messages_fts MATCH ? AND s.tenant_id = ?{conditions}
ORDER BY {order} LIMIT ?
"""
_MESSAGES = "\nCROSS JOIN main.messages AS m ON m.tenant_id = s.tenant_id AND m.id = s.message_id"
_BEFORE = "f.rowid < coalesce((SELECT docid FROM main.message_search WHERE tenant_id = ? AND message_id = ?), ?)"
# The tenant's token is in every row of the answer, so it must not weigh.
_BM25 = "f.rank MATCH 'bm25(0.0, 1.0)'"


def insert_searchable(tx: Tx, messages: Table, rows: Sequence[dict[str, Any]], words: Sequence[Sequence[str]]) -> int:
    """Insert messages that are not there yet, put their words into the index, and return how many were added."""
    added = tx.insert_many(messages, rows)
    _index(tx, {row["id"]: tokens for row, tokens in zip(rows, words, strict=True)})
    return added


def reindex(tx: Tx, words: Mapping[UUID, Sequence[str]]) -> None:
    """Replace the words of messages; without words a message leaves the index."""
    for statement in _FORGET_THESE:
        tx.run(statement, {"ids": list(words)})
    _index(tx, words)


def unindex(tx: Tx, before: UUID) -> None:
    """Take messages with lower ids out of the index."""
    for statement in _FORGET_OLD:
        tx.run(statement, {"before": before})


def forget_tenant(tx: Tx, tenant_id: UUID) -> None:
    """Take all of a tenant's messages out of the index, and their words, which FTS5 else keeps until it merges them."""
    if tx.sql("SELECT 1 FROM main.message_search WHERE tenant_id = ? LIMIT 1", (tenant_id.bytes,)):
        for part in _FORGET:
            tx.sql(part.format("?"), (tenant_id.bytes,))
        tx.sql(_MERGE)


def search(tx: Tx, criteria: Criteria) -> list[tuple[UUID, float]]:
    """Return the ids of hits with their ranks, in their order."""
    tenant = tx.tenant_id
    match = f"body : ({criteria.query.fts5()})"
    if tx.sql(_SHARED, (tenant.bytes, tenant.bytes)):
        match = f'tenant : "{tenant.hex}" AND {match}'
    values: list[Any] = [match, tenant.bytes]
    conditions = [_BM25] if criteria.ranked else []
    if criteria.before is not None:
        conditions.append(_BEFORE)
        values += [tenant.bytes, criteria.before.bytes, docid(criteria.before)]
    for sign, bound in ((">=", criteria.from_id), ("<", criteria.to_id)):
        if bound is not None:
            conditions.append(f"f.rowid {sign} ?")
            values.append(docid(bound))
    of_messages = {
        "author_id": None if criteria.author is None else criteria.author.bytes,
        "channel_id": None if criteria.channel is None else criteria.channel.bytes,
        **{name: getattr(criteria, name) for name in ("has_file", "has_link", "has_reaction")},
    }
    asked = {name: value for name, value in of_messages.items() if value is not None}
    conditions += [f"m.{name} = ?" for name in asked]
    values += [*asked.values(), criteria.limit]
    sql = _FIND.format(
        rank="-f.rank" if criteria.ranked else "0.0",
        messages=_MESSAGES if asked else "",
        conditions="".join(f" AND {condition}" for condition in conditions),
        order="f.rank" if criteria.ranked else "f.rowid DESC",
    )
    return [(UUID(bytes=id_), rank) for id_, rank in tx.sql(sql, values)]


def docid(message: UUID) -> int:
    """Return where a message stands in the index: 48 bits of milliseconds, then 15 of its id, in the id's own order."""
    bits = message.int
    return (bits >> 80) << 15 | (bits >> 64 & 0xFFF) << 3 | bits >> 59 & 0b111


def _index(tx: Tx, words: Mapping[UUID, Sequence[str]]) -> None:
    placed = _places(tx, [id_ for id_, tokens in words.items() if tokens])
    if not placed:
        return
    token = tx.tenant_id.hex
    tx.run_many(
        _STORE,
        [
            {"docid": place, "message": placed[place], "token": token, "body": fts5_text(list(words[placed[place]]))}
            for place in sorted(placed)
        ],
    )
    tx.run(_INDEX, {"docids": list(placed)})


def _places(tx: Tx, messages: Sequence[UUID]) -> dict[int, UUID]:
    """Give each message its place, or the next free one: two of one millisecond share theirs once in 32,768 times."""
    placed: dict[int, UUID] = {}
    wanted = [(docid(id_), id_) for id_ in sorted(messages)]
    while wanted:
        taken = {place for (place,) in tx.rows(_TAKEN, {"docids": [place for place, _ in wanted]})}
        again: list[tuple[int, UUID]] = []
        for place, id_ in wanted:
            if place in taken or place in placed:
                again.append((place + 1, id_))
            else:
                placed[place] = id_
        wanted = again
    return placed
