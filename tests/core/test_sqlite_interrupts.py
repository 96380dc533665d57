"""Ctrl-C while SQLite is busy: the only Python that runs then is the handler that looks at the clock."""

import _thread
import sqlite3
import threading

import pytest

from undercroft import Store
from undercroft.core.dialects.sqlite_connection import FileConnection
from undercroft.errors import QueryTimeout

LONG = "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


def interrupted_soon() -> None:
    threading.Timer(0.2, _thread.interrupt_main).start()


@pytest.mark.parametrize("door", ["store", "tenant"])
def test_it_stops_a_long_statement(tmp_path, door: str):
    with Store(f"sqlite:///{tmp_path}/bot.db") as store:
        db = store.db if door == "store" else store.default.db
        assert db.fetchval("SELECT 1") == 1
        interrupted_soon()
        with pytest.raises(KeyboardInterrupt):
            db.fetchval(LONG)
        assert db.fetchval("SELECT 2") == 2
        with pytest.raises(QueryTimeout):
            db.fetchval(LONG, timeout=0.05)


def test_control_sqlite3_alone_makes_it_an_error_of_the_statement(tmp_path):
    connection = sqlite3.connect(tmp_path / "bot.db", factory=FileConnection)
    connection.keep_to(60)
    interrupted_soon()
    with pytest.raises(sqlite3.OperationalError, match="interrupted"):
        connection.execute(LONG)
    connection.close()
