"""A process that follows the changes of another one, and reads what it has been told of."""

import json
import subprocess
import sys
import time
from typing import Any

import pytest

CHANGES = 20
FOLLOW = """
import json, sys
from undercroft import Settings, Store
with Store(settings=Settings.load(sys.argv[1], env_file=None)) as store:
    config, left = store.tenant(sys.argv[2]).config, int(sys.argv[3])
    print(config.get("n", "nothing"), flush=True)
    for change in config.watch():
        print(json.dumps([change.version, change.value, config.get("n")]), flush=True)
        left -= 1
        if not left:
            break
"""


@pytest.mark.parametrize(
    ("engine", "colour"), [("sqlite", "sync"), ("postgresql", "sync")], ids=["sqlite", "postgresql"], indirect=True
)
def test_a_process_hears_of_a_change_and_reads_nothing_older(database_url, tenant: Any):
    command = [sys.executable, "-c", FOLLOW, database_url, tenant.key, str(CHANGES)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as follower:
        assert follower.stdout
        assert follower.stdout.readline() == "nothing\n"
        number, end = 0, time.monotonic() + 60
        while follower.poll() is None and time.monotonic() < end:
            number += 1
            tenant.config.set("n", number)
            time.sleep(0.02)
        follower.kill()
        told = [json.loads(line) for line in follower.stdout]
    first = told[0][0]
    assert [version for version, _, _ in told] == list(range(first, first + CHANGES))
    assert [value for _, value, _ in told] == [version for version, _, _ in told]
    assert [read for version, _, read in told if read < version] == []
