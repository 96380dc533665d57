"""The scheduler in the process: one of many does a run that is due, errors do not end it, and it stops when told to."""

import logging
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from undercroft import errors
from undercroft.upkeep.retention import running

EVERY = timedelta(seconds=1)


@pytest.fixture
def database_url(own_database_url: str) -> str:
    return own_database_url


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every run that is done."""
    done: list[Any] = []
    real = running.run_while

    def watched(*args: Any, **given: Any) -> Any:
        done.append(real(*args, **given))
        return done[-1]

    monkeypatch.setattr(running, "run_while", watched)
    return done


def _until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_it_runs_at_once_again_later_and_not_after_its_end(store, tenant, runs):
    with store.upkeep.scheduler(every=EVERY):
        _until(lambda: len(runs) >= 2)
        _until(lambda: tenant.stats().last_run is not None)
    number = len(runs)
    stats = store.stats()
    assert stats.next_run_at - stats.last_run.started_at <= 2 * EVERY
    time.sleep(1.2)
    assert len(runs) == number


def test_of_two_that_wait_one_does_the_run(store, colour, database_url, open_store, runs):
    other = open_store(colour, database_url)
    with store.upkeep.scheduler(every=timedelta(hours=1)), other.upkeep.scheduler(every=timedelta(hours=1)):
        _until(lambda: runs)
        time.sleep(0.3)
    assert len(runs) == 1


def test_an_error_is_logged_and_the_next_run_comes(store, monkeypatch, caplog):
    real, calls = running.run_while, []

    def failing(*args: Any, **given: Any) -> Any:
        calls.append(1)
        if len(calls) == 1:
            raise errors.DatabaseUnavailable
        if len(calls) == 2:
            raise KeyError("a mistake of ours")
        return real(*args, **given)

    monkeypatch.setattr(running, "run_while", failing)
    with caplog.at_level(logging.WARNING, "undercroft"), store.upkeep.scheduler(every=EVERY):
        _until(lambda: len(calls) >= 3)
    assert "The database cannot be reached" in caplog.text
    assert "a mistake of ours" in caplog.text


def test_what_the_block_raises_goes_on(store):
    with pytest.raises(ZeroDivisionError), store.upkeep.scheduler():
        raise ZeroDivisionError


def test_a_process_does_not_wait_for_one_that_was_left_open(tmp_path):
    """Its thread is a daemon: a program that dies in its block ends."""
    code = (
        "import sys; from undercroft import Store\n"
        "store = Store(sys.argv[1]); held = store.upkeep.scheduler(); held.__enter__()\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, f"sqlite:///{tmp_path / 'x.db'}"], timeout=30, check=False, capture_output=True
    )
    assert ended.returncode == 0
