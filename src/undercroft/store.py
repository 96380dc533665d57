"""Store, AsyncStore and the scope of one tenant: the library's table of contents."""

from collections.abc import AsyncGenerator, Generator
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
)
from dataclasses import replace
from types import TracebackType
from typing import Any, Generic, Self, overload
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from undercroft.archive import Archive
from undercroft.audit import Audit
from undercroft.core import runtime
from undercroft.core.idempotency import check_key
from undercroft.core.operation import C, operation, procedure
from undercroft.core.runtime.base import Awaiting, AwaitingEngine, Blocking, BlockingEngine
from undercroft.core.scope import FLEET, NOBODY, Scope
from undercroft.db import Database
from undercroft.migrations import history
from undercroft.queries import Queries
from undercroft.repository import Repositories
from undercroft.results import Results
from undercroft.sessions import Sessions
from undercroft.settings import Settings
from undercroft.tenants import Tenants, ops as tenant_ops
from undercroft.upkeep import Upkeep, doctor, ops as upkeep_ops
from undercroft.users import Users

DEFAULT_TENANT = "local:default"


class TenantScope(Repositories[C], Generic[C]):
    """Everything that belongs to one tenant, and nothing that belongs to another.

    An unknown or deleted tenant raises TenantUnknown or TenantDeleted at the first call.
    """

    stats = operation(upkeep_ops.tenant_stats, access="read")

    def __init__(self, runner: C, scope: Scope) -> None:
        super().__init__(runner, scope)
        self.users: Users[C] = Users(runner, scope)
        self.sessions: Sessions[C] = Sessions(runner, scope)
        self.queries: Queries[C] = Queries(runner, scope)
        self.results: Results[C] = Results(runner, scope)
        self.archive: Archive[C] = Archive(runner, scope)
        self.audit: Audit[C] = Audit(runner, scope)
        self.db: Database[C] = Database(runner, scope)

    @property
    def key(self) -> str:
        """The name it was asked for by, such as ``slack:T123``."""
        return self._scope.tenant_name or ""

    @property
    def id(self) -> UUID:
        """The id computed from the key."""
        return tenant_ops.tenant_id(self.key)

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

    @overload
    def transaction(self: "TenantScope[Blocking]") -> AbstractContextManager["TenantScope[Blocking]"]: ...
    @overload
    def transaction(self: "TenantScope[Awaiting]") -> AbstractAsyncContextManager["TenantScope[Awaiting]"]: ...
    def transaction(self: "TenantScope[Any]") -> Any:
        """Open a transaction: the same nouns, one commit; inside another one it is a savepoint."""
        return _transaction(self) if isinstance(self._runner, Blocking) else _awaited_transaction(self)

    @overload
    def session(self: "TenantScope[Blocking]") -> AbstractContextManager[Session]: ...
    @overload
    def session(self: "TenantScope[Awaiting]") -> AbstractAsyncContextManager[AsyncSession]: ...
    def session(self: "TenantScope[Any]") -> Any:
        """Open an ORM session that sees this tenant alone and commits at the end of the block."""
        return self._runner.session(self._scope)


@contextmanager
def _transaction(scope: TenantScope[Blocking]) -> Generator[TenantScope[Blocking], None, None]:
    with scope._runner.transaction(scope._scope) as runner:  # noqa: SLF001 - same module
        yield TenantScope(runner, scope._scope)  # noqa: SLF001


@asynccontextmanager
async def _awaited_transaction(scope: TenantScope[Awaiting]) -> AsyncGenerator[TenantScope[Awaiting], None]:
    async with scope._runner.transaction(scope._scope) as runner:  # noqa: SLF001 - same module
        yield TenantScope(runner, scope._scope)  # noqa: SLF001


class _Fleet(Repositories[C], Generic[C]):
    """What both stores have: the nouns that are above all tenants, and the way into one tenant."""

    health = procedure(upkeep_ops.health)
    info = procedure(upkeep_ops.info)
    stats = procedure(upkeep_ops.fleet_stats)
    doctor = procedure(doctor.doctor)

    def __init__(self, runner: C) -> None:
        super().__init__(runner, NOBODY)
        self.tenants: Tenants[C] = Tenants(runner, FLEET)
        self.db: Database[C] = Database(runner, NOBODY)
        self.upkeep: Upkeep[C] = Upkeep(runner, NOBODY)

    def tenant(self, key: str) -> TenantScope[C]:
        """Go into one tenant; ``key`` is the platform, a colon and the platform's own id: ``slack:T123``.

        Raises:
            InvalidInput: the key is not of that form.
        """
        return TenantScope(self._runner, Scope(tenant_ops.tenant_id(key), key))

    @property
    def default(self) -> TenantScope[C]:
        """The tenant of a bot that has only one; every database has it."""
        return self.tenant(DEFAULT_TENANT)


class Store(_Fleet[Blocking]):
    """A database of Undercroft's, called blocking; safe to share between threads.

    ``url`` is ``sqlite:///file.db`` or ``postgresql://…``; without one the settings decide.

    Raises:
        ConfigurationError: a setting is wrong.
    """

    def __init__(self, url: str | None = None, *, settings: Settings | None = None) -> None:
        self.settings = Settings.load(url) if settings is None else settings
        self._engine: BlockingEngine = runtime.blocking(self.settings, history)
        super().__init__(self._engine)

    def migrate(self, revision: str = "head") -> None:
        """Bring the schema to a revision of the library's history, by default the newest."""
        self._engine.migrate(revision)

    def close(self) -> None:
        """Close every connection."""
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
        self._engine: AwaitingEngine = runtime.awaiting(self.settings, history)
        super().__init__(self._engine)

    async def migrate(self, revision: str = "head") -> None:
        """Bring the schema to a revision of the library's history, by default the newest."""
        await self._engine.migrate(revision)

    async def close(self) -> None:
        """Close every connection."""
        await self._engine.close()

    async def __aenter__(self) -> Self:
        return self  # nothing is opened before the first call, which may be migrate()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
