"""What the facts about a SQLite file mean."""

from collections.abc import Iterator
from dataclasses import dataclass

from undercroft.upkeep.doctor.report import Finding

# sqlite.org/wal.html, "the WAL-reset bug": 3.7.0 to 3.51.2, without these and what follows in their branches.
_WAL_RESET = ((3, 7, 0), (3, 51, 2))
_WAL_RESET_FIXED = (((3, 44), 6), ((3, 50), 7))

_OTHERS = 0o077


@dataclass(frozen=True, slots=True)
class File:
    """A SQLite file."""

    path: str
    mode: int
    version: tuple[int, ...]
    journal: str
    damage: list[str]
    orphans: list[str]


def file_findings(file: File) -> Iterator[Finding]:
    """Yield what is to be changed about a file."""
    if file.damage:
        yield Finding(
            "file.damaged",
            "severe",
            "The file is damaged",
            "; ".join(file.damage[:3]),
            "restore the last verified backup",
        )
    if file.orphans:
        detail = f"in {', '.join(file.orphans)}: something wrote without foreign keys"
        yield Finding(
            "file.orphans",
            "severe",
            "Rows refer to rows that are not there",
            detail,
            "restore them, or delete those rows",
        )
    if file.mode & _OTHERS:
        yield Finding(
            "file.readable",
            "severe",
            "Others on this machine can open the file",
            f"its mode is {file.mode:o}; whoever reads it reads every tenant",
            f"chmod 600 {file.path}*",
        )
    if file.journal != "wal":
        detail = f"journal_mode is {file.journal}, so readers and writers wait for each other"
        fix = "move the file to a local disk; shared memory, which write-ahead logging needs, is missing here"
        yield Finding("file.journal", "warning", "The file has no write-ahead log", detail, fix)
    if loses_commits(file.version):
        yield Finding(
            "sqlite.wal-reset",
            "warning",
            "This SQLite may lose commits",
            f"{'.'.join(map(str, file.version))} resets its write-ahead log wrongly in rare races between connections,"
            " unless its vendor has put the correction in",
            "use a Python with SQLite 3.51.3, 3.50.7, 3.44.6 or newer",
        )


def loses_commits(version: tuple[int, ...]) -> bool:
    """Whether a version of SQLite has the WAL-reset fault."""
    fixed = any(branch == version[:2] and version[2] >= patch for branch, patch in _WAL_RESET_FIXED)
    return _WAL_RESET[0] <= version <= _WAL_RESET[1] and not fixed
