"""One row created, read and changed, and a page of 50: `acme.repository(Model)` against drivers without isolation.

Commits are not waited for by anybody here: a disk's fsync would hide what a library costs.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import orjson
import psycopg
from psycopg.types.json import Jsonb, set_json_loads
from sqlalchemy import create_engine, select
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

import undercroft
from benchmarks.databases import CONNECTIONS, Postgres, postgres
from benchmarks.harness import Bench, Contender, Operations, Target
from benchmarks.tasks.point_read import SET_TENANT, no_reset, with_json
from undercroft.core.ids import named
from undercroft.models import User

NUMBER, TITLE = 5, "Repository: create, get, update, a page of 50"
TENANT = named("tenant", "slack", "T0")
USERS, PAGE = 5_000, 50
OPERATIONS = ("create", "get", "update", "page")
OURS, OURS_ORM = "undercroft repository", "undercroft repository, as_orm"
ORM = "SQLAlchemy ORM, set_config"

INSERT = (
    "INSERT INTO undercroft.users (tenant_id, id, platform, native_id, name, email, profile, created_at, updated_at)"
    " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING *"
)
GET = "SELECT * FROM undercroft.users WHERE tenant_id = $1 AND id = $2"
UPDATE = "UPDATE undercroft.users SET display_name = $3, updated_at = $4 WHERE tenant_id = $1 AND id = $2 RETURNING *"
LIST = "SELECT * FROM undercroft.users WHERE tenant_id = $1 AND id > $2 ORDER BY id LIMIT $3"
IDS = sorted(named("user", "slack", "T0", f"U{user}") for user in range(USERS))


def id_of(number: int) -> UUID:
    """Another user at every call."""
    return IDS[number * 7919 % USERS]


def page_start(number: int) -> UUID:
    """Where a full page follows."""
    return IDS[number * 7919 % (USERS - PAGE)]


def new_user(number: int) -> dict[str, Any]:
    """What a new user is made of, without his tenant."""
    now = datetime.now(UTC)
    return {
        "id": uuid4(),
        "platform": "slack",
        "native_id": f"N{number}",
        "name": f"user{number}",
        "email": f"u{number}@example.org",
        "profile": {"title": "engineer", "number": number},
        "created_at": now,
        "updated_at": now,
    }


def changes(number: int) -> dict[str, Any]:
    """What an update writes."""
    return {"display_name": f"User {number}", "updated_at": datetime.now(UTC)}


def full(page: Any) -> Any:
    """A page of another length would be another measurement."""
    assert len(page) == PAGE
    return page


@asynccontextmanager
async def asyncpg_pool(db: Postgres) -> AsyncIterator[Operations]:
    async with asyncpg.create_pool(
        db.owner, min_size=CONNECTIONS, max_size=CONNECTIONS, init=with_json, reset=no_reset
    ) as pool:

        async def create(number: int) -> Any:
            return await pool.fetchrow(INSERT, TENANT, *new_user(number).values())

        async def get(number: int) -> Any:
            return await pool.fetchrow(GET, TENANT, id_of(number))

        async def update(number: int) -> Any:
            return await pool.fetchrow(UPDATE, TENANT, id_of(number), *changes(number).values())

        async def page(number: int) -> Any:
            return full(await pool.fetch(LIST, TENANT, page_start(number), PAGE))

        yield {"create": create, "get": get, "update": update, "page": page}


@asynccontextmanager
async def sqlalchemy_orm(db: Postgres) -> AsyncIterator[Operations]:
    engine = create_async_engine(db.sqlalchemy("asyncpg"), pool_size=CONNECTIONS, max_overflow=0)

    @asynccontextmanager
    async def entered() -> AsyncIterator[AsyncSession]:
        async with AsyncSession(engine, expire_on_commit=False) as session, session.begin():
            await session.execute(SET_TENANT, {"tenant": str(TENANT)})
            yield session

    async def create(number: int) -> Any:
        async with entered() as session:
            session.add(user := User(tenant_id=TENANT, **new_user(number)))
        return user

    async def get(number: int) -> Any:
        async with entered() as session:
            return await session.get_one(User, (TENANT, id_of(number)))

    async def update(number: int) -> Any:
        async with entered() as session:
            user = await session.get_one(User, (TENANT, id_of(number)))
            for name, value in changes(number).items():
                setattr(user, name, value)
        return user

    async def page(number: int) -> Any:
        async with entered() as session:
            return full((await session.scalars(_page(number))).all())

    yield {"create": create, "get": get, "update": update, "page": page}
    await engine.dispose()


def _page(number: int) -> Any:
    return select(User).where(User.tenant_id == TENANT, User.id > page_start(number)).order_by(User.id).limit(PAGE)


@asynccontextmanager
async def advanced_alchemy(db: Postgres) -> AsyncIterator[Operations]:
    from advanced_alchemy.filters import LimitOffset, OrderBy  # noqa: PLC0415 - a contender that may be missing
    from advanced_alchemy.repository import SQLAlchemyAsyncRepository  # noqa: PLC0415

    class Users(SQLAlchemyAsyncRepository[User]):
        model_type = User

    engine = create_async_engine(db.sqlalchemy("asyncpg"), pool_size=CONNECTIONS, max_overflow=0)

    @asynccontextmanager
    async def entered() -> AsyncIterator[Users]:
        async with AsyncSession(engine, expire_on_commit=False) as session, session.begin():
            await session.execute(SET_TENANT, {"tenant": str(TENANT)})
            yield Users(session=session)

    async def create(number: int) -> Any:
        async with entered() as users:
            return await users.add(User(tenant_id=TENANT, **new_user(number)))

    async def get(number: int) -> Any:
        async with entered() as users:
            return await users.get_one(tenant_id=TENANT, id=id_of(number))

    async def update(number: int) -> Any:
        async with entered() as users:
            user = await users.get_one(tenant_id=TENANT, id=id_of(number))
            for name, value in changes(number).items():
                setattr(user, name, value)
            return await users.update(user)

    async def page(number: int) -> Any:
        async with entered() as users:
            return full(
                await users.list(User.id > page_start(number), OrderBy("id"), LimitOffset(PAGE, 0), tenant_id=TENANT)
            )

    yield {"create": create, "get": get, "update": update, "page": page}
    await engine.dispose()


@asynccontextmanager
async def ours(db: Postgres, *, as_orm: bool) -> AsyncIterator[Operations]:
    async with undercroft.AsyncStore(settings=db.settings()) as store:
        acme = store.tenant("slack:T0")
        users: Any = acme.repository(User, as_orm=True) if as_orm else acme.repository(User)

        async def create(number: int) -> Any:
            return await users.create(**new_user(number))

        async def get(number: int) -> Any:
            return await users.get(id_of(number))

        async def update(number: int) -> Any:
            return await users.update(id_of(number), **changes(number))

        async def page(number: int) -> Any:
            return full((await users.page(limit=PAGE, after=(page_start(number),))).items)

        yield {"create": create, "get": get, "update": update, "page": page}


@asynccontextmanager
async def psycopg_pool(db: Postgres) -> AsyncIterator[Operations]:
    from psycopg_pool import ConnectionPool  # noqa: PLC0415 - a contender that may be missing

    options = {"autocommit": True, "prepare_threshold": 0}
    insert, get_, update_, list_ = (_positional(sql) for sql in (INSERT, GET, UPDATE, LIST))
    with ConnectionPool(
        db.owner,
        min_size=CONNECTIONS,
        max_size=CONNECTIONS,
        kwargs=options,
        configure=lambda connection: set_json_loads(orjson.loads, connection),
    ) as pool:

        def run(sql: str, *arguments: Any) -> psycopg.Cursor[Any]:
            with pool.connection() as connection:
                return connection.execute(sql, arguments)

        def create(number: int) -> Any:
            user = new_user(number)
            user["profile"] = Jsonb(user["profile"], orjson.dumps)
            return run(insert, TENANT, *user.values()).fetchone()

        def get(number: int) -> Any:
            return run(get_, TENANT, id_of(number)).fetchone()

        def update(number: int) -> Any:
            return run(update_, *changes(number).values(), TENANT, id_of(number)).fetchone()

        def page(number: int) -> Any:
            return full(run(list_, TENANT, page_start(number), PAGE).fetchall())

        yield {"create": create, "get": get, "update": update, "page": page}


def _positional(sql: str) -> str:
    for number in range(9, 0, -1):
        sql = sql.replace(f"${number}", "%s")
    return sql


@asynccontextmanager
async def sqlalchemy_orm_sync(db: Postgres) -> AsyncIterator[Operations]:
    engine = create_engine(db.sqlalchemy("psycopg"), pool_size=CONNECTIONS, max_overflow=0)

    @contextmanager
    def entered() -> Iterator[Session]:
        with Session(engine, expire_on_commit=False) as session, session.begin():
            session.execute(SET_TENANT, {"tenant": str(TENANT)})
            yield session

    def create(number: int) -> Any:
        with entered() as session:
            session.add(user := User(tenant_id=TENANT, **new_user(number)))
        return user

    def get(number: int) -> Any:
        with entered() as session:
            return session.get_one(User, (TENANT, id_of(number)))

    def update(number: int) -> Any:
        with entered() as session:
            user = session.get_one(User, (TENANT, id_of(number)))
            for name, value in changes(number).items():
                setattr(user, name, value)
        return user

    def page(number: int) -> Any:
        with entered() as session:
            return full(session.scalars(_page(number)).all())

    yield {"create": create, "get": get, "update": update, "page": page}
    engine.dispose()


@asynccontextmanager
async def ours_sync(db: Postgres) -> AsyncIterator[Operations]:
    with undercroft.Store(settings=db.settings()) as store:
        users = store.tenant("slack:T0").repository(User)

        def create(number: int) -> Any:
            return users.create(**new_user(number))

        def get(number: int) -> Any:
            return users.get(id_of(number))

        def update(number: int) -> Any:
            return users.update(id_of(number), **changes(number))

        def page(number: int) -> Any:
            return full(users.page(limit=PAGE, after=(page_start(number),)).items)

        yield {"create": create, "get": get, "update": update, "page": page}


async def run(bench: Bench) -> None:
    """Measure every operation, alone and 32 at a time."""
    with postgres() as db:
        db.run(f'ALTER DATABASE "{db.owner.rpartition("/")[2]}" SET synchronous_commit = off')
        with undercroft.Store(settings=db.settings()) as store:
            store.tenants.ensure("slack:T0")
            store.tenant("slack:T0").repository(User).create_many(
                {**new_user(user), "id": named("user", "slack", "T0", f"U{user}")} for user in range(USERS)
            )
        db.run("VACUUM ANALYZE")
        awaited = [
            Contender("asyncpg, pool without reset", "limit", partial(asyncpg_pool, db)),
            Contender(ORM, "peer", partial(sqlalchemy_orm, db)),
            Contender("advanced-alchemy, set_config", "peer", partial(advanced_alchemy, db)),
            Contender(OURS, "ours", partial(ours, db, as_orm=False)),
            Contender(OURS_ORM, "ours", partial(ours, db, as_orm=True)),
        ]
        blocking = [
            Contender("psycopg, pool", "limit", partial(psycopg_pool, db)),
            Contender(ORM, "peer", partial(sqlalchemy_orm_sync, db)),
            Contender(OURS, "ours", partial(ours_sync, db)),
        ]
        for colour, contenders in (("async", awaited), ("sync", blocking)):
            async with bench.opened(contenders) as live:
                for operation in OPERATIONS:
                    for concurrency, at_least in ((1, 0.75), (32, 0.65)):
                        targets = [Target(OURS, at_least)]
                        if colour == "async":
                            targets.append(Target(OURS_ORM, 0.95, against=ORM))
                        name = f"{operation}, {colour}, c{concurrency}"
                        await bench.compare(name, live, operation, concurrency=concurrency, targets=targets)
