"""A process beside a rotation: `read N` or `write N` with N threads until a line comes, or `rotate` itself."""

import sys
import threading
from typing import Any

from undercroft import Store
from undercroft.errors import UndercroftError

SECRETS = 30


def tell(*words: Any) -> None:
    """Print a line for whoever started this."""
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def main(what: str, threads: int) -> None:
    with Store() as store:
        tenant = store.default
        if what == "rotate":
            tell("begun")
            tell("left", sum(store.keys.rotate().left.values()))
            return
        done, failures, calls = threading.Event(), [], [0] * threads

        def work(mine: int) -> None:
            number = mine * 7
            while not done.is_set():
                number = (number + 1) % SECRETS
                try:
                    if what == "write":
                        tenant.secrets.set(f"s{number}", f"value {number} {calls[mine]}")
                    elif not tenant.secrets.get(f"s{number}").get_secret_value().startswith(f"value {number}"):
                        failures.append(f"s{number} is another one's")
                except UndercroftError as error:
                    failures.append(f"{error.code}: {error}")
                calls[mine] += 1

        running = [threading.Thread(target=work, args=(mine,)) for mine in range(threads)]
        for thread in running:
            thread.start()
        tell("ready")
        sys.stdin.readline()
        done.set()
        for thread in running:
            thread.join()
        tell(*failures[:5] or ["done", sum(calls)])


main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 0)
