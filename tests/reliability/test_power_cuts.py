"""The power fails under processes that write a SQLite file: what was acknowledged is there when it comes back.

A process that is killed leaves its writes in the kernel's memory, so killing shows nothing of what reached the disk.
Here a preloaded library writes down what the disk is asked for, and the disk is what was synced by then, with as much
of the rest as chance leaves.
"""

import contextlib
import os
import random
import sqlite3
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.reliability import file_writer, power
from undercroft import Store

WRITES = 60
"""Of each of two processes, in one journal."""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if power.compiler() is None:
        pytest.skip("no C compiler (cc, gcc or clang) on this machine: power cuts are not simulated")
    return power.build(tmp_path_factory.mktemp("power"))


def recorded(library: Path, folder: Path, name: str, *weaknesses: str) -> list[power.Note]:
    """Let two processes write to the file in the folder; returns all that the disk was asked for."""
    journal = folder.with_suffix(f".{name}")
    environment = {
        **os.environ,
        "LD_PRELOAD": str(library),
        "UNDERCROFT_TEST_POWER_OF": str(folder),
        "UNDERCROFT_TEST_POWER_TO": str(journal),
        "UNDERCROFT_TEST_ACKNOWLEDGED": str(folder / "acknowledged"),
    }
    orders = "".join(f"{name}{colour[0]} {WRITES} {colour}\n" for colour in ("blocking", "awaiting"))
    command = [sys.executable, file_writer.__file__, f"sqlite:///{folder / 'shared.db'}", *weaknesses]
    made = subprocess.run(command, env=environment, input=orders, capture_output=True, text=True, check=True)
    assert made.stdout.count("died") == made.stdout.count(" 0\n") == 2, made.stderr
    return power.read(journal)


def acknowledged(notes: list[power.Note]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {kind: set() for kind in file_writer.KINDS}
    for note in notes:
        if note.path.name == "acknowledged":
            kind, name = note.data.decode().split()
            found[kind].add(name)
    return found


def missing(folder: Path, promised: dict[str, set[str]]) -> dict[str, int]:
    """How many acknowledged writes are not in the file, by kind; the file itself must be whole."""
    with contextlib.closing(sqlite3.connect(folder / "shared.db")) as file:
        assert file.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        lost = {
            kind: len(promised[kind] - {name for (name,) in file.execute(query)})
            for kind, query in file_writer.STORED.items()
        }
        [(units,)] = file.execute(file_writer.UNITS)
    lost["unit"] = len(promised["unit"]) - units
    return {kind: number for kind, number in lost.items() if number > 0}


def put(content: dict[str, bytes], folder: Path) -> Path:
    folder.mkdir()
    for name, data in content.items():
        (folder / name).write_bytes(data)
    return folder


class Cuts:
    """Cuts of the power, each at a moment of a run; the last one of a run is what the next one starts from."""

    def __init__(self, library: Path, at: Path, *weaknesses: str) -> None:
        self.library = library
        self.at = at
        self.weaknesses = weaknesses
        self.promised: dict[str, set[str]] = {kind: set() for kind in file_writer.KINDS}
        self.lost: Counter[str] = Counter()
        self.seen: Counter[str] = Counter()
        self.cuts = 0
        self._content: dict[str, bytes] = {}
        self._rounds = 0

    def some(self, cuts: int, seed: int) -> None:
        """Record one run and cut it so often."""
        self._rounds += 1
        chance = random.Random(seed)
        folder = put(self._content, self.at / f"run{self._rounds}")
        if self._rounds == 1:
            file_writer.prepare(f"sqlite:///{folder / 'shared.db'}")
        disk = power.Disk(folder)
        notes = recorded(self.library, folder, f"r{self._rounds}", *self.weaknesses)
        self.seen.update(f"{note.kind} {note.path.name}" for note in notes)
        moments = [*sorted(chance.sample(range(len(notes)), cuts - 1)), len(notes) - 1]
        for moment, note in enumerate(notes):
            disk.ask(note)
            while moments and moments[0] == moment:
                moments.pop(0)
                self._one(disk.cut(chance), self._and(acknowledged(notes[: moment + 1])))
        self.promised = self._and(acknowledged(notes))
        self._check_model(disk, folder)

    def _and(self, more: dict[str, set[str]]) -> dict[str, set[str]]:
        return {kind: names | more[kind] for kind, names in self.promised.items()}

    def _one(self, content: dict[str, bytes], promised: dict[str, set[str]]) -> None:
        self.cuts += 1
        self._content = content = {name: data for name, data in content.items() if name != "acknowledged"}
        folder = put(content, self.at / f"cut{self.cuts}")
        self.lost.update(missing(folder, promised))
        with Store(f"sqlite:///{folder / 'shared.db'}") as store:  # the next process goes on
            store.default.users.ensure("next")

    @staticmethod
    def _check_model(disk: power.Disk, folder: Path) -> None:
        """With nothing lost the disk must be what really lies there: no change was missed."""
        there = {path.name: path.read_bytes() for path in folder.iterdir() if path.name.startswith("shared.db")}
        there.pop("shared.db-shm", None)
        kept = {
            name: content for name, content in disk.whole().items() if name in there or name.startswith("shared.db")
        }
        assert {name for name in kept.keys() | there.keys() if kept.get(name, b"") != there.get(name, b"")} == set()


def check(library: Path, at: Path, *, rounds: int, cuts: int) -> None:
    done = Cuts(library, at)
    for _ in range(rounds):
        seed = random.randrange(2**32)
        done.some(cuts, seed)
        assert done.lost == {}, f"with seed {seed}"
    assert done.cuts == rounds * cuts
    assert done.seen["S shared.db-wal"] > WRITES, "this Python's SQLite does not pass the journal"
    assert done.seen["W shared.db"], "no checkpoint was among what the power failed under"


def test_no_cut_of_the_power_takes_what_was_acknowledged(library: Path, tmp_path: Path):
    check(library, tmp_path, rounds=2, cuts=6)


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_no_cut_of_the_power_takes_what_was_acknowledged_at_length(library: Path, tmp_path: Path, soak_share: float):
    check(library, tmp_path, rounds=10, cuts=max(2, int(20 * soak_share)))


def test_control_without_synchronous_full_the_cuts_take_it(library: Path, tmp_path: Path):
    done = Cuts(library, tmp_path, "unsynced")
    with contextlib.suppress(sqlite3.DatabaseError, AssertionError):  # the file may be damaged as well
        done.some(12, seed=1)
    assert done.lost.total() > WRITES
