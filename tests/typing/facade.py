"""What type checkers must see: run by mypy and pyright in `make check`, never executed.

A line that must be refused carries an ignore comment of its own; mypy's ``warn_unused_ignores`` makes it a test.
"""

from collections.abc import AsyncIterator, Coroutine, Iterator
from typing import Any, assert_type
from uuid import UUID

from undercroft import AsyncStore, Policy, RetentionRun, Store
from undercroft.audit import AuditEvent
from undercroft.config import ConfigEntry, ConfigVersion
from undercroft.core.operation import C, Page, Slice, operation, procedure, resource, stream
from undercroft.core.runtime.base import Awaiting, Blocking, Ports
from undercroft.core.tx import Tx
from undercroft.crm import AccountMapping
from undercroft.meetings import Push
from undercroft.tenants import Tenant
from undercroft.users import User


def blocking(store: Store) -> None:
    assert_type(store.tenants.ensure("slack:T1", name="Acme"), Tenant)
    acme = store.tenant("slack:T1")
    assert_type(acme.id, UUID)
    assert_type(acme.users.get("U1"), User)
    assert_type(acme.users.list(role="owner", limit=3), list[User])
    assert_type(acme.users.require("U1", "admin"), User)
    assert_type(acme.crm.find_account("ada@acme.example"), AccountMapping | None)
    assert_type(acme.config.set("a.b", 1, expected=0), ConfigEntry)
    assert_type(acme.config.by_category(category="slack"), dict[str, Any])
    assert_type(acme.config.watch(prefix="a."), Iterator[ConfigVersion])
    acme.config.get()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    acme.config.set("a", 1, expected="1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with acme.meetings.pushing(acme.meetings.start("m1").id) as push:
        assert_type(push, Push)
    with acme.transaction() as tx:
        assert_type(tx.users.ensure("U1"), User)
        assert_type(tx.audit.log("a.b", by="U1"), AuditEvent)
    assert_type(store.upkeep.run(dry_run=True), RetentionRun)
    assert_type(acme.upkeep.retention.list(), list[Policy])
    assert_type(acme.upkeep.retention.set("queries", keep=None), Policy)
    with store.upkeep.scheduler() as running:
        assert_type(running, None)
    acme.users.get()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    acme.users.get(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    acme.users.list(rule="owner")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    acme.users.set_role("U1", "king")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    store.users  # type: ignore[attr-defined]  # noqa: B018  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnusedExpression]


async def awaiting(store: AsyncStore) -> None:
    acme = store.tenant("slack:T1")
    waiting: Coroutine[Any, Any, User] = acme.users.get("U1")
    assert_type(await waiting, User)
    assert_type(await acme.users.get("U1"), User)
    assert_type(await acme.config.history("a.b"), list[ConfigVersion])
    assert_type(acme.config.watch(), AsyncIterator[ConfigVersion])
    async with acme.transaction() as tx:
        assert_type(await tx.users.ensure("U1"), User)
    assert_type(await store.upkeep.run(), RetentionRun)
    async with store.upkeep.scheduler() as running:
        assert_type(running, None)
    await acme.users.get(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with acme.transaction():  # type: ignore[attr-defined]  # pyright: ignore[reportGeneralTypeIssues, reportAttributeAccessIssue]
        pass


def _add(tx: Tx, name: str, *, times: int = 1) -> int:
    return len(name) * times + tx.now.year


def _pages(tx: Tx, after: int | None, *, step: int) -> Page[str]:
    return Page([str(tx.now)], (after or 0) + step)


def _ask(ports: Ports, question: str) -> bytes:
    return bytes(str(ports.facts), question)


def _hold(ports: Ports, name: str) -> Iterator[float]:
    yield float(len(name) + len(ports.facts.pool))


class Toy(Slice[C]):
    add = operation(_add)
    pages = stream(_pages)
    ask = procedure(_ask)
    hold = resource(_hold)


def kinds(toy: Toy[Blocking]) -> None:
    assert_type(toy.add("x", times=2), int)
    assert_type(toy.pages(step=1), Iterator[str])
    assert_type(toy.ask("x"), bytes)
    with toy.hold("x") as held:
        assert_type(held, float)
    toy.add("x", 2)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


async def kinds_awaited(toy: Toy[Awaiting]) -> None:
    assert_type(await toy.add("x", times=2), int)
    assert_type(toy.pages(step=1), AsyncIterator[str])
    assert_type(await toy.ask("x"), bytes)
    async with toy.hold("x") as held:
        assert_type(held, float)
    await toy.hold("x")  # type: ignore[misc]  # pyright: ignore[reportGeneralTypeIssues]
