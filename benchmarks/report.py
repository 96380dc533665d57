"""The tables of a run as Markdown."""

import os
import platform
import re
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from benchmarks.harness import Bench, Case, Row, Verdict

HERE = Path(__file__).parent
PACKAGES = ("SQLAlchemy", "asyncpg", "psycopg", "psycopg-pool", "greenlet", "orjson", "redis")
PEERS = [line.partition("==")[0].partition("[")[0] for line in (HERE / "peers.txt").read_text().splitlines()[1:]]
HEAD = """# Results

{date}; {machine}; Python {python}, PostgreSQL {postgres}, SQLite {sqlite}; {packages}.

Made by `python -m benchmarks --write`, all tables in one run. A ratio is the median over the rounds of a contender's
rate divided by the limit's rate **in the same round**, with its lowest and highest in brackets. **Ratios count to
within ±15 %, absolute figures not at all**: on a shared machine with few cores they change from run to run, while
contenders that take turns suffer the same.

The limit is the driver without isolation; every figure of ours is with isolation, through the public facade, as a plain
application role under forced row-level security. CPU is the client's own, per operation. Client and server share the
machine.
"""


@dataclass(frozen=True)
class Section:
    """One task that was run."""

    name: str
    number: int
    title: str
    bench: Bench


def markdown(sections: Sequence[Section], server_version: str) -> str:
    """Build the whole page."""
    head = HEAD.format(
        date=datetime.now(UTC).strftime("%Y-%m-%d"),
        machine=f"{os.cpu_count()} cores of a shared {_processor()}",
        python=platform.python_version(),
        postgres=server_version,
        sqlite=sqlite3.sqlite_version,
        packages=", ".join(_versions()),
    )
    in_order = sorted(sections, key=lambda section: section.number)
    return "\n".join([head, *(line for section in in_order for line in _section(section))])


def _section(section: Section) -> Iterator[str]:
    yield f"## {section.number}. {section.title}\n"
    for case in section.bench.cases:
        yield from _table(case)
    for remark in section.bench.remarks:
        yield f"- {remark}"
    if section.bench.remarks:
        yield ""
    notes = HERE / "notes" / f"{section.name}.md"
    if notes.exists():
        yield notes.read_text()


def _table(case: Case) -> Iterator[str]:
    times = (" p50 / p95 ms |", " ---: |") if case.latency else ("", "")
    yield f"**{case.name}**\n"
    yield f"| | ratio | operations/s |{times[0]} CPU µs |"
    yield f"| --- | ---: | ---: |{times[1]} ---: |"
    for row in case.rows:
        yield _line(row, latency=case.latency)
    yield ""
    for verdict in case.verdicts:
        yield _verdict(verdict)
    if case.verdicts:
        yield ""


def _line(row: Row, *, latency: bool) -> str:
    name = f"**{row.contender}**" if row.role == "ours" else row.contender
    ratio = "1" if row.role == "limit" else f"{_short(row.ratio)} [{_short(row.lowest)} to {_short(row.highest)}]"
    errors = f", {row.errors} errors" if row.errors else ""
    times = f" {row.p50:.2f} / {row.p95:.2f} |" if latency else ""
    return f"| {name} | {ratio} | {_rate(row.rate)}{errors} |{times} {row.cpu:,.0f} |"


def _verdict(verdict: Verdict) -> str:
    target, outcome = verdict.target, "met" if verdict.met else "missed"
    if target.at_least is None:
        return f"- target p95 of {target.contender} at most {target.p95:g} ms: {verdict.measured:.1f} ms, {outcome}"
    against = f" of {target.against}" if target.against else ""
    return f"- target {target.contender} ≥ {target.at_least:.2g}{against}: {_short(verdict.measured)}, {outcome}"


def _rate(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 10 else f"{rate:.2f}"  # noqa: PLR2004 - same


def _short(ratio: float) -> str:
    return f"{ratio:.2f}" if ratio >= 0.1 else f"{ratio:.3f}"  # noqa: PLR2004 - two digits that say something


def _versions() -> Iterator[str]:
    for package in (*PACKAGES, *PEERS):
        try:
            yield f"{package} {metadata.version(package)}"
        except metadata.PackageNotFoundError:
            continue


def _processor() -> str:
    try:
        found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    except OSError:
        found = None
    return found[1] if found else platform.processor() or platform.machine()
