"""Eight processes write one SQLite file: no lock reaches a caller, and whoever is killed takes nothing along."""

import contextlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, Self

import pytest

from tests.reliability import file_writer

PROCESSES = 8
ENDLESS = 10**9


class Ledger:
    """What writers have acknowledged, and the processes that did."""

    def __init__(self, path: Path, *weaknesses: str) -> None:
        self.path = path
        self.acknowledged: dict[str, list[str]] = {kind: [] for kind in file_writer.KINDS}
        self.errors: Counter[str] = Counter()
        self.codes: Counter[int] = Counter()
        """How the processes ended."""
        self.living: list[int] = []
        self._started = 0
        self._died: set[int] = set()
        url = f"sqlite:///{path}"
        file_writer.prepare(url)
        self._nursery = subprocess.Popen(
            [sys.executable, file_writer.__file__, url, *weaknesses],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._readers = [threading.Thread(target=read) for read in (self._read, self._drain)]
        self.said: list[str] = []

    def __enter__(self) -> Self:
        for reader in self._readers:
            reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        for pid in set(self.living) - self._died:
            os.kill(pid, signal.SIGKILL)
        self._stdin.close()
        self._nursery.wait()
        for reader in self._readers:
            reader.join()
        for pipe in (self._nursery.stdout, self._nursery.stderr):
            assert pipe is not None
            pipe.close()

    @property
    def _stdin(self) -> IO[str]:
        assert self._nursery.stdin is not None
        return self._nursery.stdin

    def start(self, some: int, count: int) -> None:
        """Start so many processes, of which half await, and wait until they are there."""
        for _ in range(some):
            self._started += 1
            self._stdin.write(f"w{self._started:05} {count} {'awaiting' if self._started % 2 else 'blocking'}\n")
        self._stdin.flush()
        _until(lambda: len(self.living) == self._started)

    def kill(self, some: int) -> None:
        """Kill so many of the living, whatever they are at; what they have said before is known afterwards."""
        dying = random.sample(sorted(set(self.living) - self._died), some)
        for pid in dying:
            os.kill(pid, signal.SIGKILL)
        _until(lambda: set(dying) <= self._died)

    def join(self) -> None:
        """Wait until all have ended by themselves."""
        _until(lambda: set(self.living) == self._died, seconds=1000)

    @property
    def killed(self) -> int:
        return self.codes[-signal.SIGKILL]

    @property
    def total(self) -> int:
        return sum(map(len, self.acknowledged.values()))

    def wait_for(self, more: int) -> None:
        """Wait until so many more writes are acknowledged."""
        total = self.total + more
        _until(lambda: self.total >= total)

    def _read(self) -> None:
        assert self._nursery.stdout is not None
        for line in self._nursery.stdout:
            match line.split():
                case "error", code:
                    self.errors[code] += 1
                case "born", pid:
                    self.living.append(int(pid))
                case "died", pid, code:
                    self.codes[int(code)] += 1
                    self._died.add(int(pid))
                case kind, name:
                    self.acknowledged[kind].append(name)

    def _drain(self) -> None:
        assert self._nursery.stderr is not None
        self.said = [line for line in self._nursery.stderr if not line.startswith("slow query")]

    def lost(self) -> dict[str, Any]:
        """What is acknowledged and not there, by kind; and what is there twice."""
        with contextlib.closing(sqlite3.connect(self.path)) as file:
            assert file.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert file.execute("PRAGMA foreign_key_check").fetchall() == []
            stored = {kind: Counter(name for (name,) in file.execute(q)) for kind, q in file_writer.STORED.items()}
            [(units,)] = file.execute(file_writer.UNITS)
        lost = {kind: sorted(set(self.acknowledged[kind]) - names.keys()) for kind, names in stored.items()}
        twice = [name for names in stored.values() for name, times in names.items() if times > 1]
        assert twice == []
        found: dict[str, Any] = {kind: names for kind, names in lost.items() if names}
        if units < len(self.acknowledged["unit"]):
            found["unit"] = len(self.acknowledged["unit"]) - units
        unasked = sum(map(len, stored.values())) + units - self.total
        assert unasked <= self.killed * file_writer.AT_ONCE + self.errors.total()
        return found


def _until(there: Callable[[], bool], seconds: float = 100) -> None:
    limit = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < limit, "the writers stand still"
        time.sleep(0.001)


def contend(path: Path, each: int, *weaknesses: str) -> Ledger:
    with Ledger(path, *weaknesses) as ledger:
        ledger.start(PROCESSES, each)
        ledger.join()
        return ledger


def check_contention(path: Path, each: int) -> None:
    ledger = contend(path, each)
    assert ledger.errors == {}
    assert ledger.codes == {0: PROCESSES}, ledger.said
    assert ledger.total == PROCESSES * each
    assert ledger.lost() == {}


def test_eight_processes_write_and_none_meets_a_lock(tmp_path: Path):
    check_contention(tmp_path / "shared.db", 40)


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_eight_processes_write_and_none_meets_a_lock_at_length(tmp_path: Path, soak_share: float):
    check_contention(tmp_path / "shared.db", int(1000 * soak_share))


def test_control_without_patience_the_lock_reaches_the_caller(tmp_path: Path):
    ledger = contend(tmp_path / "shared.db", 20, "impatient")
    assert ledger.errors["database.lock-timeout"] > 0
    assert ledger.lost() == {}


def slaughter(path: Path, kills: int, *weaknesses: str) -> Ledger:
    """Kill so often, one process or several or all; others take their places at once."""
    with Ledger(path, *weaknesses) as ledger:
        ledger.start(PROCESSES, ENDLESS)
        while ledger.killed < kills:
            ledger.wait_for(random.randint(1, 60))
            some = random.choice([1, 1, 2, PROCESSES])
            ledger.kill(some)
            ledger.start(some, ENDLESS)
        ledger.wait_for(20)  # who came after the last one to die goes on
        ledger.kill(PROCESSES)
        return ledger


def check_kills(path: Path, kills: int) -> None:
    ledger = slaughter(path, kills)
    assert ledger.errors == {}
    assert ledger.codes.keys() == {-signal.SIGKILL}, ledger.said
    assert ledger.lost() == {}


def test_who_is_killed_takes_nothing_acknowledged_along(tmp_path: Path):
    check_kills(tmp_path / "shared.db", 5)


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_who_is_killed_takes_nothing_acknowledged_along_at_length(tmp_path: Path, soak_share: float):
    check_kills(tmp_path / "shared.db", int(100 * soak_share))


def test_control_who_acknowledges_before_the_commit_is_caught(tmp_path: Path):
    for attempt in range(10):
        if lost := slaughter(tmp_path / f"{attempt}.db", PROCESSES, "early").lost():
            break
    assert lost.keys() == {"user"}
