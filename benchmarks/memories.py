"""How others keep a conversation, each as its documentation shows it: what `tasks/conversation.py` compares with.

None of them has tenants. Their packages are in `peers.txt`; one that is missing is left out of the tables.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import NAMESPACE_OID, uuid5

import psycopg

from benchmarks.databases import CONNECTIONS, Postgres

Said = Callable[[int], dict[str, str]]
Turn = Callable[[str, int], Awaitable[Sequence[Any]]]
Lengths = Mapping[str, int]
"""The conversations by their names, and how many messages each has before the first turn."""


@asynccontextmanager
async def agents_sqlalchemy(url: str, lengths: Lengths, said: Said, last: int, **pool: Any) -> AsyncIterator[Turn]:
    """openai-agents on SQLAlchemy's asynchronous engine, on PostgreSQL or on aiosqlite."""
    from agents.extensions.memory import SQLAlchemySession  # noqa: PLC0415 - a contender that may be missing
    from sqlalchemy.ext.asyncio import create_async_engine  # noqa: PLC0415 - same

    engine = create_async_engine(url, **pool)
    await SQLAlchemySession("first", engine=engine, create_tables=True).get_items(1)
    sessions = {name: SQLAlchemySession(name, engine=engine) for name in lengths}
    yield await _agents(sessions, lengths, said, last)
    await engine.dispose()


@asynccontextmanager
async def agents_sqlite(path: str, lengths: Lengths, said: Said, last: int) -> AsyncIterator[Turn]:
    """openai-agents on sqlite3, in threads."""
    from agents import SQLiteSession  # noqa: PLC0415 - a contender that may be missing

    sessions = {name: SQLiteSession(name, path) for name in lengths}
    yield await _agents(sessions, lengths, said, last)
    for session in sessions.values():
        session.close()


async def _agents(sessions: Mapping[str, Any], lengths: Lengths, said: Said, last: int) -> Turn:
    for name, length in lengths.items():
        await sessions[name].add_items([said(number) for number in range(length)])

    async def turn(name: str, number: int) -> Sequence[Any]:
        await sessions[name].add_items([said(number)])
        found: Sequence[Any] = await sessions[name].get_items(limit=last)
        return found

    return turn


@asynccontextmanager
async def langchain_postgres(db: Postgres, lengths: Lengths, said: Said, last: int) -> AsyncIterator[Turn]:
    """langchain's history, which can only be loaded as a whole."""
    from langchain_core.messages import AIMessage, HumanMessage  # noqa: PLC0415 - a contender that may be missing
    from langchain_postgres import PostgresChatMessageHistory as History  # noqa: PLC0415 - same
    from psycopg_pool import AsyncConnectionPool  # noqa: PLC0415 - same

    def uuid(name: str) -> str:
        return str(uuid5(NAMESPACE_OID, name))

    def message(number: int) -> Any:
        told = said(number)
        return (HumanMessage if told["role"] == "user" else AIMessage)(content=told["content"])

    async with AsyncConnectionPool(db.owner, min_size=1, max_size=CONNECTIONS, open=False) as pool:
        async with pool.connection() as connection:
            await History.acreate_tables(connection, "langchain_history")
            for name, length in lengths.items():
                history = History("langchain_history", uuid(name), async_connection=connection)
                await history.aadd_messages([message(number) for number in range(length)])

        async def turn(name: str, number: int) -> Sequence[Any]:
            async with pool.connection() as connection:
                history = History("langchain_history", uuid(name), async_connection=connection)
                await history.aadd_messages([message(number)])
                return (await history.aget_messages())[-last:]

        yield turn


@asynccontextmanager
async def langgraph_postgres(db: Postgres, lengths: Lengths, said: Said, last: int) -> AsyncIterator[Turn]:
    """langgraph's checkpoints of a graph of one node."""
    from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver  # noqa: PLC0415 - a contender that may be missing
    from psycopg_pool import AsyncConnectionPool  # noqa: PLC0415 - same

    options = {"autocommit": True, "prepare_threshold": 0, "row_factory": psycopg.rows.dict_row}
    async with AsyncConnectionPool(db.owner, min_size=1, max_size=CONNECTIONS, open=False, kwargs=options) as pool:
        saver: Any = AsyncPostgresSaver(pool)  # type: ignore[arg-type,unused-ignore]  # it wants rows of dicts, as we make them
        await saver.setup()
        yield await _graph(saver, lengths, said, last)


@asynccontextmanager
async def langgraph_sqlite(path: str, lengths: Lengths, said: Said, last: int) -> AsyncIterator[Turn]:
    """The same on aiosqlite."""
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver  # noqa: PLC0415 - a contender that may be missing

    async with AsyncSqliteSaver.from_conn_string(path) as saver:
        yield await _graph(saver, lengths, said, last)


async def _graph(saver: Any, lengths: Lengths, said: Said, last: int) -> Turn:
    from langgraph.graph import START, MessagesState, StateGraph  # noqa: PLC0415 - a contender that may be missing

    graph: Any = StateGraph(MessagesState)
    graph.add_node("node", lambda _state: {"messages": []})
    graph.add_edge(START, "node")
    compiled = graph.compile(checkpointer=saver)

    async def say(name: str, messages: list[dict[str, str]]) -> Sequence[Any]:
        told = await compiled.ainvoke({"messages": messages}, {"configurable": {"thread_id": name}})
        found: Sequence[Any] = told["messages"][-last:]
        return found

    for name, length in lengths.items():
        await say(name, [said(number) for number in range(length)])
    return lambda name, number: say(name, [said(number)])
