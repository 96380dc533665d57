import asyncio
import contextvars
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Self
from uuid import UUID, uuid4

import pytest

from tests.colours import Driven, LoopThread

entered = contextvars.ContextVar("entered", default="nothing")


@dataclass(frozen=True)
class Message:
    text: str


@dataclass
class Archive:
    """A noun that happens to be a dataclass."""

    events: list[str]

    async def save(self, text: str, *, times: int = 1) -> Message:
        await asyncio.sleep(0)
        self.events.append(text * times)
        return Message(text * times)

    async def messages(self) -> AsyncIterator[Message]:
        try:
            for text in self.events:
                await asyncio.sleep(0)
                yield Message(text)
        finally:
            self.events.append("closed")

    async def fail(self) -> None:
        await asyncio.sleep(0)
        raise LookupError("no such message")


class Tenant:
    def __init__(self, name: str) -> None:
        self.name = name
        self.id = uuid4()
        self.note = ""
        self.archive = Archive([])

    def transaction(self) -> AbstractAsyncContextManager["Tenant"]:
        return self._transaction()

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator["Tenant"]:
        asyncio.get_running_loop()
        token = entered.set(self.name)
        try:
            async with asyncio.timeout(60):  # refuses to be left in another task than it was entered in
                yield self
        except LookupError:
            self.archive.events.append("rolled back")
            raise
        finally:
            entered.reset(token)  # refuses another context than the one it was set in

    async def entered(self) -> str:
        return entered.get()

    async def thread(self) -> str:
        return threading.current_thread().name

    async def cancelled(self) -> None:
        raise asyncio.CancelledError

    async def same(self, other: object) -> bool:
        return other is self

    def peers(self) -> list["Tenant"]:
        return [self]


class Store:
    def __init__(self) -> None:
        asyncio.get_running_loop()  # an asynchronous store may look for the loop it is made on
        self.is_closed = False

    def tenant(self, name: str) -> Tenant:
        return Tenant(name)

    async def close(self) -> None:
        self.is_closed = True

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


@pytest.fixture(scope="module")
def thread() -> Iterator[LoopThread]:
    with LoopThread(limit=10) as thread:
        yield thread


@pytest.fixture
def store(thread):
    return Driven(Store, thread)()


@pytest.fixture
def tenant(store):
    return store.tenant("acme")


def test_a_coroutine_is_run_to_its_result(tenant):
    assert tenant.archive.save("hej", times=2) == Message("hejhej")
    assert tenant.thread() == "driven-loop"


def test_plain_values_and_results_come_unwrapped(tenant):
    assert type(tenant.name) is str
    assert type(tenant.id) is UUID
    assert type(tenant.archive.save("hej")) is Message
    assert type(tenant.peers()) is list


def test_what_is_reached_from_a_driven_object_is_driven(tenant):
    assert type(tenant.archive) is Driven  # although a dataclass: it has something to await
    assert "acme" not in repr(tenant.archive)


def test_an_attribute_is_set_on_the_object_itself(tenant):
    tenant.note = "seen"
    with tenant.transaction() as tx:
        assert tx.note == "seen"


def test_a_driven_argument_arrives_as_the_object(tenant):
    assert tenant.same(tenant) is True
    assert tenant.same(other=tenant) is True


def test_errors_come_through(tenant):
    with pytest.raises(LookupError, match="no such message"):
        tenant.archive.fail()
    with pytest.raises(AttributeError):
        _ = tenant.missing


def test_a_cancellation_inside_a_call_is_the_callers_and_the_thread_goes_on(tenant):
    with pytest.raises(asyncio.CancelledError):
        tenant.cancelled()
    assert tenant.thread() == "driven-loop"


def test_with_enters_and_leaves_in_one_task_and_context(tenant):
    with tenant.transaction() as tx:
        assert tx.entered() == "acme"
        assert tx.archive.save("inside") == Message("inside")
    assert tenant.entered() == "nothing"


def test_an_error_in_a_with_block_reaches_the_object_and_the_caller(tenant):
    with pytest.raises(LookupError), tenant.transaction() as tx:
        tx.archive.fail()
    assert [message.text for message in tenant.archive.messages()] == ["rolled back"]


def test_threads_do_not_share_a_context(tenant):
    with ThreadPoolExecutor(1) as other, tenant.transaction() as tx:
        assert tx.entered() == "acme"
        assert other.submit(tx.entered).result(10) == "nothing"


def test_for_walks_an_asynchronous_iterator_and_break_closes_it(tenant):
    for text in ("one", "two", "three"):
        tenant.archive.save(text)
    for message in tenant.archive.messages():
        assert type(message) is Message
        if message.text == "two":
            break
    assert [message.text for message in tenant.archive.messages()] == ["one", "two", "three", "closed"]


def test_next_and_close_work_on_an_iterator(tenant):
    tenant.archive.save("one")
    messages = tenant.archive.messages()
    assert next(messages) == Message("one")
    messages.close()
    assert next(messages, None) is None
    assert [message.text for message in tenant.archive.messages()] == ["one", "closed"]


def test_the_store_itself_is_a_with_block(store):
    with store as same:
        assert same.is_closed is False
    assert store.is_closed is True


def test_a_call_that_never_returns_is_reported(store):
    with LoopThread(limit=0.05) as impatient, pytest.raises(TimeoutError):
        impatient.run(asyncio.Event().wait)


def test_closing_leaves_no_thread():
    thread = LoopThread()
    thread.run(lambda: asyncio.sleep(0))
    thread.close()
    assert thread.loop.is_closed()
    assert not thread._thread.is_alive()
