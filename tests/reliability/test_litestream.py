"""Litestream copies a file while processes write it: all die, and the replica is the file of a moment before."""

import contextlib
import re
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.reliability import file_writer
from tests.reliability.test_sqlite_processes import ENDLESS, Ledger
from undercroft import Store

PROGRAM = Path(sys.executable).with_name("litestream")
PAGE = Path(__file__).parent.parent.parent / "docs/backup.md"


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    """The page's own settings, with other paths."""
    [text] = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    path = tmp_path / "litestream.yml"
    path.write_text(
        text.replace("/srv/bot/bot.db", f"{tmp_path}/bot.db").replace("/mnt/replica", f"{tmp_path}/replica")
    )
    return path


@contextlib.contextmanager
def replicating(settings: Path) -> Any:
    log = settings.with_suffix(".log")
    with log.open("w") as out:
        process = subprocess.Popen([PROGRAM, "replicate", "-config", settings], stdout=out, stderr=out)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def restored(settings: Path, name: str) -> Path | None:
    """What the replica holds now; None while it holds nothing."""
    path = settings.with_name(name)
    path.unlink(missing_ok=True)
    command = [PROGRAM, "restore", "-config", settings, "-o", path, settings.with_name("bot.db")]
    done = subprocess.run(command, capture_output=True, check=False, umask=0o077)
    return path if done.returncode == 0 else None


def names(path: Path, kind: str) -> set[str]:
    with contextlib.closing(sqlite3.connect(path)) as file:
        assert file.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return {name for (name,) in file.execute(file_writer.STORED[kind])}


def holds(path: Path | None, promised: dict[str, set[str]]) -> bool:
    return path is not None and all(promised[kind] <= names(path, kind) for kind in file_writer.STORED)


def promised(ledger: Ledger) -> dict[str, set[str]]:
    return {kind: set(ledger.acknowledged[kind]) for kind in file_writer.STORED}


def test_all_that_had_arrived_comes_back_as_of_one_moment(settings: Path, tmp_path: Path):
    with Ledger(tmp_path / "bot.db") as ledger, replicating(settings) as litestream:
        ledger.start(3, ENDLESS)
        ledger.wait_for(300)
        before, limit = promised(ledger), time.monotonic() + 60
        while not holds(restored(settings, "arrived.db"), before):
            assert time.monotonic() < limit, settings.with_suffix(".log").read_text()
            time.sleep(0.2)
        ledger.wait_for(300)
        litestream.send_signal(signal.SIGKILL)
        ledger.kill(3)
        assert ledger.errors == {}
        assert ledger.lost() == {}  # the file itself has everything
    path = restored(settings, "back.db")
    assert holds(path, before)
    assert path is not None
    stored = set[str]().union(*(names(path, kind) for kind in file_writer.STORED))
    for writer in {name.rpartition("-")[0] for name in stored if name.startswith("w")}:
        if int(writer.removeprefix("w")) % 2:
            continue  # it has several calls under way, which are stored in no order
        numbers = {int(name.rpartition("-")[2]) for name in stored if name.startswith(f"{writer}-")}
        units = range(list(file_writer.KINDS).index("unit"), max(numbers), len(file_writer.KINDS))
        assert numbers | set(units) == set(range(max(numbers) + 1))  # what it said last and nothing before is missing
    with Store(f"sqlite:///{path}") as store:  # the next process goes on
        assert not store.doctor().severe
        store.default.users.ensure("next")


def test_control_what_has_not_arrived_is_missed(settings: Path, tmp_path: Path):
    with Ledger(tmp_path / "bot.db") as ledger, replicating(settings) as litestream:
        limit = time.monotonic() + 60
        while restored(settings, "arrived.db") is None:
            assert time.monotonic() < limit, settings.with_suffix(".log").read_text()
            time.sleep(0.2)
        litestream.send_signal(signal.SIGKILL)
        ledger.start(1, 20)
        ledger.join()
        assert not holds(restored(settings, "back.db"), promised(ledger))
