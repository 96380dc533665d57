"""What type checkers must see of remembered reads and feeds; run in `make check`, never executed."""

from collections.abc import AsyncIterator, Iterator
from typing import Any, assert_type

from undercroft.core.live import feed, remembered
from undercroft.core.operation import C, Page, Slice
from undercroft.core.runtime.base import Awaiting, Blocking
from undercroft.core.tx import Tx


def _load(tx: Tx, key: str) -> str | None:
    return key or str(tx.now)


def _answer(text: str | None, key: str, *, default: int = 0) -> int:
    return len(text or key) + default


def _changes(tx: Tx, after: Any, *, step: int) -> Page[bytes]:
    return Page([str(tx.now).encode()], (after or 0) + step)


class Toy(Slice[C]):
    text = remembered(_load, topic="toy")
    size = remembered(_load, topic="toy", answer=_answer)
    watch = feed(_changes, topic="toy")
    wrong = remembered(_load, topic="toy", answer=_changes)  # type: ignore[arg-type, misc]  # pyright: ignore[reportArgumentType, reportCallIssue]


def blocking(toy: Toy[Blocking]) -> None:
    assert_type(toy.text("x"), str | None)
    assert_type(toy.size("x", default=1), int)
    assert_type(toy.watch(step=1), Iterator[bytes])
    toy.text(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    toy.size("x", 1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


async def awaiting(toy: Toy[Awaiting]) -> None:
    assert_type(await toy.text("x"), str | None)
    assert_type(await toy.size("x", default=1), int)
    assert_type(toy.watch(step=1), AsyncIterator[bytes])
    await toy.size(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
