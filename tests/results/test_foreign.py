"""Nobody is answered with what another one may see: two tenants, two roles, one cache, and calls that are cancelled."""

import asyncio
from collections import Counter
from random import Random
from uuid import uuid4

import pytest

import undercroft
from undercroft.results import asking, rules

ROLES = ("analyst", "admin")
ANSWERS = 2_000


async def _asked(url: str, answers: int, seed: int) -> Counter[str]:
    """Ask so many times from many tasks at once, and count what came back."""
    random, told = Random(seed), Counter[str]()
    async with undercroft.AsyncStore(url) as store:
        tenants = [f"slack:T{uuid4().hex}" for _ in range(2)]
        for name in tenants:
            await store.tenants.ensure(name)

        async def ask() -> None:
            name, role, number = random.choice(tenants), random.choice(ROLES), random.randrange(12)
            results = store.tenant(name).results
            mine = f"{name} {role} {number}"

            async def run() -> str:
                await asyncio.sleep(random.random() * 0.005)
                return mine

            if random.random() < 0.01:
                await results.invalidate(table=f"t{number}")
            ttl = random.choice([0.05, 60])
            call = results.get_or_run(f"SELECT {number} FROM t{number}", run, database="D", rights=[role], ttl=ttl)
            answer = await call
            told["hits" if answer.hit else "runs"] += 1
            told["foreign"] += answer.value != mine

        async def client() -> None:
            while told["hits"] + told["runs"] < answers:
                task = asyncio.create_task(ask())
                if random.random() < 0.2:
                    await asyncio.sleep(random.random() * 0.01)
                    task.cancel()
                try:
                    await task
                except asyncio.CancelledError:
                    told["cancelled"] += 1

        await asyncio.gather(*(client() for _ in range(24)))
    return told


async def test_no_answer_is_foreign(database_url):
    told = await _asked(database_url, ANSWERS, seed=1)
    assert told["foreign"] == 0
    assert min(told["hits"], told["runs"]) > ANSWERS / 50
    assert told["cancelled"] > ANSWERS / 100


@pytest.mark.soak
async def test_no_answer_is_foreign_at_length(database_url, soak_share):
    told = await _asked(database_url, int(100_000 * soak_share), seed=2)
    assert told["foreign"] == 0


async def test_control_a_key_without_rights_is_caught(database_url, monkeypatch):
    monkeypatch.setattr(asking, "request", lambda *args, **told: rules.request(*args, **{**told, "rights": "all"}))
    assert (await _asked(database_url, 300, seed=1))["foreign"] > 0
