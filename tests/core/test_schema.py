"""Columns that mean the same everywhere: what they refuse, and lists as one parameter, on every engine."""

from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import asyncpg, psycopg
from sqlalchemy.dialects.sqlite import pysqlite

from undercroft.core.schema import SQLITE_FUNCTIONS, Array, BigInt, Bool, Json, Real, Text, UtcDateTime, Uuid, any_of
from undercroft.core.types import to_json
from undercroft.errors import InvalidInput

DIALECTS = [asyncpg.dialect(), psycopg.dialect(), pysqlite.dialect()]
IDS = ["asyncpg", "psycopg", "sqlite"]
MOMENT = datetime(2024, 2, 29, 23, 59, 59, 999999, tzinfo=UTC)

things = sa.Table(
    "things",
    sa.MetaData(),
    sa.Column("id", Uuid, primary_key=True),
    sa.Column("name", Text),
    sa.Column("n", BigInt),
    sa.Column("at", UtcDateTime),
    sa.Column("data", Json),
    sa.Column("flag", Bool),
    sa.Column("share", Real),
)
ROWS = [
    {
        "id": UUID(int=n),
        "name": f"n{n}",
        "n": 2**62 + n,
        "at": MOMENT.replace(hour=n),
        "data": [n],
        "flag": n > 1,
        "share": n / 3,
    }
    for n in range(4)
]


@pytest.fixture
def connection(empty_database_url: str) -> Iterator[sa.Connection]:
    engine = sa.create_engine(empty_database_url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.connect() as opened:
        if engine.dialect.name == "sqlite":
            for name, (arguments, function) in SQLITE_FUNCTIONS.items():
                opened.connection.driver_connection.create_function(name, arguments, function, deterministic=True)
        things.create(opened)
        opened.execute(things.insert(), ROWS)
        yield opened
    engine.dispose()


@pytest.mark.parametrize("column", ["id", "name", "n", "at"])
def test_a_list_is_one_parameter(connection: sa.Connection, column: str) -> None:
    statement = sa.select(things.c.id).where(any_of(things.c[column], "wanted")).order_by(things.c.id)

    def found(*wanted: object) -> list[int]:
        return [id_.int for id_ in connection.execute(statement, {"wanted": list(wanted)}).scalars()]

    values = [row[column] for row in ROWS]
    assert found(values[1], values[3]) == [1, 3]
    assert found() == []
    assert found({"id": uuid4(), "name": "none", "n": -1, "at": MOMENT}[column]) == []


def test_a_list_can_be_refused_and_combined(connection: sa.Connection) -> None:
    listed = any_of(things.c.n, "wanted")
    wanted = {"wanted": [ROWS[1]["n"]]}
    assert connection.execute(sa.select(sa.func.count()).where(~listed, things.c.n.is_not(None)), wanted).scalar() == 3
    assert connection.execute(sa.select(sa.func.count()).where(listed | things.c.flag), wanted).scalar() == 3


def test_a_list_finds_its_index(connection: sa.Connection, engine: str) -> None:
    if engine != "sqlite":
        connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
    text = str(sa.select(things.c.name).where(any_of(things.c.id, "wanted")).compile(dialect=connection.dialect))
    explain = "EXPLAIN QUERY PLAN " if engine == "sqlite" else "EXPLAIN "
    given = (to_json([ROWS[1]["id"].hex]),) if engine == "sqlite" else {"wanted": [ROWS[1]["id"]]}
    plan = "\n".join(str(row[-1]) for row in connection.exec_driver_sql(explain + text, given))
    assert "USING INDEX" in plan or "things_pkey" in plan


def test_rows_come_back_as_they_went_in(connection: sa.Connection) -> None:
    assert [row._asdict() for row in connection.execute(sa.select(things).order_by(things.c.id))] == ROWS


@pytest.mark.parametrize("dialect", DIALECTS, ids=IDS)
@pytest.mark.parametrize("type_", [Uuid(), UtcDateTime(), Text(), Json(), Bool(), BigInt(), Real()], ids=repr)
def test_nothing_stays_nothing(dialect: sa.Dialect, type_: sa.types.TypeEngine) -> None:
    here = type_.dialect_impl(dialect)
    for process in (here.bind_processor(dialect), here.result_processor(dialect, None)):
        assert process is None or process(None) is None


@pytest.mark.parametrize("dialect", DIALECTS, ids=IDS)
@pytest.mark.parametrize("type_", [Text(), Json(), Array(Text())], ids=["text", "json", "list"])
@pytest.mark.parametrize("value", ["a\0b", "\ud800", 5, b"bytes"], ids=["nul", "surrogate", "number", "bytes"])
def test_text_that_one_engine_cannot_keep_is_refused_by_all(dialect, type_, value) -> None:
    if isinstance(type_, Json) and value == 5:
        return
    with pytest.raises(InvalidInput):
        type_.dialect_impl(dialect).bind_processor(dialect)([value] if isinstance(type_, Array) else value)


@pytest.mark.parametrize("dialect", DIALECTS, ids=IDS)
def test_a_naive_moment_is_refused(dialect: sa.Dialect) -> None:
    process = UtcDateTime().dialect_impl(dialect).bind_processor(dialect)
    for value in (datetime(2024, 1, 1), "2024-01-01"):  # noqa: DTZ001 - the thing under test
        with pytest.raises(InvalidInput):
            process(value)


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        {"deep": [float("inf"), None]},
        {1: "key"},
        {"set"},
        MOMENT,
        2**64,
        "\\ and \0",
        {"a\0": 1},
        ["\udfff"],
        b"bytes",
    ],
    ids=repr,
)
def test_what_json_would_change_is_refused(value: object) -> None:
    with pytest.raises(InvalidInput):
        to_json(value)


@pytest.mark.parametrize("value", ["\\u0000", "\\\\u0000", {"null": None, "nan": "NaN"}, 1.5, [], "☃", 2**63 - 1])
def test_what_json_keeps_is_kept(value: object) -> None:
    import json

    assert json.loads(to_json(value)) == value


def test_where_a_driver_speaks_the_type_no_function_runs() -> None:
    dialect = postgresql.asyncpg.dialect()
    for type_ in (Uuid(), Text(), Json(), BigInt(), Real()):
        assert type_.dialect_impl(dialect).result_processor(dialect, None) is None
    assert Uuid().dialect_impl(dialect).bind_processor(dialect) is None
