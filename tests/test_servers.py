import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest
import redis

from tests import servers

ROOT = Path(__file__).parent.parent
A_RUN = """
import sys, time
from tests import servers
with servers.run():
    print(servers.url("postgresql"), servers.url("valkey"), flush=True)
    sys.stdin.read()
"""


def _answer(addresses: list[str]) -> bool:
    return any(servers._answers(address) for address in addresses)


def _start_a_run() -> tuple[subprocess.Popen[str], list[str]]:
    environment = {name: value for name, value in os.environ.items() if name != servers.RUN}
    command, pipe = [sys.executable, "-c", A_RUN], subprocess.PIPE
    first = subprocess.Popen(command, cwd=ROOT, env=environment, text=True, stdin=pipe, stdout=pipe)
    assert first.stdout is not None
    return first, first.stdout.readline().split()


@pytest.mark.parametrize("name", servers.names("postgresql"))
def test_postgresql_answers_its_administrator_and_is_as_durable_as_in_production(name):
    with psycopg.connect(servers.url(name)) as connection:
        settings = "SELECT current_setting('fsync'), current_setting('synchronous_commit'), rolsuper FROM pg_roles"
        assert connection.execute(f"{settings} WHERE rolname = current_user").fetchone() == ("on", "on", True)


@pytest.mark.parametrize("name", servers.names("valkey"))
def test_valkey_answers(name):
    with redis.Redis.from_url(servers.url(name)) as client:
        assert client.ping()


def test_the_workers_of_a_run_share_one_server():
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", "from tests import servers; print(servers.url('valkey'))"],
            cwd=ROOT,
            text=True,
            stdout=subprocess.PIPE,
        )
        for _ in range(4)
    ]
    addresses = {worker.communicate()[0].strip() for worker in workers}
    assert addresses == {servers.url("valkey")}


def test_a_run_that_ends_stops_its_servers_first():
    first, addresses = _start_a_run()
    assert _answer(addresses)
    first.communicate()
    assert first.returncode == 0
    assert not _answer(addresses)


def test_a_run_that_is_killed_leaves_no_server():
    first, addresses = _start_a_run()
    assert len(addresses) == 2
    first.send_signal(signal.SIGKILL)
    first.communicate()
    for _ in range(500):
        if not _answer(addresses):
            break
        time.sleep(0.02)
    assert not _answer(addresses)


def test_a_server_that_does_not_start_is_an_error_with_its_log(tmp_path, monkeypatch):
    monkeypatch.setenv(servers.RUN, str(tmp_path))
    with pytest.raises(RuntimeError, match=r"(?s)throwaway unheard-of server did not start.*KeyError"):
        servers.url("unheard-of")
