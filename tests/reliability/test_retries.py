"""A transaction that the database gave up is run again as a whole, and nothing else is."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests import servers
from tests.reliability.own_calls import ours, sleep
from undercroft import errors
from undercroft.core import retry
from undercroft.core.retry import Attempts, Budget
from undercroft.core.tx import Tx
from undercroft.users import ops as users

POSTGRESQL = pytest.mark.parametrize("engine", servers.names("postgresql")[:1], indirect=True)

GIVEN_UP = {
    "40001": errors.SerializationFailure,
    "40P01": errors.Deadlock,
    "55P03": errors.LockTimeout,
    "57P03": errors.DatabaseUnavailable,
    "53300": errors.DatabaseUnavailable,
}
FINAL = {
    "22003": errors.InvalidInput,
    "23502": errors.NotNullViolation,
    "23503": errors.ForeignKeyViolation,
    "23505": errors.UniqueViolation,
    "23514": errors.CheckViolation,
    "25006": errors.ReadOnly,
    "42501": errors.PermissionDenied,
    "42601": errors.SyntaxRefused,
    "42P01": errors.SyntaxRefused,
    "53100": errors.DatabaseFull,
    "57014": errors.QueryTimeout,
    "UC001": errors.TenantUnknown,
    "UC003": errors.TenantMismatch,
}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "FIRST_DELAY", 0.0001)


def failing(state: str, times: int, runs: list[int]) -> Any:
    """Adds a user, then fails so often with an SQLSTATE."""

    def add(tx: Tx, name: str) -> int:
        runs.append(1)
        users.ensure(tx, f"{name}-{len(runs)}")
        if len(runs) <= times:
            tx.command(f"DO $$ BEGIN RAISE 'given up' USING ERRCODE = '{state}'; END $$")
        return len(runs)

    return add


@POSTGRESQL
@pytest.mark.parametrize("state", GIVEN_UP)
def test_what_was_given_up_is_run_again_as_a_whole(tenant, quick, state):
    runs: list[int] = []
    assert ours(tenant, failing(state, 2, runs))("U") == 3
    assert [user.native_id for user in tenant.users.list()] == ["U-3"]  # nothing of the runs before


@POSTGRESQL
@pytest.mark.parametrize("state", GIVEN_UP)
def test_it_is_run_five_times_and_no_more(tenant, quick, state):
    runs: list[int] = []
    with pytest.raises(GIVEN_UP[state]):
        ours(tenant, failing(state, 100, runs))("U")
    assert len(runs) == retry.ATTEMPTS == 5
    assert tenant.users.list() == []


@POSTGRESQL
@pytest.mark.parametrize("state", FINAL)
def test_what_would_fail_again_is_run_once(tenant, quick, state):
    runs: list[int] = []
    with pytest.raises(FINAL[state]):
        ours(tenant, failing(state, 1, runs))("U")
    assert len(runs) == 1
    assert tenant.users.list() == []


@POSTGRESQL
def test_a_callers_own_transaction_is_never_run_again(tenant, quick):
    """Its block is the caller's code: only he can run it again."""
    runs = []
    with pytest.raises(errors.Deadlock), tenant.transaction() as tx:
        runs.append(1)
        ours(tx, failing("40P01", 1, []))("U")
    assert len(runs) == 1


@POSTGRESQL
def test_two_calls_that_block_each_other_both_succeed(tenant, quick):
    """A real deadlock: PostgreSQL gives one of them up after a second."""
    tenant.users.ensure("U1")
    tenant.users.ensure("U2")
    met, runs = threading.Barrier(2, timeout=20), []

    def both(tx: Tx, first: str, second: str) -> None:
        runs.append(first)
        users.ensure(tx, first, name=f"by {first}")
        if len(runs) <= 2:
            sleep(tx, 0.5)
        users.ensure(tx, second, name=f"by {first}")

    with ThreadPoolExecutor(2) as threads:
        call = ours(tenant, both)

        def one(first: str, second: str) -> None:
            met.wait()
            call(first, second)

        for done in [threads.submit(one, "U1", "U2"), threads.submit(one, "U2", "U1")]:
            done.result()
    assert len(runs) > 2  # what was given up may meet the other one once more
    assert len({user.name for user in tenant.users.list()}) == 1


@POSTGRESQL
def test_control_without_retries_one_of_them_fails(tenant, monkeypatch):
    monkeypatch.setattr(retry, "ATTEMPTS", 1)
    with pytest.raises(errors.Deadlock):
        test_two_calls_that_block_each_other_both_succeed(tenant, None)


def test_retries_end_when_too_many_calls_need_them():
    budget = Budget()
    spent = 0
    while Attempts(budget).delay(errors.Deadlock()) is not None:
        spent += 1
    assert spent == 50
    for _ in range(11):
        budget.earn()
    assert Attempts(budget).delay(errors.Deadlock()) is not None
    assert Attempts(budget).delay(errors.Deadlock()) is None


def test_the_waits_grow_and_end():
    attempts = Attempts(Budget())
    waits = [attempts.delay(errors.LockTimeout()) for _ in range(5)]
    assert waits[4] is None
    assert all(0 <= wait <= min(2.0, 0.02 * 4**n) for n, wait in enumerate(waits[:4], 1))


@pytest.mark.parametrize(("keyed", "again"), [(False, False), (True, True)])
def test_a_lost_answer_is_asked_for_again_under_a_key_only(keyed, again):
    attempts = Attempts(Budget(), keyed=keyed)
    assert (attempts.delay(errors.CommitUnknown()) is not None) is again
    assert (attempts.delay(errors.IdempotencyInFlight()) is not None) is again


def test_after_a_lost_answer_no_later_failure_says_that_nothing_was_stored():
    attempts = Attempts(Budget(), keyed=True)
    attempts.delay(errors.CommitUnknown())
    later = errors.DatabaseUnavailable()
    assert isinstance(attempts.outcome(later), errors.CommitUnknown)
    assert attempts.outcome(later).__cause__ is later
    refused = errors.NotFound()
    assert attempts.outcome(refused) is refused
    assert Attempts(Budget(), keyed=True).outcome(later) is later
