"""`import undercroft` in a new process, against importing what it is made of."""

import asyncio
import resource
import sys
import time
from functools import partial
from importlib.util import find_spec

from benchmarks.harness import Bench, Contender, Target, Turn

NUMBER, TITLE = 10, "Importing the package in a new process"
OURS = "import undercroft"
SETTINGS = "pydantic_settings" if find_spec("pydantic_settings") else "pydantic"
PARTS, IN_A_FILE = (f"sqlalchemy.orm, {SETTINGS}, {driver}" for driver in ("asyncpg", "sqlite3"))
MOST = 1.3


async def run(bench: Bench) -> None:
    """Measure the process's own CPU time too: at its start a process waits for nothing but the disk."""
    statements = {
        Contender(PARTS, "limit"): f"import {PARTS}",
        Contender(IN_A_FILE, "reference"): f"import {IN_A_FILE}",
        Contender(OURS, "ours"): OURS,
    }
    runners = {contender: partial(_new_process, statement) for contender, statement in statements.items()}
    for runner in runners.values():
        await runner()  # so that everything is compiled
    await bench.race("start of a process", runners, targets=[Target(OURS, 1 / MOST)])
    bench.remark(f"the target is at most {MOST} times the parts' time, a rate of at least {1 / MOST:.2f} of theirs")


async def _new_process(statement: str) -> Turn:
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", statement)
    assert await process.wait() == 0, f"this needs its packages installed: {statement}"
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Turn(seconds=time.perf_counter() - start, cpu=cpu, done=1)
