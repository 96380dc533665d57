"""A run: tenant after tenant, class after class, batch after batch, each in a transaction of its own."""

import logging
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from uuid import UUID

from undercroft.core.operation import operation
from undercroft.core.runtime.base import Ports
from undercroft.core.scope import FLEET, Scope
from undercroft.errors import Deadlock, InvalidInput, LockTimeout, TenantDeleted, TenantUnknown, UndercroftError
from undercroft.metrics import rollups
from undercroft.results import ops as results
from undercroft.sessions import ops as sessions
from undercroft.tenants import ops as tenants
from undercroft.tenants.records import Tenant
from undercroft.threads import changes as conversations
from undercroft.upkeep.retention import removal
from undercroft.upkeep.retention.ops import list_
from undercroft.upkeep.retention.records import Removal, RetentionRun

logger = logging.getLogger("undercroft")

BATCH = 200
"""Rows that one transaction removes: more would keep writers waiting, on SQLite all of them."""
PARTITIONED = ("messages", "queries")
"""Of these whole years may go, where no tenant keeps them."""
_PAGE = 1000
_SHORTEST = timedelta(seconds=1)

Sleep = Callable[[float], bool]
"""Sleeps for some seconds, and tells whether to stop."""

_TENANTS = operation(tenants.list_, access="read")
_MOMENT = operation(removal.moment, access="read")
_DUE = operation(removal.due, access="read")
_REMOVE = operation(removal.remove)
_DROP = operation(removal.drop)
_LOG = operation(removal.log_removal)
_NOTE = operation(removal.note)
_NOTE_FLEET = operation(removal.note_fleet)
_CLAIM = operation(removal.claim)
_POLICIES = operation(list_, access="read")
_END_SESSIONS = operation(sessions.cleanup)
_REMOVE_RESULTS = operation(results.cleanup)


def run(ports: Ports, *, dry_run: bool = False) -> RetentionRun:
    """Remove from every tenant what is older than its policies allow; ``dry_run`` only counts it.

    Batches are small and leave time to others between them. A run may be broken off at any moment and begun again, and
    two at once take turns. Deleted tenants are left alone: they are purged as a whole.
    """
    return run_while(ports, _sleep(ports), dry_run=dry_run)


def run_tenant(ports: Ports, *, dry_run: bool = False) -> RetentionRun:
    """Remove from this tenant what is older than its policies allow; ``dry_run`` only counts it.

    Batches are small and leave time to others between them. A run may be broken off at any moment and begun again.
    """
    now: datetime = ports.run(_MOMENT)
    if not dry_run:
        _tidy(ports)
    return RetentionRun(now, dry_run, list(_removals(ports, now, _sleep(ports), {}, dry_run=dry_run)))


def run_while(ports: Ports, sleep: Sleep, *, dry_run: bool = False) -> RetentionRun:
    """Do the same until ``sleep`` says that it is to stop."""
    fleet = ports.within(FLEET)
    now: datetime = fleet.run(_MOMENT)
    if not dry_run:
        fleet.run(_NOTE_FLEET, now, 0, finished=False)
    removals: list[Removal] = []
    dropped = {} if dry_run else _dropped(fleet)
    for tenant in _tenants(fleet):
        if sleep(0):
            return RetentionRun(now, dry_run, removals, finished=False)
        with _leaving_out_the_deleted():
            inside = ports.within(Scope(tenant.id, tenant.key))
            if not dry_run:
                _tidy(inside)
            whole = {name: rows[tenant.id] for name, rows in dropped.items() if tenant.id in rows}
            removals += _removals(inside, now, sleep, whole, dry_run=dry_run)
    done = RetentionRun(now, dry_run, removals)
    if not dry_run:
        fleet.run(_NOTE_FLEET, now, done.rows, finished=True)
    return done


def _tidy(ports: Ports) -> None:
    """Do for a tenant what no policy decides: add up what was measured, end conversations that have expired."""
    rollups.roll_up(ports)
    conversations.cleanup(ports)


def cleanup_expired_sessions(ports: Ports, *, hours: float = 24) -> int:
    """End every session of every tenant that was idle for so many hours; returns how many."""
    if hours <= 0:
        message = "The period must be positive."
        raise InvalidInput(message, field="hours")
    ended = 0
    for tenant in _tenants(ports.within(FLEET)):
        with _leaving_out_the_deleted():
            ended += ports.within(Scope(tenant.id, tenant.key)).run(_END_SESSIONS, hours=hours)
    return ended


def cleanup_expired_cache(ports: Ports) -> int:
    """Remove the results of every tenant that have expired, but for those under a legal hold; returns how many."""
    removed = 0
    for tenant in _tenants(ports.within(FLEET)):
        with _leaving_out_the_deleted():
            removed += cleanup_expired_cache_of_tenant(ports.within(Scope(tenant.id, tenant.key)))
    return removed


def cleanup_expired_cache_of_tenant(ports: Ports) -> int:
    """Remove this tenant's results that have expired, unless a legal hold keeps them; returns how many."""
    held = any(policy.hold is not None for policy in ports.run(_POLICIES) if policy.data_class == "cache")
    return 0 if held else ports.run(_REMOVE_RESULTS)


def scheduler(ports: Ports, *, every: timedelta = timedelta(hours=1)) -> Generator[None, None, None]:
    """Run in the background while the block lasts: at once where a run is due, then every so often.

    Of all processes that do so with one database, one does a run that is due. An error is logged and the next run
    comes all the same; at its end the block waits for the batch that is being removed.

    Raises:
        InvalidInput: ``every`` is less than a second.
    """
    if every < _SHORTEST:
        message = "Upkeep runs every second at most."
        raise InvalidInput(message, field="every")
    stop = ports.background(lambda sleep: _go_on(ports, sleep, every.total_seconds()))
    try:
        yield
    finally:
        stop()


def _go_on(ports: Ports, sleep: Sleep, every: float) -> None:
    wait = 0.0
    while not sleep(wait):
        wait = every
        try:
            remaining = ports.within(FLEET).run(_CLAIM, every)
            if remaining is None:
                done = run_while(ports, sleep)
                logger.info("upkeep removed %d rows", done.rows)
            else:
                wait = max(0.05, remaining)  # not at the very moment: somebody else's clock may tick first
        except UndercroftError as error:
            logger.warning("upkeep failed, and runs again in %g seconds: %s", every, error)
        except Exception:
            logger.exception("upkeep failed, and runs again in %g seconds", every)


def _dropped(fleet: Ports) -> dict[str, dict[UUID, int]]:
    """Drop the years that no tenant keeps; where a lock does not come at once, their rows go in batches."""
    found: dict[str, dict[UUID, int]] = {}
    for name in PARTITIONED:
        try:
            found[name] = fleet.run(_DROP, name)
        except (LockTimeout, Deadlock) as error:
            logger.info("no year of %s is dropped as a whole now: %s", name, error)
    return found


def _removals(ports: Ports, now: datetime, sleep: Sleep, whole: dict[str, int], *, dry_run: bool) -> Iterator[Removal]:
    """Remove what is due from one tenant; ``whole`` is what it has lost already, together with all others."""
    found: list[removal.Due] = ports.run(_DUE, now, frozenset(whole))
    going = {one.policy.data_class: one.rows for one in found if one.rows and one.policy.hold is None}
    if not dry_run:
        ports.run(_NOTE, now, 0, finished=not going)
    if whole:
        ports.run(_LOG, now, whole)
    removed = 0
    for one in found:
        name, rows = one.policy.data_class, one.rows
        if name in going and not dry_run:
            rows = 0
            for here in _batches(ports, name, now, sleep, None if removed else going):
                rows += here
            removed += rows
        yield Removal(one.tenant, name, rows + whole.get(name, 0), one.before, held=one.policy.hold is not None)
    removed += sum(whole.values())
    if removed and not dry_run:
        ports.run(_NOTE, now, removed, finished=True)


def _batches(
    ports: Ports, data_class: str, now: datetime, sleep: Sleep, announced: dict[str, int] | None
) -> Iterator[int]:
    more, stopped = True, False
    while more and not stopped:
        began = time.perf_counter()
        here, more = ports.run(_REMOVE, data_class, now=now, batch=BATCH, announced=announced)
        announced = None if here else announced
        yield here
        stopped = sleep(min(1.0, time.perf_counter() - began))  # as long again for everybody else


def _tenants(fleet: Ports) -> Iterator[Tenant]:
    after = None
    while True:
        page: list[Tenant] = fleet.run(_TENANTS, limit=_PAGE, after=after)
        yield from page
        if len(page) < _PAGE:
            return
        after = page[-1].key


@contextmanager
def _leaving_out_the_deleted() -> Iterator[None]:
    """Go on with the next tenant where one is deleted while its turn comes."""
    try:
        yield
    except (TenantDeleted, TenantUnknown) as error:
        logger.info("upkeep left a tenant out: %s", error)


def _sleep(ports: Ports) -> Sleep:
    def sleep(seconds: float) -> bool:
        if seconds:
            ports.sleep(seconds)
        return False

    return sleep
