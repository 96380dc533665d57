"""What type checkers must see of repositories and of the driver's door: run by mypy and pyright, never executed."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, assert_type
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from undercroft import AsyncStore, Store, models
from undercroft.core.operation import Page
from undercroft.db import ConnectionHealth, Row, Validated


class Base(DeclarativeBase):
    """Nothing of ours."""


class Quote(Base):
    """A model of a user's own."""

    __tablename__ = "quotes"

    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str]


def blocking(store: Store, key: UUID) -> None:
    users = store.tenant("slack:T1").repository(models.User)
    assert_type(users.create(native_id="U1"), models.User)
    assert_type(users.get(key), models.User)
    assert_type(users.get(key).email, str | None)
    assert_type(users.get_or_none(key), models.User | None)
    assert_type(users.update(key, name="Ada"), models.User)
    assert_type(users.delete(key), bool)
    assert_type(users.list({"name": "Ada"}, order_by="-name", limit=3), list[models.User])
    assert_type(users.page(after=None), Page[models.User])
    assert_type(users.page().items, list[models.User])
    assert_type(users.each(), Iterator[models.User])
    assert_type(users.count(), int)
    assert_type(users.exists({"name": "Ada"}), bool)
    assert_type(users.create_many([{"name": "Ada"}], conflict="ignore"), int)
    assert_type(users.query(sa.select(models.User)), list[models.User])
    assert_type(store.repository(Quote).get(1).text, str)
    assert_type(store.repository(Quote, as_orm=True).list(), list[Quote])
    with store.tenant("slack:T1").transaction() as tx:
        assert_type(tx.repository(Quote).get(1), Quote)
    users.list(where={"name": "Ada"}, limit="3")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    users.list({"name": "Ada"}, "name")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    users.create_many([], conflict="replace")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def awaiting(store: AsyncStore, key: UUID) -> None:
    users = store.tenant("slack:T1").repository(models.User)
    assert_type(await users.create(native_id="U1"), models.User)
    assert_type(await users.get(key), models.User)
    assert_type(await users.get_or_none(key), models.User | None)
    assert_type(await users.list(), list[models.User])
    assert_type(await users.page(), Page[models.User])
    assert_type(users.each(), AsyncIterator[models.User])
    assert_type(await users.count(), int)
    assert_type(await store.repository(Quote, as_orm=True).get(1), Quote)


def door(store: Store) -> None:
    assert_type(store.db.fetch("SELECT $1", 1, timeout=1.5), list[Row])
    assert_type(store.db.fetchrow("SELECT 1"), Row | None)
    assert_type(store.db.execute("SELECT 1"), int)
    assert_type(store.db.execute_many("SELECT $1", [(1,)]), None)
    assert_type(store.db.execute_in_transaction([("SELECT $1", (1,))]), list[int])
    assert_type(store.db.copy_records_to_table("t", records=[(1,)], columns=["a"], schema="s"), int)
    assert_type(store.db.execute_script(Path("a.sql")), None)
    assert_type(store.db.check_connection_health(), ConnectionHealth)
    assert_type(store.db.validate_connections(), Validated)
    assert_type(store.tenant("slack:T1").db.prepare_statement("SELECT 1").fetch(1), list[Row])
    row: Any = store.db.fetch("SELECT 1")[0]["a"]
    store.db.fetch(1, row)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def door_awaited(store: AsyncStore) -> None:
    assert_type(await store.db.fetch("SELECT 1"), list[Row])
    statement = await store.tenant("slack:T1").db.prepare_statement("SELECT 1")
    assert_type(await statement.fetchrow(), Row | None)
    assert_type(await statement.execute(), int)
