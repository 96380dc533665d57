"""Health: a ping, and with `deep` a row that is written, read back and deleted."""

import contextlib
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests import databases, servers
from undercroft import Settings
from undercroft.core import retry
from undercroft.core.dialects.sqlite_connection import FileConnection
from undercroft.core.runtime import sqlite_file
from undercroft.upkeep import trial

sqlite_only = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
postgresql_only = pytest.mark.parametrize("engine", ["postgresql"], indirect=True)


@pytest.fixture
def leftovers(engine: str, database_url: str, store: Any) -> Callable[[], list[str]]:
    """What checks have left behind."""

    def look() -> list[str]:
        rows = "SELECT job FROM undercroft.upkeep_runs WHERE job LIKE 'health%'"
        if engine == "sqlite":
            with contextlib.closing(sqlite3.connect(database_url.removeprefix("sqlite:///"))) as file:
                return [job for (job,) in file.execute(rows.replace("undercroft.", ""))]
        name = sa.make_url(database_url).database
        with databases.administrator(databases.changed(servers.url(engine), database=str(name))) as run:
            return [job for (job,) in run(rows)]

    return look


def test_a_ping_alone_writes_nothing(store):
    assert store.health().trial is None


def test_a_row_is_written_read_and_deleted(store, leftovers):
    found = store.health(deep=True)
    assert (found.status, found.error) == ("healthy", None)
    assert all(took > 0 for took in astuple(found.trial))
    assert leftovers() == []


def test_checks_at_once_do_not_meet(store, leftovers):
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda _: store.health(deep=True), range(12)))
    assert {(one.status, one.error) for one in found} == {("healthy", None)}
    assert leftovers() == []


def test_what_a_check_that_died_has_left_goes_with_a_later_one(store, leftovers, monkeypatch):
    def died(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(trial._READING, "fn", died)
        with pytest.raises(KeyboardInterrupt):
            store.health(deep=True)
    assert len(leftovers()) == 1
    store.health(deep=True)
    assert len(leftovers()) == 1  # it may be at work still
    monkeypatch.setattr(trial, "_FORGOTTEN", timedelta(0))
    store.health(deep=True)
    assert leftovers() == []


def test_a_row_that_does_not_stay_is_found_out(store, leftovers, monkeypatch):
    """Also the control: without the reading nobody would know."""
    write = trial._WRITING.fn
    monkeypatch.setattr(trial._WRITING, "fn", lambda tx, job: write(tx, f"{job}x"))
    found = store.health(deep=True)
    assert (found.status, found.error) == ("unhealthy", "database.error")
    assert (found.trial.write_ms > 0, found.trial.read_ms, found.trial.delete_ms) == (True, None, None)
    with monkeypatch.context() as patched:
        patched.setattr(trial._READING, "fn", lambda *_: None)
        patched.setattr(trial._DELETING, "fn", lambda *_: None)
        assert store.health(deep=True).status == "healthy"
    monkeypatch.setattr(trial, "_FORGOTTEN", timedelta(0))
    store.health(deep=True)
    assert leftovers() == []


def check_failure(store: Any, error: str) -> None:
    assert store.health().status == "healthy"  # a ping does not notice
    found = store.health(deep=True)
    assert (found.status, found.error) == ("unhealthy", error)
    assert astuple(found.trial) == (None, None, None)


@sqlite_only
@pytest.mark.parametrize(
    ("pragma", "error"), [("query_only=ON", "database.read-only"), ("max_page_count=1", "database.full")]
)
def test_a_file_that_takes_nothing(store, leftovers, monkeypatch, pragma, error):
    store.health()
    monkeypatch.setattr(FileConnection, "expect_turns", lambda self: self.execute(f"PRAGMA {pragma}"))
    check_failure(store, error)
    assert leftovers() == []


@sqlite_only
def test_a_file_that_somebody_holds(store, database_url, monkeypatch):
    store.health()
    monkeypatch.setattr(sqlite_file, "BUSY_TIMEOUT", 0.1)
    monkeypatch.setattr(retry, "ATTEMPTS", 1)
    with contextlib.closing(sqlite3.connect(Path(database_url.removeprefix("sqlite:///")))) as other:
        other.execute("BEGIN IMMEDIATE")
        check_failure(store, "database.lock-timeout")


@pytest.fixture
def own(engine: str, empty_database_url: str) -> str:
    """An address of a server's database that no other test shares."""
    return databases.migrated(empty_database_url, empty_database_url)


@postgresql_only
def test_a_server_that_only_reads(own, empty_database_url, open_store, colour):
    name = sa.make_url(own).database
    with databases.administrator(empty_database_url) as run:
        run(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    check_failure(open_store(colour, own), "database.read-only")


@postgresql_only
def test_a_server_that_does_not_come_to_it(own, empty_database_url, open_store, colour):
    with databases.administrator(empty_database_url) as run:
        run("BEGIN")
        run("LOCK TABLE undercroft.upkeep_runs IN SHARE MODE")
        check_failure(open_store(colour, settings=Settings.load(own, query_timeout=0.3)), "database.query-timeout")
        run("ROLLBACK")
