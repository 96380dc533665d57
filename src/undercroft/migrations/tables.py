"""Our own tables, and what of them each engine has."""

from collections.abc import Iterable

import sqlalchemy as sa

from undercroft import models
from undercroft.core.dialects.sqlite_views import VIEWS
from undercroft.core.schema import NAMING, Base

OURS: tuple[sa.Table, ...] = tuple(
    getattr(model, "__table__", model)
    for name in models.__all__
    if (model := getattr(models, name)) not in (Base, models.messages_fts)
)
"""Every table of the history but FTS5's, which no metadata describes."""


def is_on(item: sa.schema.SchemaItem, engine: str) -> bool:
    """Whether an engine has a table or column of ours."""
    return engine in item.info.get("engines", {engine})


def names_on_sqlite() -> set[str]:
    """Return the names of tables, views and indexes that a file must have free for us."""
    tables = [table for table in OURS if is_on(table, "sqlite")]
    indexes = {str(index.name) for table in tables for index in table.indexes}
    return {"messages_fts"} | VIEWS | {table.name for table in tables} | indexes


def without_schema(tables: Iterable[sa.Table]) -> sa.MetaData:
    """Return a copy of tables as SQLite has them."""
    copy = sa.MetaData(naming_convention=NAMING)
    for table in tables:
        # SQLAlchemy takes these two for "no schema"; its annotations do not say so.
        table.to_metadata(copy, schema=None, referred_schema_fn=lambda *_: sa.BLANK_SCHEMA)  # type: ignore[arg-type]
    return copy
