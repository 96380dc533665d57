"""One history on every engine: all of it or nothing, whoever else does the same, and back again."""

import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from tests import servers
from tests.migrations.conftest import connected, created
from tests.migrations.dump import schema
from undercroft.errors import InvalidInput, SchemaMissing, SchemaOutdated, SchemaTooNew
from undercroft.migrations import history, runner
from undercroft.migrations.drift import differences


def test_an_empty_database_has_no_schema(connection: sa.Connection) -> None:
    assert history.current(connection) is None
    with pytest.raises(SchemaMissing):
        history.check(connection)


def test_an_upgrade_reaches_the_head(connection: sa.Connection) -> None:
    history.upgrade(connection)
    history.check(connection)
    assert history.current(connection) == history.head


def test_the_known_revisions_are_alembics() -> None:
    steps = runner.history()
    assert [step.id for step in reversed(steps)] == list(history.known)
    assert {step.branch for step in steps} == {"undercroft"}
    assert all(step.message for step in steps)


def test_a_second_upgrade_changes_nothing(connection: sa.Connection) -> None:
    history.upgrade(connection)
    before = schema(connection)
    history.upgrade(connection)
    runner.upgrade(connection)
    assert schema(connection) == before


def test_up_down_up_leaves_the_same_schema(connection: sa.Connection) -> None:
    runner.upgrade(connection)
    before = schema(connection)
    assert any("ix_messages_tenant_id_channel_id_id" in line for line in before)
    runner.downgrade(connection, "base")
    assert not any("messages" in line for line in schema(connection))
    with pytest.raises(SchemaMissing):
        history.check(connection)
    runner.upgrade(connection)
    assert schema(connection) == before


def test_a_revision_newer_than_the_library_is_refused(connection: sa.Connection, engine: str) -> None:
    history.upgrade(connection)
    table = "undercroft_alembic_version" if engine == "sqlite" else "undercroft.alembic_version"
    with connection.begin():
        connection.exec_driver_sql(f"UPDATE {table} SET version_num = '9999'")
    before = schema(connection)
    for attempt in (history.check, history.upgrade, runner.upgrade):
        with pytest.raises(SchemaTooNew):
            attempt(connection)
    with pytest.raises(SchemaTooNew):
        runner.downgrade(connection, "base")
    assert schema(connection) == before


def test_a_schema_older_than_the_library_is_reported(
    connection: sa.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    history.upgrade(connection)
    monkeypatch.setattr(history, "head", "9999")
    with pytest.raises(SchemaOutdated):
        history.check(connection)


@pytest.mark.parametrize("attempt", [runner.upgrade, runner.downgrade, runner.stamp])
def test_a_revision_that_does_not_exist_changes_nothing(connection: sa.Connection, attempt) -> None:
    before = schema(connection)
    with pytest.raises(InvalidInput) as refused:
        attempt(connection, "nowhere")
    assert refused.value.field == "revision"
    assert schema(connection) == before


def test_stamp_writes_the_version_only(connection: sa.Connection) -> None:
    runner.stamp(connection, "head")
    assert history.current(connection) == history.head
    assert not any("messages" in line for line in schema(connection))


def test_a_callers_transaction_stays_his(connection: sa.Connection) -> None:
    before = schema(connection)
    transaction = connection.begin()
    runner.upgrade(connection)
    assert history.current(connection) == history.head
    transaction.rollback()
    assert schema(connection) == before


def test_a_failing_step_undoes_the_whole_upgrade(connection: sa.Connection, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text(
        dedent("""
            from undercroft.migrations.operations import op

            revision, down_revision, branch_labels, depends_on = "broken", None, ("app",), None

            def upgrade():
                op.execute("CREATE TABLE undercroft.half (id INTEGER)")
                op.execute("SELECT nothing FROM nowhere")
        """)
    )
    before = schema(connection)
    with pytest.raises(sa.exc.DBAPIError):
        runner.upgrade(connection, locations=[tmp_path])
    assert schema(connection) == before
    runner.upgrade(connection)
    history.check(connection)


def test_several_processes_upgrade_at_once(empty_database_url: str) -> None:
    program = dedent("""
        import sys
        import sqlalchemy as sa
        from undercroft.migrations import history
        engine = sa.create_engine(sys.argv[1])
        sys.stdin.read()
        with engine.connect() as connection:
            history.upgrade(connection)
            print(history.current(connection))
    """)
    address = empty_database_url.replace("postgresql:", "postgresql+psycopg:")
    started = [
        subprocess.Popen(
            [sys.executable, "-c", program, address],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for process in started:
        process.stdin.close()  # all of them go at once
    results = [(process.stdout.read(), process.stderr.read(), process.wait()) for process in started]
    for process in started:
        process.stdout.close()
        process.stderr.close()
    assert results == [(f"{history.head}\n", "", 0)] * 4
    with connected(empty_database_url) as connection:
        history.check(connection)


@pytest.mark.parametrize("server", servers.names("postgresql"))
async def test_through_asyncpg(server: str) -> None:
    with created(server) as url:
        engine = create_async_engine(url.replace("postgresql:", "postgresql+asyncpg:"), poolclass=NullPool)
        async with engine.connect() as connection:
            await connection.run_sync(history.upgrade)
            await connection.run_sync(history.check)
            assert await connection.run_sync(differences) == []
            await connection.rollback()
            await connection.run_sync(runner.downgrade, "base")
            assert await connection.run_sync(history.current) is None
        await engine.dispose()
