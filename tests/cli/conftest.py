"""The program run in this process, which is quick, or in one of its own, which is what a user has."""

import logging
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE, Popen, run as start
from typing import Any

import orjson
import pytest

OURS = ("UNDERCROFT_", "DB_", "DATABASE_", "REDIS_")
TERMINAL = ("NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE", "TTY_COMPATIBLE", "COLUMNS", "LINES")


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The object it printed."""
        return orjson.loads(self.out)

    @property
    def rows(self) -> list[list[str]]:
        """The fields of the tab-separated lines it printed."""
        return [line.split("\t") for line in self.out.splitlines()]


@pytest.fixture(autouse=True)
def _own_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A directory of one's own, no settings in the environment, and a logger as it was."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if (name.startswith(OURS) and not name.startswith("UNDERCROFT_TEST")) or name in TERMINAL:
            monkeypatch.delenv(name)
    monkeypatch.setenv("TZ", "UTC")
    logger = logging.getLogger("undercroft")
    handlers, level = logger.handlers[:], logger.level
    yield
    logger.handlers[:] = handlers
    logger.setLevel(level)


@pytest.fixture
def undercroft(capfdbinary: pytest.CaptureFixture[bytes]) -> Callable[..., Ended]:
    """Runs one command in this process."""
    from undercroft.cli.app import run

    def call(*arguments: str | Path) -> Ended:
        capfdbinary.readouterr()
        code = run([str(argument) for argument in arguments])
        sys.stdout.flush()
        sys.stderr.flush()
        out, err = capfdbinary.readouterr()
        return Ended(code, out.decode(), err.decode())

    return call


@pytest.fixture
def program() -> Callable[..., Ended]:
    """Runs one command in a process of its own, behind pipes."""

    def call(*arguments: str | Path) -> Ended:
        ended = start(command(*arguments), check=False, capture_output=True, text=True, timeout=120)
        return Ended(ended.returncode, ended.stdout, ended.stderr)

    return call


@pytest.fixture
def started() -> Iterator[Callable[..., Popen[str]]]:
    """Starts commands in processes of their own, and kills what still runs at the end."""
    running: list[Popen[str]] = []

    def begin(*arguments: str | Path) -> Popen[str]:
        process = Popen(command(*arguments), stdout=PIPE, stderr=PIPE, text=True)
        running.append(process)
        return process

    yield begin
    for process in running:
        process.kill()
        process.communicate()


def command(*arguments: str | Path) -> list[str]:
    """The command line of the program."""
    return [sys.executable, "-m", "undercroft.cli", *map(str, arguments)]
