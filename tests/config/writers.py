"""A process of writers who all count on in one configuration: `URL TENANT cas|blind PROCESS THREADS WRITES`."""

import json
import random
import sys
import threading
import time

from undercroft import Settings, Store
from undercroft.errors import UndercroftError, VersionConflict


def main(url: str, name: str, way: str, *, process: str, threads: int, writes: int) -> None:
    done: list[tuple[int, int, str]] = []
    conflicts, failures = [0] * threads, []

    def count_on(mine: int) -> None:
        me = f"{process}.{mine}"
        left, lost = writes, 0
        while left:
            found = {one.key: one for one in tenant.config.list(prefix="counter")}.get("counter")
            at, version = (0, 0) if found is None else (found.value["n"], found.version)
            value = {"n": at + 1, "by": me}
            try:
                if way == "cas":
                    made = tenant.config.set("counter", value, expected=version, by=me)
                else:
                    time.sleep(0.002)  # what somebody else writes meanwhile is lost
                    made = tenant.config.set("counter", value, by=me)
            except VersionConflict as error:
                conflicts[mine] += 1
                if error.current <= version:
                    failures.append(f"expected {version}, refused at {error.current}")
                lost += 1  # the more meet, the longer each waits
                time.sleep(random.uniform(0, min(1, 0.01 * 2**lost)))
            except UndercroftError as error:
                failures.append(f"{error.code}: {error}")
                return
            else:
                done.append((made.version, at + 1, me))
                left, lost = left - 1, 0

    with Store(settings=Settings.load(url, env_file=None)) as store:
        tenant = store.tenant(name)
        tenant.config.get("counter")
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.readline()
        running = [threading.Thread(target=count_on, args=(mine,)) for mine in range(threads)]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()
    sys.stdout.write(json.dumps({"done": done, "conflicts": sum(conflicts), "failures": failures}))


main(*sys.argv[1:4], process=sys.argv[4], threads=int(sys.argv[5]), writes=int(sys.argv[6]))
