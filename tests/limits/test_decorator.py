"""`undercroft.limited`: a function that takes of a limit before it runs."""

import asyncio

import pytest

from undercroft import AsyncStore, Store, errors, limited


def _limits_of(tenant):
    """Its limits as they are told by a call: what drives both colours in these tests can be called itself."""
    return lambda *_, **__: tenant.limits


def _length(_user, model, **_):
    return len(model)


def test_a_function_takes_before_it_runs(tenant):
    tenant.limits.define("api", 2, per="month", each="user and resource")
    ran = []

    @limited(_limits_of(tenant), "api", units=_length, by=lambda user, *_, **__: user, resource="r")
    def ask(user: str, model: str, *, loud: bool = False) -> str:
        """Ask."""
        ran.append(user)
        return f"{user} {model} {loud}"

    assert ask("U1", "a", loud=True) == "U1 a True"
    assert ask("U2", "ab") == "U2 ab False"
    with pytest.raises(errors.LimitExceeded) as raised:
        ask("U1", "ab")
    assert (raised.value.limit, ran) == ("api", ["U1", "U2"])
    assert (ask.__name__, ask.__doc__) == ("ask", "Ask.")
    assert {(one.user, one.resource, one.used) for one in tenant.limits.usage()} == {("U1", "r", 1), ("U2", "r", 2)}
    with pytest.raises(errors.InvalidInput):
        ask("", "a")


def test_what_was_taken_stays_taken_if_the_function_fails(tenant):
    tenant.limits.define("api", 2, per="month")

    @limited(_limits_of(tenant), "api")
    def fail() -> None:
        raise ValueError

    with pytest.raises(ValueError):
        fail()
    assert tenant.limits.check("api").remaining == 1


def test_whose_limits_they_are_is_told_by_the_call(tenant, new_tenant):
    other = new_tenant()
    for one in (tenant, other):
        one.limits.define("api", 1, per="month")

    @limited(lambda workspace: workspace.limits, "api")
    def ask(workspace: object) -> object:
        return workspace

    assert ask(tenant) is tenant
    assert ask(other) is other
    with pytest.raises(errors.LimitExceeded):
        ask(tenant)


def test_a_function_is_limited_by_a_stores_own_limits(tenant, database_url):
    tenant.limits.define("api", 1, per="month")
    with Store(database_url) as store:
        ask = limited(store.tenant(tenant.key).limits, "api")(lambda: "asked")
        assert ask() == "asked"
        with pytest.raises(errors.LimitExceeded):
            ask()


def test_a_coroutine_function_takes_when_it_is_awaited(tenant, database_url):
    tenant.limits.define("api", 1, per="month", each="user")
    ran = []

    async def main() -> None:
        async with AsyncStore(database_url) as store:

            @limited(store.tenant(tenant.key).limits, "api", by=lambda user: user)
            async def ask(user: str) -> str:
                ran.append(user)
                return user

            waiting = ask("U1")
            assert tenant.limits.usage() == []
            assert await waiting == "U1"
            with pytest.raises(errors.LimitExceeded):
                await ask("U1")
            told = await asyncio.gather(*(ask("U2") for _ in range(5)), return_exceptions=True)
            assert [type(one) for one in told].count(errors.LimitExceeded) == 4

            @limited(store.tenant(tenant.key).limits, "api", by="U3")
            def plain() -> None:
                ran.append("plain")

            with pytest.raises(errors.WrongColour):
                plain()

    asyncio.run(main())
    assert ran == ["U1", "U2"]
    assert [one.user for one in tenant.limits.usage()] == ["U1", "U2"]
