"""SQLite's search index: an FTS5 table over rows whose order is the messages' own.

`docid` is the message's milliseconds shifted left by 15 bits, the low ones from its id, so that the newest hits are the
highest rowids and FTS5 finds them without sorting. PostgreSQL has a GIN index on `messages.search` instead.
"""

import sqlalchemy as sa

from undercroft.core.schema import SCHEMA, Base, BigInt, Text, Uuid

message_search = sa.Table(
    "message_search",
    Base.metadata,
    sa.Column("docid", BigInt, primary_key=True, autoincrement=False),
    sa.Column("tenant_id", Uuid, nullable=False),
    sa.Column("message_id", Uuid, nullable=False),
    sa.Column("tenant", Text, nullable=False),
    sa.Column("body", Text, nullable=False),
    sa.UniqueConstraint("tenant_id", "message_id"),
    sqlite_strict=True,
    info={"engines": {"sqlite"}},
)
"""The indexed text: `tenant` is one token that every hit must have beside those in `body`."""

messages_fts = sa.Table(
    "messages_fts",
    sa.MetaData(schema=SCHEMA),  # a virtual table: made by its own statement, and compared with nothing
    sa.Column("rowid", BigInt, primary_key=True, autoincrement=False),
    sa.Column("tenant", Text),
    sa.Column("body", Text),
)
"""FTS5 over `message_search`, which holds its text; fill and empty both in the same transaction."""
