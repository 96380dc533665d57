"""What is told of a caller's SQL without running it."""

import pickle

import pytest
from hypothesis import given, strategies as st

from undercroft.core.door import sqltext
from undercroft.core.door.rows import row_type

PIECES = [
    "'",
    '"',
    "`",
    "[",
    "]",
    "$1",
    "$$",
    "$a$",
    "--",
    "/*",
    "*/",
    "\n",
    ";",
    "E'",
    "\\",
    "x",
    " ",
    "é",
    "users",
    "(",
    ")",
    "1",
]


@given(st.lists(st.sampled_from(PIECES)).map("".join) | st.text(), st.booleans())
def test_the_tokens_are_the_text(sql, sqlite):
    text = sqltext.read(sql, sqlite=sqlite)
    assert "".join(token.text for token in text.tokens) == sql


@pytest.mark.parametrize(
    ("sql", "parameters"),
    [
        ("SELECT 1", 0),
        ("SELECT $1", 1),
        ("SELECT $2 + $10", 10),
        ("SELECT '$1' || $2", 2),
        ("SELECT 'it''s $3', $1", 1),
        ('SELECT "$3", $1', 1),
        ("SELECT $1 -- $3", 1),
        ("SELECT $1 /* $3 */", 1),
        ("SELECT a$3 FROM t WHERE b = $1", 1),
    ],
)
@pytest.mark.parametrize("sqlite", [True, False])
def test_parameters_are_counted_where_they_are_parameters(sql, parameters, sqlite):
    assert sqltext.read(sql, sqlite=sqlite).parameters == parameters


@pytest.mark.parametrize(
    ("sql", "parameters"),
    [
        ("SELECT $$ $3 $$, $1", 1),
        ("SELECT $tag$ $3 $$ $4 $tag$, $1", 1),
        (r"SELECT E'\' $3', $1", 1),
        ("SELECT $1 /* /* $3 */ $4 */ + $2", 2),
        ("SELECT ARRAY[$1, $2]", 2),
    ],
)
def test_parameters_as_postgresql_reads_them(sql, parameters):
    assert sqltext.read(sql, sqlite=False).parameters == parameters


@pytest.mark.parametrize(
    ("sql", "parameters"),
    [
        ("SELECT [$3], `$4`, $1", 1),
        (r"SELECT '\', $1, '$3'", 1),
        ("SELECT $1 /* /* $3 */ + $2 */", 2),
        ("SELECT $1 /* $2", 1),
    ],
)
def test_parameters_as_sqlite_reads_them(sql, parameters):
    assert sqltext.read(sql, sqlite=True).parameters == parameters


def test_sqlite_gets_numbered_parameters():
    sql = "SELECT $2, $1, '$1', \"$1\", [$1] -- $1\nFROM t /* $1 */ WHERE a = $10"
    expected = "SELECT ?2, ?1, '$1', \"$1\", [$1] -- $1\nFROM t /* $1 */ WHERE a = ?10"
    assert sqltext.read(sql, sqlite=True).numbered() == expected


@pytest.mark.parametrize(
    ("sql", "statements"),
    [
        ("", []),
        (" ; -- nothing\n;", []),
        ("SELECT 1", ["SELECT 1"]),
        ("SELECT 1;", ["SELECT 1;"]),
        ("SELECT ';'; SELECT 2 -- ;", ["SELECT ';';", "SELECT 2 -- ;"]),
    ],
)
@pytest.mark.parametrize("sqlite", [True, False])
def test_statements_are_told_apart(sql, statements, sqlite):
    assert list(sqltext.read(sql, sqlite=sqlite).statements) == statements


def test_a_body_stays_whole():
    trigger = "CREATE TRIGGER t AFTER INSERT ON a BEGIN SELECT 1; SELECT 2; END;"
    assert sqltext.read(f"{trigger} SELECT 3", sqlite=True).statements == (trigger, "SELECT 3")
    function = "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN 1; END $$;"
    assert sqltext.read(f"{function} SELECT 3", sqlite=False).statements == (function, "SELECT 3")


@pytest.mark.parametrize(
    ("sql", "reads"),
    [
        ("SELECT 1", True),
        (" -- why\n /* not */ select 1;", True),
        ("VALUES (1)", True),
        ("EXPLAIN DELETE FROM t", True),
        ("WITH a AS (SELECT 1) SELECT * FROM a", True),
        ("WITH a AS (SELECT 'delete') SELECT \"update\" FROM a", True),
        ("WITH a AS (SELECT 1) DELETE FROM t", False),
        ("WITH a AS (DELETE FROM t RETURNING 1) SELECT * FROM a", False),
        ("INSERT INTO t SELECT 1", False),
        ("SELECT 1; DELETE FROM t", False),
        ("", False),
    ],
)
def test_a_read_is_recognised(sql, reads):
    assert sqltext.read(sql, sqlite=True).reads is reads


@pytest.mark.parametrize(
    "sql", ["COMMIT", "begin", "SELECT 1; ROLLBACK", "/* */ SAVEPOINT a", "RELEASE a", "START TRANSACTION"]
)
def test_the_end_of_a_transaction_is_recognised(sql):
    assert sqltext.read(sql, sqlite=False).transaction is not None


def test_a_row_is_a_tuple_with_names():
    row = row_type(("a", "b", "a"))((1, 2, 3))
    assert row == (1, 2, 3)
    assert (row["a"], row["b"], row[2], row[1:], row.get("c", 4)) == (1, 2, 3, (2, 3), 4)
    assert (row.keys(), row.values(), list(row.items())) == (("a", "b", "a"), (1, 2, 3), [("a", 1), ("b", 2), ("a", 3)])
    assert repr(row_type(("a",))(("x",))) == "<Row a='x'>"
    assert pickle.loads(pickle.dumps(row)) == row
    assert pickle.loads(pickle.dumps(row))["b"] == 2
    with pytest.raises(KeyError):
        row["c"]
