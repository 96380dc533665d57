"""What type checkers must see of settings: see `tests/typing/facade.py`."""

from datetime import datetime
from typing import Any, assert_type

from undercroft import AsyncStore, Flag, Preference, Setting, Store


def blocking(store: Store, moment: datetime) -> None:
    acme = store.tenant("slack:T1")
    assert_type(acme.settings.set("s", moment, by="U1"), Setting)
    acme.settings.set("s", [{"a": 1}])
    acme.settings.set("s", None)
    assert_type(acme.settings.get("s", 3), Any)
    assert_type(acme.settings.flag("f", user="U1", default=True), bool)
    assert_type(acme.settings.set_flag("f", enabled=True, users={"U1"}, share=5), Flag)
    assert_type(acme.preferences.effective("U1"), dict[str, Any])
    acme.settings.set("s", (1, 2))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    acme.settings.set("s", b"bytes")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    acme.settings.set_flag("f")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    acme.settings.flag("f", users="U1")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    acme.preferences.get("s")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


async def awaiting(store: AsyncStore) -> None:
    acme = store.tenant("slack:T1")
    assert_type(await acme.settings.flag("f"), bool)
    assert_type(await acme.preferences.set("U1", "s", 1.5), Preference)
    assert_type(await acme.preferences.effective("U1"), dict[str, Any])
    async with acme.transaction() as tx:
        assert_type(await tx.settings.list(), list[Setting])
