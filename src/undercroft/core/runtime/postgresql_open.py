"""The open lane: a caller's own transaction on a connection of SQLAlchemy's pool, which the next one must find clean."""

from contextlib import ExitStack

from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import SQLAlchemyError

from undercroft.core.runtime.postgresql_ports import PostgresqlPort, answer_lost
from undercroft.core.runtime.server import Server
from undercroft.core.runtime.transaction import BlockingTransaction
from undercroft.core.scope import Scope
from undercroft.core.tx import Tx
from undercroft.errors import CommitUnknown, QueryTimeout, UndercroftError


class OpenTransaction(BlockingTransaction):
    """A caller's transaction; written without an await, an AsyncStore runs each step in a greenlet."""

    def __init__(self, connection: Connection, server: Server, scope: Scope, port_type: type[PostgresqlPort]) -> None:
        self._connection = connection
        self._server = server
        self._port = port_type(connection.connection.driver_connection, server)
        tx = Tx(self._port, server.dialect, scope.tenant_id, scope.tenant_name)
        super().__init__(tx, server.facts({}), lambda: connection)
        # The first statement goes through SQLAlchemy, so that SQLAlchemy knows that a transaction began.
        for command in server.dialect.begin(scope, privileged=server.privileged).split("; ")[1:] or ["SELECT 1"]:
            try:
                connection.exec_driver_sql(command)
            except (SQLAlchemyError, OSError) as error:
                meaning = self._meaning(error)
                meaning.context.setdefault("tenant", scope.tenant_name)
                self.settle()
                raise meaning from error

    def commit(self) -> None:
        """Commit; raises CommitUnknown where the answer was lost, and DatabaseError where a failure has undone it all."""
        self.end()
        self._port.refuse_undone()
        try:
            self._connection.commit()
        except (SQLAlchemyError, OSError) as error:
            meaning = self._meaning(error)
            if not answer_lost(meaning):
                raise meaning from error
            self._port.spoil()
            raise CommitUnknown from error

    def abandon(self) -> None:
        """Give the connection up: whoever used it was interrupted, perhaps in the middle of an exchange."""
        self._port.spoil()

    def settle(self) -> None:
        """End what is not ended, and give the connection back as if nobody had used it, or not at all."""
        self.end()
        try:
            if self._port.unsettled:
                self._port.rollback()  # within a limit, which SQLAlchemy's has not
            if self._port.alive:
                self._connection.rollback()
                if self.foreign and not self._server.pooled:
                    self._port.reset()
        except (UndercroftError, SQLAlchemyError, OSError):
            self._port.spoil()
        if not self._port.alive:
            self._connection.invalidate()

    def _meaning(self, error: Exception) -> UndercroftError:
        if isinstance(error, TimeoutError):  # asyncpg's, which SQLAlchemy passes on as it is
            return QueryTimeout()
        meaning = self._server.dialect.translate(error)
        if meaning is None:
            raise error
        return meaning


def validate(engine: Engine) -> tuple[int, int]:
    """Try every idle connection of a pool and replace those that do not answer; returns how many of each."""
    replaced: list[object] = []

    def note(*about: object) -> None:
        replaced.append(about)

    event.listen(engine.pool, "invalidate", note)
    tried = 0
    try:
        with ExitStack() as lent:
            for _ in range(engine.pool.checkedin()):  # type: ignore[attr-defined]  # a QueuePool
                connection = lent.enter_context(engine.connect())
                tried += 1
                try:
                    connection.exec_driver_sql("SELECT 1")
                except (SQLAlchemyError, OSError):
                    connection.invalidate()
    except (SQLAlchemyError, OSError):
        pass  # the server is away: what was found broken is dropped, and nothing replaces it yet
    finally:
        event.remove(engine.pool, "invalidate", note)
    return tried, len(replaced)
