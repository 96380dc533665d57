"""Another tenant's rows are out of reach: every table, attacked with raw SQL by a login of the application's rights."""

from collections.abc import Iterator
from contextlib import suppress
from random import Random
from typing import Any
from uuid import UUID

import psycopg
import pytest
import sqlalchemy as sa

from tests.reliability.attacks import ATTACKS, Aim, Attack, existence_oracle, literal
from tests.reliability.canaries import tables
from tests.reliability.walls import House, Sums, house
from undercroft.core.types import Text

SEED = 20261124

# What stands in a session when the attack begins.
WAYS = (
    "foreign",  # the attacker's own transaction
    "none",  # a transaction that nobody entered
    "autocommit",  # no transaction at all
    "fleet",  # the fleet's transaction, which sees the directory of tenants alone
    "after the victim",  # on a connection that just served the victim
    "after the victim, none",
    "after the victim's failure",
    "after the victim's savepoint",
)


class Attacker:
    """Carries out attacks on one connection, which it keeps as a pool would."""

    @property
    def url(self) -> str:
        return self._house.url

    def __init__(self, house: House) -> None:
        self._house = house
        self._notices: list[str] = []
        self._sums = house.sums()
        self._connect()

    def _connect(self) -> None:
        self.connection = psycopg.connect(self.url, autocommit=True, prepare_threshold=1)
        self.connection.add_notice_handler(lambda notice: self._notices.append(str(notice.message_primary)))

    def close(self) -> None:
        self.connection.close()

    def attack(self, attack: Attack, aim: Aim, way: str) -> list[str]:
        """Every leak and every effect of one attempt."""
        self._notices.clear()
        answers: list[Any] = []
        owner = self._begin(aim, way)
        with suppress(psycopg.Error):
            for line in self._lines(attack(aim)):
                try:
                    answers.append(self._run(*line))
                except psycopg.Error as error:
                    answers.append(f"{error} {error.diag.message_detail} {error.diag.context}")
                    if way != "autocommit":
                        break
        before, now = self._sums, self._ended()
        watched = [self._house.victim] if owner else [self._house.victim, self._house.attacker]
        if way == "fleet":  # the directory itself is the fleet's
            answers = [answer for answer in answers if " inc" not in str(answer)]
        return self._house.leaks(answers, self._notices, of=watched) + self._house.effects(before, now, but=owner)

    def _begin(self, aim: Aim, way: str) -> UUID | None:
        mine, theirs = (f"SELECT undercroft.enter({literal(of)})" for of in (aim.own, aim.victim.id))
        run = self.connection.execute
        if way.startswith("after the victim"):
            run("BEGIN")
            run(theirs)
            run(f"SELECT * FROM {aim.name}").fetchall()
            if way.endswith("failure"):
                with suppress(psycopg.Error):
                    run("SELECT 1 / 0")
            run("COMMIT")
        if way != "autocommit":
            run("BEGIN")
        if way.endswith("savepoint"):
            for statement in ("SAVEPOINT s", theirs, "ROLLBACK TO SAVEPOINT s"):
                run(statement)
        if way == "fleet":
            run("SELECT undercroft.enter_fleet()")
        if way in {"none", "autocommit", "fleet", "after the victim, none"}:
            return None
        run(mine)
        return aim.own

    @staticmethod
    def _lines(statements: list[str]) -> Iterator[tuple[str, str]]:
        if "FROM STDIN" in statements[0]:
            yield statements[0], statements[1]
            return
        for statement in statements:
            yield statement, ""

    def _run(self, statement: str, data: str) -> Any:
        cursor = self.connection.cursor()
        if statement.startswith("COPY"):
            with cursor.copy(statement) as copy:
                if data:
                    copy.write(data)
                    return None
                return b"".join(bytes(part) for part in copy).decode()
        cursor.execute(statement)
        return cursor.fetchall() if cursor.description else cursor.statusmessage

    def _ended(self) -> Sums:
        """Commit, so that what was done is done, and look."""
        if self.connection.closed:
            self._connect()
        if self.connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
            self.connection.execute("COMMIT")
        # As the open lane does between two borrowers; a session's own state is not what is attacked here.
        self.connection.execute("DISCARD TEMP")
        self._sums = self._house.sums()
        return self._sums


def _aim(house: House, table: sa.Table, random: Random) -> Aim:
    return Aim(table, house.victim, house.attacker.id, random, house.partitions.get(table.name, []), house.views)


def attempts(house: House, seed: int, number: int) -> list[str]:
    """Attack that many times, and return what was found, with what it takes to see it again."""
    random, attacker, found = Random(seed), Attacker(house), []
    try:
        for one in range(number):
            table = tables()[one % len(tables())]
            attack, way = random.choice(ATTACKS), random.choice(WAYS)
            faults = attacker.attack(attack, _aim(house, table, random), way)
            found += [
                f"{attack.__name__} on {table.name}, {way} (attempt {one} of {seed}): {fault}" for fault in faults
            ]
    finally:
        attacker.close()
    return found + house.stolen()


class PastTheWalls(Attacker):
    """The same attacks by a login that no wall holds; whatever they do is undone."""

    @property
    def url(self) -> str:
        return self._house.admin_url

    def _ended(self) -> Sums:
        done = self._sums
        if self.connection.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS:
            done = self._house.sums(self.connection.execute)
        self.connection.execute("ROLLBACK")
        return done


@pytest.fixture(scope="module")
def standing() -> Iterator[House]:
    with house(SEED) as made:
        yield made


def test_nothing_leaks_and_nothing_changes(standing):
    assert "\n".join(attempts(standing, SEED, 1000)) == ""


@pytest.mark.soak
def test_nothing_leaks_and_nothing_changes_at_length(standing, soak_share):
    assert attempts(standing, SEED + 1, int(10_000 * soak_share)) == []


# Guarded by the functions they call, which do not ask who is a superuser; by keys, each of which begins with a tenant.
GUARDED_OTHERWISE = {"enter_as_well", "purge", "search", "existence_oracle"}


def test_control_a_table_without_its_wall_is_caught():
    with house(SEED) as made:
        made.run("ALTER TABLE undercroft.users DISABLE ROW LEVEL SECURITY")
        found = attempts(made, SEED, 200)
    assert {line.split(" on ")[1].split(",")[0] for line in found if " on " in line} == {"users"}
    assert {"leak: the victim's secret", "effect: users of the victim"} <= {line.partition("): ")[2] for line in found}


def test_control_a_key_that_tenants_share_tells_of_the_others():
    with house(SEED) as made:
        aim = _aim(made, next(table for table in tables() if table.name == "users"), Random(SEED))
        attacker = Attacker(made)
        before = attacker.attack(existence_oracle, aim, "foreign")
        made.run("CREATE UNIQUE INDEX shared ON undercroft.users (id)")
        now = attacker.attack(existence_oracle, aim, "foreign")
        attacker.close()
    assert (before, now) == ([], ["leak: by a duplicate key"])


def test_every_table_is_attacked(standing):
    assert sorted(standing.names) == sorted(["tenants", *(table.name for table in tables())])
    for table in tables():
        victim = standing.victim
        rows = standing.run(f"SELECT * FROM undercroft.{table.name} WHERE tenant_id = '{victim.id}'").fetchall()
        assert len(rows) == 3
        if any(not column.primary_key and isinstance(column.type, Text) for column in table.columns):
            assert victim.secret in repr(rows)


def test_control_each_attack_succeeds_for_a_login_that_passes_the_walls(standing):
    """An attack that fails for want of a table or a comma would pass for a wall that holds."""
    attacker, random = PastTheWalls(standing), Random(SEED)
    harmless = [
        attack.__name__
        for attack in ATTACKS
        if not any(attacker.attack(attack, _aim(standing, table, random), "foreign") for table in tables())
    ]
    attacker.close()
    assert sorted(harmless) == sorted(GUARDED_OTHERWISE)
