"""Many rows in one statement: what is alike in all of them travels once, and comes back as it would have alone."""

import math
from decimal import Decimal

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import asyncpg, psycopg

from undercroft.core.dialects.postgresql_bulk import MANY, Unnest
from undercroft.core.schema import Json

TABLE = sa.Table(
    "things",
    sa.MetaData(),
    sa.Column("id", sa.BigInteger, primary_key=True),
    sa.Column("name", sa.Text),
    sa.Column("size", sa.Numeric),
    sa.Column("weight", sa.Float),
    sa.Column("extra", Json),
)


class Wire:
    """What a driver would be given."""

    def execute(self, sql, arguments):
        self.sql, self.arguments = sql, list(arguments)
        return 0


def _sent(rows, dialect=None, *, ignore=False):
    wire = Wire()
    bulk = Unnest(dialect or asyncpg.dialect(), TABLE, tuple(rows[0]), ignore=ignore)
    bulk.run(wire, rows)
    return wire.sql, wire.arguments


def test_every_column_is_an_array_where_rows_are_few():
    rows = [{"id": number, "name": "same"} for number in range(MANY - 1)]
    sql, arguments = _sent(rows)
    assert arguments == [list(range(MANY - 1)), ["same"] * (MANY - 1)]
    assert (
        sql == "INSERT INTO things (id, name) SELECT u.id, u.name FROM unnest($1::BIGINT[], $2::TEXT[]) AS u(id, name)"
    )


NUMBERED = (
    "INSERT INTO things (name, id, extra) SELECT $1::TEXT, u.id, $2::text::JSONB"
    " FROM unnest($3::BIGINT[]) AS u(id) ON CONFLICT DO NOTHING"
)
POSITIONAL = NUMBERED.replace("$1", "%s").replace("$2", "%s").replace("$3", "%s")


@pytest.mark.parametrize(("dialect", "sql"), [(asyncpg.dialect(), NUMBERED), (psycopg.dialect(), POSITIONAL)])
def test_what_many_rows_have_alike_travels_once(dialect, sql):
    rows = [{"name": "same", "id": number, "extra": {"a": [1]}} for number in range(MANY)]
    assert _sent(rows, dialect, ignore=True) == (sql, ["same", '{"a":[1]}', list(range(MANY))])


def test_rows_that_are_all_alike_are_counted_by_one_array():
    _, arguments = _sent([{"id": 1, "name": None}] * MANY)
    assert arguments == [None, [1] * MANY]


@pytest.mark.parametrize(
    ("column", "one", "other"),
    [("weight", 0.0, -0.0), ("size", Decimal("1.0"), Decimal("1.00")), ("weight", math.nan, 1.0), ("name", "a", None)],
    ids=repr,
)
def test_what_is_only_equal_is_not_alike(column, one, other):
    rows = [{"id": number, column: (one, other)[number % 2]} for number in range(MANY)]
    _, arguments = _sent(rows)
    assert [repr(value) for value in arguments[1]] == [repr(row[column]) for row in rows]
