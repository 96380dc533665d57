"""Search on PostgreSQL: a vector beside each message, and one function as the way to its index."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any
from uuid import UUID

from sqlalchemy import Boolean, Integer, Table, bindparam, column, func, select, table, update

from undercroft.core.dialects.criteria import Criteria
from undercroft.core.schema import SCHEMA, Text, TsVector, Uuid
from undercroft.core.searchtext import tsvector_text
from undercroft.core.tx import Tx

_FOUND = func.undercroft.search_messages(
    bindparam("query", type_=Text()),
    bindparam("ranked", type_=Boolean()),
    bindparam("limit", type_=Integer()),
    *(bindparam(name, type_=Uuid()) for name in ("before", "author", "channel", "from_id", "to_id")),
    *(bindparam(name, type_=Boolean()) for name in ("has_file", "has_link", "has_reaction")),
).table_valued(column("id", Uuid()), column("rank"))
_SEARCH = select(_FOUND.c.id, _FOUND.c.rank).order_by(_FOUND.c.rank.desc(), _FOUND.c.id.desc())

_MESSAGES = table(
    "messages", column("tenant_id", Uuid()), column("id", Uuid()), column("search", TsVector()), schema=SCHEMA
)
_REINDEX = (
    update(_MESSAGES)
    .where(_MESSAGES.c.tenant_id == bindparam("tenant_id"), _MESSAGES.c.id == bindparam("message"))
    .values(search=bindparam("words"))
)


def insert_searchable(tx: Tx, messages: Table, rows: Sequence[dict[str, Any]], words: Sequence[Sequence[str]]) -> int:
    """Insert messages with their vectors and return how many were added."""
    for row, tokens in zip(rows, words, strict=True):
        row["search"] = tsvector_text(list(tokens))
    return tx.insert_many(messages, rows)


def reindex(tx: Tx, words: Mapping[UUID, Sequence[str]]) -> None:
    """Replace the vectors of messages."""
    tx.run_many(_REINDEX, [{"message": id_, "words": tsvector_text(list(tokens))} for id_, tokens in words.items()])


def search(tx: Tx, criteria: Criteria) -> list[tuple[UUID, float]]:
    """Return the ids of hits with their ranks, in their order."""
    return [(id_, rank) for id_, rank in tx.rows(_SEARCH, {**asdict(criteria), "query": criteria.query.tsquery()})]
