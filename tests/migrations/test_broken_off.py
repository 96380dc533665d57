"""An upgrade that is killed anywhere leaves nothing of itself, and the next one makes what a clean install makes."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from random import Random
from signal import SIGKILL
from textwrap import dedent

import pytest
import sqlalchemy as sa

from tests.migrations.conftest import connected, created
from tests.migrations.dump import schema
from undercroft.errors import UndercroftError
from undercroft.migrations import history, runner

SEED = 20261124

# Each upgrade is a fork of one process that has loaded everything: it kills itself before the statement, or the commit,
# that it was told. Nothing happens between the answer to a statement and the next one, so that is after it as well.
PROGRAM = dedent("""
    import os, signal, sys
    import sqlalchemy as sa
    from sqlalchemy.pool import NullPool
    from undercroft.migrations import runner

    engine = sa.create_engine(sys.argv[1], poolclass=NullPool)
    engine.connect().close()  # what it asks the server once is not asked in every fork
    together = sys.argv[2] == "together"

    def upgrade(revision, stop):
        moments = iter(range(1, stop + 1))

        def count(*_):
            if next(moments) == stop:
                os.kill(os.getpid(), signal.SIGKILL)

        def commit(connection, *_):
            connection.connection.driver_connection.commit()

        with engine.connect() as connection:
            sa.event.listen(connection, "before_cursor_execute", count)
            sa.event.listen(connection, "commit", count)
            if not together:
                sa.event.listen(connection, "after_cursor_execute", commit)
            runner.upgrade(connection, revision)

    for line in sys.stdin:
        revision, stop = line.split()
        child = os.fork()
        if child == 0:
            upgrade(revision, int(stop))
            os._exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
""")

Kill = Callable[[str, int], int]


@dataclass(frozen=True)
class Install:
    """What a revision makes where nothing went wrong, and how many moments there are to be killed at."""

    revision: str
    moments: int
    state: list[str]


def state(connection: sa.Connection) -> list[str]:
    return [*schema(connection), *sorted(runner.applied(connection))]


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], list[Install]]:
    """Gives the installs of an engine, revision by revision, in a database that is used for nothing else."""
    known: dict[str, list[Install]] = {}

    def install(url: str) -> Iterator[Install]:
        for revision in history.known:
            moments: list[object] = []
            with connected(url) as connection:
                for name in ("before_cursor_execute", "commit"):
                    sa.event.listen(connection, name, lambda *_, seen=moments: seen.append(_))
                runner.upgrade(connection, revision)
                made = Install(revision, len(moments), state(connection))
            yield made

    def ask(engine: str) -> list[Install]:
        if engine not in known and engine == "sqlite":
            known[engine] = list(install(f"sqlite:///{tmp_path_factory.mktemp('clean') / 'clean.db'}"))
        elif engine not in known:
            with created(engine) as url:
                known[engine] = list(install(url))
        return known[engine]

    return ask


@contextmanager
def killing(url: str, commits: str = "together") -> Iterator[Kill]:
    """Upgrade to a revision in a process that is killed at its so-manieth moment; gives its exit code."""
    address = url.replace("postgresql:", "postgresql+psycopg:")
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, address, commits], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin
        assert process.stdout

        def kill(revision: str, moment: int) -> int:
            process.stdin.write(f"{revision} {moment}\n")
            process.stdin.flush()
            return int(process.stdout.readline())

        yield kill
        process.stdin.close()


def broken_off(url: str, installs: list[Install], moments: Callable[[int], list[int]]) -> None:
    with killing(url) as kill, connected(url) as watching:
        before = state(watching)
        for install in installs:
            for moment in moments(install.moments):
                assert kill(install.revision, moment) == -SIGKILL
                assert state(watching) == before
            assert kill(install.revision, install.moments + 1) == 0  # nothing stops it
            before = state(watching)
            assert before == install.state


def test_an_upgrade_killed_somewhere_can_be_run_again(engine: str, empty_database_url: str, clean) -> None:
    random = Random(SEED)
    broken_off(empty_database_url, clean(engine), lambda last: [random.randint(1, last)])


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("engine", ["sqlite", "postgresql"], indirect=True)
def test_an_upgrade_killed_before_and_after_every_statement_can_be_run_again(
    engine: str, empty_database_url: str, clean, soak_share: float
) -> None:
    step = round(1 / soak_share)
    broken_off(empty_database_url, clean(engine), lambda last: [*range(1, last, step), last])


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"], indirect=True)
def test_control_with_a_commit_after_every_statement_it_cannot(engine: str, empty_database_url: str, clean) -> None:
    whole = clean(engine)[-1]
    with connected(empty_database_url) as connection:
        before = state(connection)
        with killing(empty_database_url, "apart") as kill:
            assert kill(history.head, clean(engine)[0].moments // 2) == -SIGKILL
        assert state(connection) != before
        with suppress(UndercroftError, sa.exc.DBAPIError):
            runner.upgrade(connection)
        assert state(connection) != whole.state
