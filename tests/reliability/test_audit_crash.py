"""A process dies between an event's commit and its seal: the event is there, and gets its place from the next call."""

import signal
import subprocess
import sys
import textwrap
import time

import pytest

from tests.audit.superuser import superuser
from undercroft import Store

DIES = """
import os, signal, sys
from undercroft import Store
from undercroft.audit import sealing

def die(tx, asked):
    os.kill(os.getpid(), signal.SIGKILL)

with Store(sys.argv[1]) as store:
    tenant = store.tenant(sys.argv[2])
    tenant.audit.log("a.b")
    sealing.SEAL.single.fn = die
    with tenant.transaction() as tx:
        for n in range(3):
            tx.audit.log("in.transaction", data={"n": n})
"""


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_what_was_committed_is_sealed_later_and_never_lost(engine, database_url):
    key = f"slack:T{time.time_ns()}"
    with Store(database_url) as store:
        store.tenants.ensure(key)
        died = subprocess.run([sys.executable, "-c", textwrap.dedent(DIES), database_url, key], check=False)
        assert died.returncode == -signal.SIGKILL
        tenant = store.tenant(key)
        with superuser(engine, database_url) as root:
            waiting = "SELECT count(*) FROM undercroft.audit_pending WHERE tenant_id = ?"
            assert root.run(waiting, tenant.id) == [(3,)]
            with tenant.transaction() as tx:
                tx.audit.log("next")
            assert root.run(waiting, tenant.id) == [(0,)]
        report = tenant.audit.verify()
        assert (report.damage, report.verified) == (None, 5)
        assert [event.data.get("n") for event in tenant.audit.search(event_type="in.transaction")] == [2, 1, 0]
