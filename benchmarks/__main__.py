"""`python -m benchmarks [task …]`: run tasks, all of them without a name, and print their tables."""

import argparse
import asyncio
import importlib
import json
import logging
import pkgutil
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psycopg

from benchmarks import databases, tasks
from benchmarks.harness import Bench
from benchmarks.report import HERE, Section, markdown
from tests import servers


def main() -> None:
    """Run what was asked for."""
    modules = {
        found.name: importlib.import_module(f"benchmarks.tasks.{found.name}")
        for found in pkgutil.iter_modules(tasks.__path__)
    }
    options = _options(modules)
    logging.getLogger("undercroft").setLevel(logging.ERROR)  # a superuser's login is warned of; it only makes databases
    with servers.run():
        sections = [
            _run(name, modules[name], options)
            for name in options.task or sorted(modules, key=lambda n: modules[n].NUMBER)
        ]
        with psycopg.connect(databases.server()) as connection:
            page = markdown(sections, str(connection.execute("SHOW server_version").fetchone()[0]).split()[0])
    print(page)
    if options.write:
        (HERE / "RESULTS.md").write_text(page)
    if options.json:
        found = {
            one.name: {"cases": [asdict(case) for case in one.bench.cases], "remarks": one.bench.remarks}
            for one in sections
        }
        options.json.write_text(json.dumps(found, indent=1))


def _run(name: str, task: Any, options: argparse.Namespace) -> Section:
    print(f"# {name}", file=sys.stderr)
    bench = Bench(keep=options.keep, quick=options.quick)
    bench.rounds, bench.seconds = (2, 0.1) if options.quick else (options.rounds, options.seconds)
    asyncio.run(task.run(bench))
    return Section(name, task.NUMBER, task.TITLE, bench)


def _options(modules: dict[str, Any]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure Undercroft against the bare drivers and its peers, interleaved.",
        epilog="tasks: " + "; ".join(f"{name} ({module.TITLE})" for name, module in sorted(modules.items())),
    )
    parser.add_argument("task", nargs="*", choices=[[], *modules], metavar="task", help="a task, in the order to run")
    parser.add_argument("--quick", action="store_true", help="short and small, to see that everything runs")
    parser.add_argument("--rounds", type=int, default=11, help="how often each contender takes its turn")
    parser.add_argument("--seconds", type=float, default=0.3, help="the length of a turn")
    parser.add_argument("--keep", action="store_true", help="keep the databases that take long to fill")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to a file as well")
    parser.add_argument("--write", action="store_true", help="write the tables to benchmarks/RESULTS.md")
    return parser.parse_args()


if __name__ == "__main__":
    main()
