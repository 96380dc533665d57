"""Whether a replica may be read: up to which moment it has all that the primary has committed.

Neither server's clock is asked. A thread notes now and then how far the primary's log reaches, and at which moment it
asked; a replica that has replayed that far misses nothing that was committed before that moment. So an idle primary is
no lag, clocks that differ are no lag, and a replica cut off from its primary is: its horizon stands still.
"""

import logging
import math
import random
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

from sqlalchemy.dialects.postgresql.psycopg import dialect as psycopg_dialect
from typing_extensions import override

from undercroft.core.runtime.place import ReplicaState
from undercroft.core.runtime.postgresql_ports import PsycopgPort, answer_lost
from undercroft.core.runtime.server import PRIVILEGED, Server
from undercroft.errors import CommitUnknown, ConfigurationError, DatabaseUnavailable, PermissionDenied, UndercroftError
from undercroft.settings.urls import DatabaseUrl

logger = logging.getLogger("undercroft")

INTERVAL = 0.5
"""Seconds between two looks at both servers, while anybody reads from the replica."""
LOOKS = 5
"""How often a replica that is behind from the first is asked again before that is told."""
PATIENCE = 1.0
"""Seconds that such a look may take: a replica that hangs is found out so soon, whatever its reads may take."""
REST = 30.0
"""Seconds without such a read after which nobody looks any more."""
GRACE = 0.5
"""Seconds that a replica has to give a statement up by itself; after that its connection is cut."""
LONGEST_PAUSE = 30.0

# Which database it is goes with it: a replica has the primary's system identifier, and its databases the same oids.
_WRITTEN = """
SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint, system_identifier, oid
FROM pg_control_system(), pg_database WHERE datname = current_database()
"""
_REPLAYED = """
SELECT pg_wal_lsn_diff(pg_last_wal_replay_lsn(), '0/0')::bigint, system_identifier, oid, pg_is_in_recovery()
FROM pg_control_system(), pg_database WHERE datname = current_database()
"""


class CutPort(PsycopgPort):
    """psycopg on a server that need not answer: what takes too long is cut off and not waited for."""

    def __init__(self, driver: Any, server: Server, patience: float = math.inf) -> None:
        super().__init__(driver, server)
        self.limit = min(patience, server.deadlines.limit) + GRACE

    @override
    def give_up(self, started: float) -> None:
        if self.started == started:
            self.cut()


class Horizon:
    """Up to which moment a replica has everything."""

    def __init__(self) -> None:
        self._written: deque[tuple[float, int]] = deque(maxlen=10_000)

    def wrote(self, moment: float, position: int) -> None:
        """Note how far the primary's log reached at a moment."""
        if self._written and self._written[-1][1] == position:
            self._written.pop()  # all that was committed until the later moment is before the same place
        self._written.append((moment, position))

    def reached(self, position: int) -> float | None:
        """Return the last moment before which nothing is missing where the log is replayed up to a place, or None."""
        reached = None
        while self._written and self._written[0][1] <= position:
            reached = self._written.popleft()
        if reached is None:
            return None
        self._written.appendleft(reached)
        return reached[0]


class _End:
    """A connection to one of the two servers, made anew after each failure."""

    def __init__(self, server: Server, limits: Server) -> None:
        self._server = server
        self._limits = limits
        self._port: CutPort | None = None

    def ask(self, sql: str) -> Sequence[Any]:
        """Run a query and return its row."""
        if self._port is None or not self._port.usable:
            self.drop()
            self._port = self._connected()
        try:
            row: Sequence[Any] = self._port.fetch(sql, ())[0]
        except UndercroftError:
            self.drop()
            raise
        return row

    def drop(self) -> None:
        """Close the connection."""
        if self._port is not None:
            self._port.drop()
            self._port = None

    def _connected(self) -> CutPort:
        return beside(self._server, self._limits)


def beside(server: Server, limits: Server, url: DatabaseUrl | None = None) -> CutPort:
    """Connect beside the lanes, for questions that must be answered soon; ``url`` is another way to the server."""
    arguments = server.engine_arguments("psycopg", url)
    import psycopg  # noqa: PLC0415 - optional, and missed in our own words by now

    # Without SQLAlchemy's engine, whose questions to a new server have no deadline.
    _, address = psycopg_dialect().create_connect_args(arguments["url"])  # type: ignore[no-untyped-call]
    try:
        driver = psycopg.connect(**{**address, **arguments["connect_args"]}, autocommit=True)
    except psycopg.Error as error:
        raise limits.dialect.translate(error) or error from error
    return CutPort(driver, limits, PATIENCE)


class Watch:
    """What is known of a replica, learnt by a thread that runs while anybody asks."""

    def __init__(self, primary: Server, replica: Server) -> None:
        replica.attach(psycopg_dialect())  # type: ignore[no-untyped-call]  # until the store opens, which may fail
        self._primary = primary
        self._replica = replica
        self._horizon = Horizon()
        self._identity: list[int] = []
        self._complete = -math.inf  # nothing committed before is missing; minus infinity: do not read there
        self._reason: str | None = "unknown"
        self._answered = self._passed_on = self._refused = self._outages = 0
        self._pause_until = self._asked = -math.inf
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._looks: list[Future[ReplicaState]] = []
        self.closed = False

    def allows(self, stale: float) -> bool:
        """Tell whether a read that may miss the last so many seconds may go to the replica; never waits."""
        self._asked = now = time.monotonic()
        thread = self._thread
        if thread is None or not thread.is_alive():
            self._start()
        if now - self._complete <= min(stale, self._replica.max_lag):
            return True
        self._passed_on += 1
        return False

    def answered(self) -> None:
        """Count a read that the replica has answered."""
        self._answered += 1
        self._outages = 0

    def failed(self, error: UndercroftError) -> bool:
        """Count a read that it has not; tells whether the replica is to be left alone for a while."""
        self._passed_on += 1
        gone = isinstance(error, DatabaseUnavailable | PermissionDenied | CommitUnknown) or answer_lost(error)
        if gone:
            self._leave(error.code)
        return gone

    def look(self) -> Future[ReplicaState]:
        """Ask it once more; the future settles within the deadlines of the settings, and never fails."""
        look: Future[ReplicaState] = Future()
        look.set_running_or_notify_cancel()
        with self._lock:
            self._looks.append(look)
        self._start()
        self._wake.set()
        return look

    def close(self) -> None:
        """Let the thread end."""
        self.closed = True
        self._wake.set()

    def _leave(self, reason: str) -> None:
        with self._lock:
            self._complete = -math.inf
            self._refused += 1
            if time.monotonic() >= self._pause_until:  # those that fail together have met one outage
                self._outages += 1
                pause = min(LONGEST_PAUSE, INTERVAL * 2**self._outages)
                self._pause_until = time.monotonic() + pause * random.uniform(0.5, 1)  # noqa: S311 - jitter, no secret
        self._tell(reason)

    def _tell(self, reason: str | None) -> None:
        if reason == self._reason:
            return
        self._reason = reason
        if reason is None:
            logger.info("the replica answers reads")
        else:
            logger.warning("the replica is not read, the primary is: %s", reason)

    def _start(self) -> None:
        with self._lock:
            if (self._thread is None or not self._thread.is_alive()) and not self.closed:
                self._thread = threading.Thread(target=self._run, name="undercroft-replica", daemon=True)
                self._thread.start()
            elif self.closed:
                self._settle()

    def _run(self) -> None:
        ends = _End(self._primary, self._replica), _End(self._replica, self._replica)
        try:
            while True:
                self._wake.clear()
                with self._lock:
                    asked, self._looks = self._looks, []
                self._ask(*ends)
                for look in asked:
                    look.set_result(self._state())
                self._wake.wait(INTERVAL)
                with self._lock:
                    if self.closed or (time.monotonic() - self._asked > REST and not self._looks):
                        self._thread = None
                        return
        finally:
            for end in ends:
                end.drop()
            with self._lock:
                self._settle()

    def _settle(self) -> None:
        while self._looks:
            self._looks.pop().set_result(self._state())

    def _ask(self, primary: _End, replica: _End) -> None:
        refused = self._refused
        with suppress(UndercroftError):  # what it wrote before still tells something of the replica
            moment = time.monotonic()
            written, *self._identity = primary.ask(_WRITTEN)
            self._horizon.wrote(moment, written)
        if time.monotonic() < self._pause_until:
            return
        try:
            complete, reason = self._examine(replica)
        except ConfigurationError:
            self._leave("its login passes the walls")
        except UndercroftError as error:
            self._leave(error.code)
        else:
            with self._lock:
                if self._refused > refused:
                    return  # a read has found out meanwhile that it does not answer
                self._complete = complete
            self._tell(reason)

    def _examine(self, replica: _End) -> tuple[float, str | None]:
        """Return the moment before which it misses nothing, and why it is not to be read."""
        if not self._identity:
            return -math.inf, "the primary does not answer"
        for _ in range(LOOKS):
            replayed, *identity, in_recovery = replica.ask(_REPLAYED)
            if not in_recovery:
                return -math.inf, "no replica"
            complete = self._horizon.reached(replayed)
            if complete is not None:
                break
            time.sleep(INTERVAL / LOOKS)  # the primary may have written something this very moment
        else:
            return -math.inf, "behind"
        if identity != self._identity:
            return -math.inf, "another database"
        self._replica.learn(privileged=bool(replica.ask(PRIVILEGED)[0]))
        return complete, "behind" if time.monotonic() - complete > self._replica.max_lag else None

    def _state(self) -> ReplicaState:
        lag = time.monotonic() - self._complete
        used = lag <= self._replica.max_lag
        return ReplicaState(
            str(self._replica.address),
            used,
            None if math.isinf(lag) else lag,
            None if used else self._reason or "behind",  # nobody has looked since it was not
            self._answered,
            self._passed_on,
        )
