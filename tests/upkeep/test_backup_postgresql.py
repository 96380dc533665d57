"""Backups on PostgreSQL: which logins may make a whole one, with which programs, and as whom one is restored."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from tests import databases, servers
from tests.upkeep.shelves import T1, T2, contents, fill, portable, programs
from undercroft import Settings, Store, errors
from undercroft.upkeep.backup import server

SERVER = servers.names("postgresql")[0]
TOOLS = programs(SERVER)


@pytest.fixture(scope="module")
def filled() -> Iterator[str]:
    """The administrator's address of a database with two tenants, whose rows lie in partitions too."""
    with databases.created(servers.url(SERVER)) as url:
        with Store(url) as store:
            store.migrate()
            fill(store, T1, T2)
        yield url


@pytest.fixture
def key(tmp_path: Path) -> dict[str, Any]:
    file = tmp_path / "backup.key"
    file.write_text("k" * 40)
    return {"key_file": file}


@contextmanager
def login(url: str, options: str, *grants: str) -> Iterator[str]:
    """A login of its own, and its address."""
    name = f"undercroft_test_{uuid4().hex[:12]}"
    with databases.administrator(url) as run:
        run(f"CREATE ROLE {name} LOGIN PASSWORD 'pa''ss' {options}")
        for grant in grants:
            run(f"GRANT {grant} TO {name}")
    try:
        yield databases.changed(url, username=name, password="pa'ss")
    finally:
        with databases.administrator(url) as run:
            run(f"DROP OWNED BY {name}")
            run(f"DROP ROLE {name}")


def settings(url: str, migrate_url: str | None = None) -> Settings:
    return Settings.load(url, env_file=None, migrate_url=migrate_url or url)


def test_rows_lie_in_partitions(filled: str):
    """What the next test guards against: as undercroft_owner pg_dump would read a partition, which shows no row."""
    with psycopg.connect(filled) as connection:
        connection.execute("INSERT INTO undercroft.audit_events SELECT * FROM undercroft.audit_events LIMIT 0")
        part = connection.execute("SELECT tableoid::regclass::text FROM undercroft.audit_events LIMIT 1").fetchone()
        assert part is not None
        connection.execute("SET LOCAL ROLE undercroft_owner")
        through_the_parent = connection.execute("SELECT count(*) FROM undercroft.audit_events").fetchone()
        in_the_partition = connection.execute(f"SELECT count(*) FROM {part[0]}").fetchone()
        assert through_the_parent is not None
        assert through_the_parent[0] > 0
        assert in_the_partition == (0,)


def test_the_owners_login_is_refused_a_dump_and_loses_no_row_in_portable_form(
    filled, key, tmp_path, open_store, colour
):
    with login(filled, "NOBYPASSRLS", "undercroft_owner", "undercroft_app", "undercroft_fleet") as owner:
        store = open_store(colour, settings=settings(owner))
        with pytest.raises(errors.PermissionDenied, match="BYPASSRLS"):
            store.upkeep.backup(tmp_path / "a.backup", **key, **TOOLS)
        assert not list(tmp_path.glob("*.backup"))
        made = store.upkeep.backup(tmp_path / "a.backup", **key, portable=True)
        there = portable(filled)
        told = {table.name: table.rows for table in made.tables}
        assert told == {name: len(rows) for name, rows in there.items() if name in told}
        assert [name for name, rows in there.items() if rows and name not in told] == ["alembic_version"]
        store.close()


def test_a_login_with_bypassrls_dumps_every_row(filled, key, tmp_path, open_store, colour):
    with login(filled, "BYPASSRLS", "pg_read_all_data") as reader:
        store = open_store(colour, settings=settings(filled, reader))
        made = store.upkeep.backup(tmp_path / "a.backup", **key, **TOOLS)
        assert {table.name: table.rows for table in made.tables} == {
            name: len(rows) for name, rows in contents(filled).items()
        }
        store.close()
    with databases.created(servers.url(SERVER)) as url, Store(url) as other:
        other.upkeep.restore(tmp_path / "a.backup", **key, **TOOLS)
        assert contents(url) == contents(filled)


def test_what_is_restored_is_the_owners_and_has_its_walls(filled, key, tmp_path):
    """A superuser restores here, and owns none of it: a SECURITY DEFINER function of his would be a door."""
    with Store(filled) as store:
        store.upkeep.backup(tmp_path / "a.backup", **key, **TOOLS)
    with databases.created(servers.url(SERVER)) as url:
        with Store(url) as other:
            other.upkeep.restore(tmp_path / "a.backup", **key, **TOOLS)
        assert walls(url) == walls(filled)
        with psycopg.connect(url) as connection:
            owners = connection.execute(
                "SELECT DISTINCT relowner::regrole::text FROM pg_class WHERE relnamespace = 'undercroft'::regnamespace"
                " UNION SELECT DISTINCT proowner::regrole::text FROM pg_proc p"
                " WHERE pronamespace = 'undercroft'::regnamespace AND prosecdef"
            ).fetchall()
        assert owners == [("undercroft_owner",)]


def walls(url: str) -> list[str]:
    import sqlalchemy as sa

    from tests.migrations.dump import schema

    engine = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://"), poolclass=sa.NullPool)
    with engine.connect() as connection:
        return schema(connection)


def test_programs_that_are_missing_or_old_are_named_with_the_fix(filled, key, tmp_path):
    empty, old = tmp_path / "empty", tmp_path / "old"
    empty.mkdir()
    old.mkdir()
    (old / "pg_dump").write_text("#!/bin/sh\necho 'pg_dump (PostgreSQL) 9.6.24'\n")
    (old / "pg_dump").chmod(0o755)
    with Store(filled) as store:
        for folder, said in ((empty, "not installed"), (old, "version 9")):
            with pytest.raises(errors.BackupToolMissing, match=said) as refused:
                store.upkeep.backup(tmp_path / "a.backup", **key, programs=folder)
            assert "postgresql-client-" in str(refused.value)
    assert not list(tmp_path.glob("*.backup"))


def test_a_dump_that_fails_says_why_and_leaves_nothing(filled, key, tmp_path):
    real = TOOLS["programs"] / "pg_dump"
    (tmp_path / "pg_dump").write_text(
        f'#!/bin/sh\n[ "$1" = --version ] && exec {real} --version\n'
        "echo half; echo 'pg_dump: error: no more room' >&2; exit 1\n"
    )
    (tmp_path / "pg_dump").chmod(0o755)
    with Store(filled) as store, pytest.raises(errors.DatabaseError, match="no more room"):
        store.upkeep.backup(tmp_path / "a.backup", **key, programs=tmp_path)
    assert not list(tmp_path.glob("*.backup"))
    assert not list(tmp_path.glob(".*"))


def test_an_archive_with_something_else_in_it_is_refused(filled, key, tmp_path, monkeypatch):
    with databases.administrator(filled) as run:
        run("CREATE TABLE public.beside (a int)")
    real: Callable[..., Any] = server._running

    def everything(connection: Any, line: list[str], name: str, **more: Any) -> Any:
        return real(connection, [part for part in line if part != "--schema=undercroft"], name, **more)

    with Store(filled) as store:
        monkeypatch.setattr(server, "_running", everything)
        store.upkeep.backup(tmp_path / "a.backup", **key, **TOOLS)
        monkeypatch.undo()
    with databases.administrator(filled) as run:
        run("DROP TABLE public.beside")
    with databases.created(servers.url(SERVER)) as url, Store(url) as other:
        with pytest.raises(errors.BackupRefused, match="not of our schema"):
            other.upkeep.restore(tmp_path / "a.backup", **key, **TOOLS)
        assert contents(url) == {}


def test_the_password_is_in_no_argument_of_a_program(filled, key, tmp_path, monkeypatch):
    seen: list[list[str]] = []
    start = server.subprocess.Popen

    def watched(line: list[str], **more: Any) -> Any:
        seen.append(line)
        return start(line, **more)

    monkeypatch.setattr(server.subprocess, "Popen", watched)
    with login(filled, "BYPASSRLS", "pg_read_all_data") as reader, Store(settings=settings(filled, reader)) as store:
        store.upkeep.backup(tmp_path / "a.backup", **key, **TOOLS)
    assert any("pg_dump" in line[0] for line in seen)
    assert not any("pa'ss" in part for line in seen for part in line)
