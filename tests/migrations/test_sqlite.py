"""A SQLite file that others use as well."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.migrations.conftest import connected
from undercroft.errors import ConfigurationError, SchemaConflict
from undercroft.migrations import history, runner


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bot.db"


def execute(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


@pytest.mark.parametrize(
    ("theirs", "taken"),
    [
        ("CREATE TABLE messages (id INTEGER PRIMARY KEY, body TEXT)", "messages"),
        ("CREATE VIEW users AS SELECT 1 AS id", "users"),
        ("CREATE TABLE messages_fts (body TEXT)", "messages_fts"),
        ("CREATE TABLE message_search (body TEXT)", "message_search"),
    ],
)
def test_a_name_of_somebody_else_stops_it_before_anything_changes(path: Path, theirs: str, taken: str) -> None:
    execute(path, theirs)
    before = path.read_bytes()
    with connected(f"sqlite:///{path}") as connection, pytest.raises(SchemaConflict) as refused:
        history.upgrade(connection)
    assert taken in str(refused.value)
    assert path.read_bytes() == before


def test_others_and_their_alembic_stay_untouched(path: Path) -> None:
    execute(
        path,
        "CREATE TABLE orders (id INTEGER PRIMARY KEY, note TEXT)",
        "INSERT INTO orders VALUES (1, 'mine')",
        "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)",
        "INSERT INTO alembic_version VALUES ('theirs')",
    )
    with connected(f"sqlite:///{path}") as connection:
        history.upgrade(connection)
        runner.downgrade(connection, "base")
        runner.upgrade(connection)
        assert connection.exec_driver_sql("SELECT * FROM orders").all() == [(1, "mine")]
        assert connection.exec_driver_sql("SELECT * FROM alembic_version").all() == [("theirs",)]


def test_values_of_another_type_are_refused(path: Path) -> None:
    with connected(f"sqlite:///{path}") as connection:
        history.upgrade(connection)
        for values in ("('a', 'slack', 'T', 'n', 1, 1)", "(x'00', 'slack', 'T', 'n', 'today', 1)"):
            with pytest.raises(sa.exc.IntegrityError):
                connection.exec_driver_sql(
                    "INSERT INTO tenants (tenant_id, platform, native_id, name, created_at, updated_at) VALUES "
                    + values
                )


def test_a_sqlite_without_strict_tables_is_refused(path: Path) -> None:
    with connected(f"sqlite:///{path}") as connection:
        connection.connection.driver_connection.create_function("sqlite_version", 0, lambda: "3.36.0")
        with pytest.raises(ConfigurationError, match=r"3\.36\.0"):
            history.upgrade(connection)
        assert connection.exec_driver_sql("SELECT count(*) FROM sqlite_schema").scalar_one() == 0


@pytest.fixture
def locking_engine(path: Path) -> Iterator[sa.Engine]:
    """An engine that begins by itself, as SQLAlchemy's documentation recommends."""
    engine = sa.create_engine(f"sqlite:///{path}", connect_args={"isolation_level": None})
    sa.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    yield engine
    engine.dispose()


def test_an_engine_with_transactions_of_its_own(locking_engine: sa.Engine) -> None:
    with locking_engine.connect() as connection:
        history.upgrade(connection)
        history.check(connection)
        assert not connection.in_transaction()
    with locking_engine.begin() as connection:
        runner.downgrade(connection, "base")
    with locking_engine.connect() as connection:
        assert history.current(connection) is None


def test_newest_first_is_the_order_of_the_index(path: Path) -> None:
    with connected(f"sqlite:///{path}") as connection:
        history.upgrade(connection)
        for docid in (5, 1 << 55, 77):
            connection.exec_driver_sql(
                "INSERT INTO message_search VALUES (?, x'01', ?, 't1', '東京 タワー')", (docid, docid.to_bytes(16))
            )
            connection.exec_driver_sql(
                "INSERT INTO messages_fts (rowid, tenant, body) VALUES (?, 't1', '東京 タワー')", (docid,)
            )
        connection.commit()
        query = "SELECT rowid FROM messages_fts WHERE messages_fts MATCH 'tenant:t1 AND body:東京' ORDER BY rowid DESC"
        assert connection.exec_driver_sql(query).scalars().all() == [1 << 55, 77, 5]
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}").all()
        assert not any("TEMP B-TREE" in step[-1] for step in plan)
        connection.exec_driver_sql("INSERT INTO messages_fts (messages_fts, rank) VALUES ('integrity-check', 1)")
