"""Two processes that write one file are kept apart by locks that nothing here may drop."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

from undercroft import Store

WRITER = """
import sys
from undercroft import Store
with Store(sys.argv[1]) as store:
    for n in range(int(sys.argv[2])):
        store.default.users.ensure(f"{sys.argv[3]}-{n}")
        with store.default.session():  # opens connections beside the writer's
            pass
    store.default.users.list()
"""


def test_two_processes_write_from_an_empty_file_on(tmp_path: Path):
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, url, "100", name], stderr=subprocess.PIPE, text=True)
        for name in ("a", "b", "c")
    ]
    for writer in writers:
        _, said = writer.communicate(timeout=100)
        assert writer.returncode == 0, said
    with Store(url) as store:
        assert store.default.stats().users == 300
        assert store.default.db.fetchval("SELECT 1") == 1


LOOK = """
import sqlite3, sys
file = sqlite3.connect(sys.argv[1])
print(file.execute("SELECT count(*) FROM users").fetchone()[0])
file.close()
"""


def seen_from_outside(path: Path) -> int:
    looked = subprocess.run([sys.executable, "-c", LOOK, path], capture_output=True, text=True, check=True)
    return int(looked.stdout)


def test_a_process_that_comes_and_goes_takes_no_commit_with_it(tmp_path: Path):
    """It would delete the write-ahead log, as the last one to leave does, if our locks were gone."""
    path = tmp_path / "shared.db"
    with Store(f"sqlite:///{path}") as store:
        store.default.users.ensure("U1")
        store.default.users.list()  # a second connection of ours
        assert seen_from_outside(path) == 1
        assert path.with_name("shared.db-wal").exists()
        store.default.users.ensure("U2")
        assert seen_from_outside(path) == 2


def test_the_locks_are_lost_where_a_connection_opens_the_file(tmp_path: Path, monkeypatch):
    """The control: the file is opened and closed beside SQLite, as a naive way to set its mode would."""
    path = tmp_path / "shared.db"
    connect = sqlite3.connect

    def careless(*args, **kwargs):
        os.close(os.open(path, os.O_RDWR))
        return connect(*args, **kwargs)

    with Store(f"sqlite:///{path}") as store:
        store.default.users.ensure("U1")
        monkeypatch.setattr(sqlite3, "connect", careless)
        store.default.db.fetchval("SELECT 1")
        seen_from_outside(path)
        assert not path.with_name("shared.db-wal").exists()
