"""Store, AsyncStore and the scope of one tenant: the library's table of contents."""

from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
)
from dataclasses import replace
from math import inf
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, overload
from uuid import UUID

from undercroft import overview
from undercroft.core import runtime
from undercroft.core.idempotency import check_key
from undercroft.core.noun import noun
from undercroft.core.operation import C, operation, procedure
from undercroft.core.runtime import outside
from undercroft.core.runtime.base import Awaiting, AwaitingEngine, Blocking, BlockingEngine
from undercroft.core.scope import FLEET, NOBODY, Scope
from undercroft.core.seal import Keyring
from undercroft.errors import InvalidInput
from undercroft.migrations import history
from undercroft.repository import Repositories
from undercroft.settings import Settings
from undercroft.tenants.ops import DEFAULT, tenant_id

if TYPE_CHECKING:
    from undercroft.app_settings import AppSettings
    from undercroft.archive import Archive
    from undercroft.audit import Audit
    from undercroft.config import Config
    from undercroft.crm import CRM
    from undercroft.db import Database
    from undercroft.goals import Goals
    from undercroft.keys import Keys
    from undercroft.limits import Limits
    from undercroft.meetings import Meetings
    from undercroft.metrics import Metrics
    from undercroft.preferences import Preferences
    from undercroft.queries import Queries
    from undercroft.results import Results
    from undercroft.secrets import Secrets
    from undercroft.sessions import Sessions
    from undercroft.tenants import Tenants
    from undercroft.threads import Threads
    from undercroft.upkeep import TenantUpkeep, Upkeep
    from undercroft.users import Users

R = TypeVar("R")


class TenantScope(Repositories[C], Generic[C]):
    """Everything that belongs to one tenant, and nothing that belongs to another.

    An unknown or deleted tenant raises TenantUnknown or TenantDeleted at the first call.
    """

    stats = operation(overview.tenant_stats, access="read")

    users: "noun[Users[C]]" = noun("undercroft.users:Users")
    sessions: "noun[Sessions[C]]" = noun("undercroft.sessions:Sessions")
    threads: "noun[Threads[C]]" = noun("undercroft.threads:Threads")
    queries: "noun[Queries[C]]" = noun("undercroft.queries:Queries")
    results: "noun[Results[C]]" = noun("undercroft.results:Results")
    limits: "noun[Limits[C]]" = noun("undercroft.limits:Limits")
    config: "noun[Config[C]]" = noun("undercroft.config:Config")
    secrets: "noun[Secrets[C]]" = noun("undercroft.secrets:Secrets")
    settings: "noun[AppSettings[C]]" = noun("undercroft.app_settings:AppSettings")
    preferences: "noun[Preferences[C]]" = noun("undercroft.preferences:Preferences")
    crm: "noun[CRM[C]]" = noun("undercroft.crm:CRM")
    meetings: "noun[Meetings[C]]" = noun("undercroft.meetings:Meetings")
    archive: "noun[Archive[C]]" = noun("undercroft.archive:Archive")
    metrics: "noun[Metrics[C]]" = noun("undercroft.metrics:Metrics")
    goals: "noun[Goals[C]]" = noun("undercroft.goals:Goals")
    audit: "noun[Audit[C]]" = noun("undercroft.audit:Audit")
    upkeep: "noun[TenantUpkeep[C]]" = noun("undercroft.upkeep:TenantUpkeep")
    db: "noun[Database[C]]" = noun("undercroft.db:Database")

    @property
    def key(self) -> str:
        """The name it was asked for by, such as ``slack:T123``."""
        return self._scope.tenant_name or ""

    @property
    def id(self) -> UUID:
        """The id computed from the key."""
        return tenant_id(self.key)

    def idempotent(self, key: str) -> "TenantScope[C]":
        """Return the tenant with a key under which each write is done once, however often it is called.

        The same call under the same key, for at least a day, changes nothing and returns what it returned the first
        time. So it may be repeated after CommitUnknown, and is, by itself, at first.

        Raises, when called:
            IdempotencyConflict: the call was made under this key before, with other arguments.
            IdempotencyInFlight: it is being made at this moment.
            InvalidInput: the key is empty or longer than 255 characters, or the call is more than one write.
        """
        return TenantScope(self._runner, replace(self._scope, idempotency_key=check_key(key)))

    def stale(self, max_lag: float = inf) -> "TenantScope[C]":
        """Return the tenant for reads that may miss what was committed in the last ``max_lag`` seconds.

        They go to the replica of ``replica_url`` while it is no further behind than that, nor than
        ``replica_max_lag_seconds``; when it is, when it refuses or does not answer, and where there is none, to the
        primary. Writes, transactions, and what decides over rights go to the primary as ever.

        Raises:
            InvalidInput: ``max_lag`` is below 1, which nobody could promise.
        """
        if not max_lag >= 1:
            message = "A replica is never known to be less than a second behind."
            raise InvalidInput(message, field="max_lag", hint="give 1 or more, or read from the tenant itself")
        return TenantScope(self._runner, replace(self._scope, stale=max_lag))

    @overload
    def transaction(self: "TenantScope[Blocking]") -> AbstractContextManager["TenantScope[Blocking]"]: ...
    @overload
    def transaction(self: "TenantScope[Awaiting]") -> AbstractAsyncContextManager["TenantScope[Awaiting]"]: ...
    def transaction(self: "TenantScope[Any]") -> Any:
        """Open a transaction: the same nouns, one commit; inside another one it is a savepoint."""
        return _opened(self, TenantScope)


class Outside(Repositories[C], Generic[C]):
    """A transaction in no tenant, for tables of your own: one commit, and inside another one a savepoint."""

    db: "noun[Database[C]]" = noun("undercroft.db:Database")

    @overload
    def transaction(self: "Outside[Blocking]") -> AbstractContextManager["Outside[Blocking]"]: ...
    @overload
    def transaction(self: "Outside[Awaiting]") -> AbstractAsyncContextManager["Outside[Awaiting]"]: ...
    def transaction(self: "Outside[Any]") -> Any:
        """Open a savepoint."""
        return _opened(self, Outside)


def _opened(scope: Any, kind: Callable[[Any, Scope], Any]) -> Any:
    """Open a transaction in which the same kind of scope runs."""
    runner: Any = scope._runner  # noqa: SLF001 - same module
    opened: Callable[..., Any] = _transaction if isinstance(runner, Blocking) else _awaited_transaction
    return opened(runner, scope._scope, kind)  # noqa: SLF001


@contextmanager
def _transaction(runner: Blocking, scope: Scope, kind: Callable[[Any, Scope], R]) -> Generator[R, None, None]:
    with outside.blocking(runner, scope) as inner:
        yield kind(inner, scope)


@asynccontextmanager
async def _awaited_transaction(
    runner: Awaiting, scope: Scope, kind: Callable[[Any, Scope], R]
) -> AsyncGenerator[R, None]:
    async with outside.awaiting(runner, scope) as inner:
        yield kind(inner, scope)


class _Fleet(Repositories[C], Generic[C]):
    """What both stores have: the nouns that are above all tenants, and the way into one tenant."""

    health = procedure(overview.health)
    info = procedure(overview.info)
    stats = procedure(overview.fleet_stats)
    doctor = procedure(overview.doctor)

    tenants: "noun[Tenants[C]]" = noun("undercroft.tenants:Tenants", FLEET)
    db: "noun[Database[C]]" = noun("undercroft.db:Database")
    keys: "noun[Keys[C]]" = noun("undercroft.keys:Keys")
    upkeep: "noun[Upkeep[C]]" = noun("undercroft.upkeep:Upkeep")

    def __init__(self, runner: C) -> None:
        super().__init__(runner, NOBODY)

    @overload
    def transaction(self: "_Fleet[Blocking]") -> AbstractContextManager[Outside[Blocking]]: ...
    @overload
    def transaction(self: "_Fleet[Awaiting]") -> AbstractAsyncContextManager[Outside[Awaiting]]: ...
    def transaction(self: "_Fleet[Any]") -> Any:
        """Open a transaction in no tenant: `db`, `repository` and `session` on tables of your own, one commit."""
        return _opened(self, Outside)

    def tenant(self, key: str) -> TenantScope[C]:
        """Go into one tenant; ``key`` is the platform, a colon and the platform's own id: ``slack:T123``.

        Raises:
            InvalidInput: the key is not of that form.
        """
        return TenantScope(self._runner, Scope(tenant_id(key), key))

    @property
    def default(self) -> TenantScope[C]:
        """The tenant of a bot that has only one; every database has it."""
        return self.tenant(DEFAULT)


class Store(_Fleet[Blocking]):
    """A database of Undercroft's, called blocking; safe to share between threads.

    ``url`` is ``sqlite:///file.db`` or ``postgresql://…``; without one the settings decide.

    Raises:
        ConfigurationError: a setting is wrong.
    """

    def __init__(self, url: str | None = None, *, settings: Settings | None = None) -> None:
        self.settings = Settings.load(url) if settings is None else settings
        self._engine: BlockingEngine = runtime.blocking(self.settings, history, Keyring(self.settings))
        super().__init__(self._engine)

    def migrate(self, revision: str = "head") -> None:
        """Bring the schema to a revision of the library's history, by default the newest."""
        self._engine.migrate(revision)

    def close(self) -> None:
        """Write down what was counted, and close every connection."""
        self._engine.finish()
        self._engine.close()

    def __enter__(self) -> Self:
        return self  # nothing is opened before the first call, which may be migrate()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncStore(_Fleet[Awaiting]):
    """A database of Undercroft's, awaited; it belongs to the event loop that uses it first.

    ``url`` is ``sqlite:///file.db`` or ``postgresql://…``; without one the settings decide.

    Raises:
        ConfigurationError: a setting is wrong.
    """

    def __init__(self, url: str | None = None, *, settings: Settings | None = None) -> None:
        self.settings = Settings.load(url) if settings is None else settings
        self._engine: AwaitingEngine = runtime.awaiting(self.settings, history, Keyring(self.settings))
        super().__init__(self._engine)

    async def migrate(self, revision: str = "head") -> None:
        """Bring the schema to a revision of the library's history, by default the newest."""
        await self._engine.migrate(revision)

    async def close(self) -> None:
        """Write down what was counted, and close every connection."""
        await self._engine.finish()
        await self._engine.close()

    async def __aenter__(self) -> Self:
        return self  # nothing is opened before the first call, which may be migrate()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
