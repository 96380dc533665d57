"""`--sql`: the text does what an upgrade does."""

import sqlite3
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from tests.migrations.conftest import connected
from tests.migrations.dump import schema
from undercroft.errors import InvalidInput
from undercroft.migrations import history, runner


def play(url: str, script: str) -> None:
    """Run a script as an administrator would, without our library."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(sa.make_url(url).database)) as connection:
            connection.executescript(script)
    else:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(script)


def script(engine: str, steps: str = "base:head") -> str:
    return runner.sql(engine.removesuffix("-env"), steps)


def test_the_script_makes_what_an_upgrade_makes(empty_database_url: str, engine: str) -> None:
    play(empty_database_url, script(engine))
    with connected(empty_database_url) as connection:
        history.check(connection)
        scripted = schema(connection)
        runner.downgrade(connection, "base")
        runner.upgrade(connection)
        assert schema(connection) == scripted


def test_the_script_goes_back_too(empty_database_url: str, engine: str) -> None:
    play(empty_database_url, script(engine))
    play(empty_database_url, script(engine, "head:base"))
    with connected(empty_database_url) as connection:
        assert history.current(connection) is None
        assert not any("messages" in line for line in schema(connection))


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_nothing_is_left_of_placeholders(engine: str) -> None:
    text = runner.sql(engine)
    assert text.startswith("BEGIN;")
    assert "COMMIT;" in text
    assert "{table}" not in text
    assert "%%" not in text
    assert ("undercroft.users" in text) == (engine == "postgresql")


def test_unknown_revisions_and_dialects_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput):
        runner.sql("postgresql", "base:nowhere")
    with pytest.raises(InvalidInput):
        runner.sql("oracle")
