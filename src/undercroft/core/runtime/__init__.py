"""Runners: what carries an operation to a database, one for each engine and colour."""

from pathlib import Path

from undercroft.core.runtime.base import AwaitingEngine, BlockingEngine
from undercroft.core.runtime.place import History
from undercroft.core.runtime.redis import AwaitingRedis, BlockingRedis
from undercroft.core.seal.keyring import Keyring
from undercroft.core.slowlog import SlowLog
from undercroft.settings import Settings

# The drivers and their runners are imported when they are used: a bot on a file pays for no server's driver.


def blocking(settings: Settings, history: History, keys: Keyring) -> BlockingEngine:
    """Choose the runner of a Store."""
    engine = _blocking(settings, history, keys)
    if settings.limits_backend == "redis":
        engine.redis = BlockingRedis(settings)
    return engine


def _blocking(settings: Settings, history: History, keys: Keyring) -> BlockingEngine:
    if settings.database.path is not None:
        from undercroft.core.runtime.sqlite import BlockingSqlite  # noqa: PLC0415
        from undercroft.core.runtime.sqlite_file import SqliteFile  # noqa: PLC0415

        file = SqliteFile(Path(settings.database.path), history, _slow(settings), settings, keys)
        return BlockingSqlite(file, migrate=bool(settings.auto_migrate), patience=settings.pool_timeout)
    from undercroft.core.runtime.postgresql import BlockingPostgresql  # noqa: PLC0415
    from undercroft.core.runtime.server import Server  # noqa: PLC0415

    return BlockingPostgresql(Server(settings, history, _slow(settings), keys))


def awaiting(settings: Settings, history: History, keys: Keyring) -> AwaitingEngine:
    """Choose the runner of an AsyncStore."""
    engine = _awaiting(settings, history, keys)
    if settings.limits_backend == "redis":
        engine.redis = AwaitingRedis(settings)
    return engine


def _awaiting(settings: Settings, history: History, keys: Keyring) -> AwaitingEngine:
    if settings.database.path is not None:
        from undercroft.core.runtime.sqlite import AwaitingSqlite  # noqa: PLC0415
        from undercroft.core.runtime.sqlite_file import SqliteFile  # noqa: PLC0415

        file = SqliteFile(Path(settings.database.path), history, _slow(settings), settings, keys)
        return AwaitingSqlite(file, migrate=bool(settings.auto_migrate), patience=settings.pool_timeout)
    from undercroft.core.runtime.postgresql_async import AwaitingPostgresql  # noqa: PLC0415
    from undercroft.core.runtime.server import Server  # noqa: PLC0415

    return AwaitingPostgresql(Server(settings, history, _slow(settings), keys))


def _slow(settings: Settings) -> SlowLog:
    return SlowLog(settings.slow_query_ms / 1000, parameters=settings.log_parameters, echo=settings.echo_sql)
