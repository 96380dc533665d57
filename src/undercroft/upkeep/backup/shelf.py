"""A folder of backups: what is in it, and what may go."""

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

from undercroft.errors import BackupRefused, InvalidInput
from undercroft.upkeep.backup.container import reading
from undercroft.upkeep.backup.keys import BackupKey
from undercroft.upkeep.backup.records import Backup, BackupFile, Rotation

_PERIODS: dict[str, Callable[[datetime], object]] = {
    "daily": lambda moment: moment.date(),
    "weekly": lambda moment: moment.isocalendar()[:2],
    "monthly": lambda moment: (moment.year, moment.month),
}


def files(folder: Path, key: BackupKey | None) -> Iterator[BackupFile]:
    """Yield the files of a folder by name, each with its manifest where that is proven."""
    try:
        found = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    except OSError as error:
        raise InvalidInput(f"The folder cannot be read: {error.strerror}", field="folder") from error
    for path in found:
        try:
            with reading(path, key) as reader:
                yield BackupFile(path, path.stat().st_size, reader.backup)
        except BackupRefused as error:
            yield BackupFile(path, path.stat().st_size, None, error.message)


def rotated(
    shelf: list[BackupFile],
    database: str,
    check: Callable[[Path], object],
    *,
    keep: int,
    periods: dict[str, int],
) -> Rotation:
    """Remove backups of a database beyond those that are to be kept of each tenant and set of tables.

    Only what ``check`` has read to its end counts, or goes.
    """
    done = Rotation()
    sets: dict[object, list[tuple[Path, Backup]]] = {}
    for one in shelf:
        if one.backup is None or one.backup.database != database:
            problem = one.problem or "of another database"
            done.left.append(BackupFile(one.path, one.bytes, one.backup, problem))
            continue
        try:
            check(one.path)
        except BackupRefused as error:
            done.left.append(BackupFile(one.path, one.bytes, None, error.message))
            continue
        names = tuple(table.name for table in one.backup.tables) if one.backup.partial else None
        sets.setdefault((one.backup.tenant_id, names), []).append((one.path, one.backup))
    for members in sets.values():
        members.sort(key=lambda member: member[1].made_at, reverse=True)
        kept = chosen([backup.made_at for _, backup in members], keep=keep, periods=periods)
        for place, (path, _) in enumerate(members):
            if place in kept:
                done.kept.append(path)
            else:
                path.unlink()
                done.removed.append(path)
    return done


def chosen(moments: list[datetime], *, keep: int, periods: dict[str, int]) -> set[int]:
    """Return the places of those to be kept of moments, newest first: the first few, and the newest of each period."""
    kept = set(range(min(keep, len(moments))))
    for name, count in periods.items():
        newest: dict[object, int] = {}
        for place, moment in enumerate(moments):
            newest.setdefault(_PERIODS[name](moment), place)
        kept.update(list(newest.values())[:count])
    return kept
