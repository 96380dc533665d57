"""The normal form and the key, without a database."""

import sqlite3
from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given, strategies as st

from tests.results.corpus import Corpus, corpora, form
from undercroft.errors import InvalidInput
from undercroft.results.rules import request, statement

SAME = [
    ("SELECT a FROM t", "select\n a\tFrom T ;", None),
    ("SELECT a FROM t", "SELECT /* what */ a -- why\nFROM t", None),
    ("SELECT a FROM t AS x", "SELECT a FROM t x", None),
    ("SELECT a FROM t WHERE b <> 1", 'SELECT "a" FROM "t" WHERE b != 1', None),
    ("SELECT count(*), my_f(a) FROM t", "SELECT COUNT(*), MY_F(a) FROM t", None),
    ("SELECT a FROM t", 'SELECT "A" FROM "T"', "snowflake"),
    ("SELECT a FROM t", "SELECT [a] FROM `t`", "sqlite"),
    ("SELECT a::int FROM t", "SELECT CAST(a AS INT) FROM t", "postgres"),
]
DIFFERENT = [
    ("SELECT 'x'", "SELECT 'X'", None),
    ("SELECT 'a b'", "SELECT 'a  b'", None),
    ("SELECT 'a--b'", "SELECT 'a'", None),
    ("SELECT 1", "SELECT 1.0", None),
    ("SELECT 1", "SELECT '1'", None),
    ("SELECT a FROM t WHERE b = 1", "SELECT a FROM t WHERE b = 2", None),
    ("SELECT a FROM t LIMIT 1", "SELECT a FROM t LIMIT 2", None),
    ("SELECT a, b FROM t", "SELECT b, a FROM t", None),
    ("SELECT a FROM t", "SELECT DISTINCT a FROM t", None),
    ("SELECT a FROM t UNION SELECT 1", "SELECT a FROM t UNION ALL SELECT 1", None),
    ("SELECT a FROM t", "SELECT a FROM s.t", None),
    ('SELECT "A" FROM t', "SELECT a FROM t", "postgres"),
    ('SELECT a FROM t WHERE b = "France"', 'SELECT a FROM t WHERE b = "france"', "sqlite"),
    ("SELECT :Name", "SELECT :name", None),
    ("SELECT a FROM Tab", "SELECT a FROM tab", "mysql"),
]


@pytest.mark.parametrize(("one", "other", "dialect"), SAME, ids=range(len(SAME)))
def test_spelling_does_not_tell_apart(one, other, dialect):
    assert statement(one, dialect) == statement(other, dialect)
    assert statement(one, dialect).form


@pytest.mark.parametrize(("one", "other", "dialect"), DIFFERENT, ids=range(len(DIFFERENT)))
def test_meaning_does(one, other, dialect):
    assert statement(one, dialect).form != statement(other, dialect).form
    assert statement(one, dialect).form


@pytest.mark.parametrize(
    ("sql", "dialect", "tables"),
    [
        ("SELECT 1", None, ()),
        ("SELECT * FROM a.B, c JOIN d ON 1 = 1", None, ("b", "c", "d")),
        (
            "WITH orders AS (SELECT * FROM orders WHERE x IN (SELECT y FROM z)) SELECT * FROM orders",
            None,
            ("orders", "z"),
        ),
        ('SELECT * FROM "Mixed Case"', "postgres", ("mixed case",)),
        ("TABLE t", "postgres", ("t",)),
    ],
    ids=range(5),
)
def test_the_tables_it_reads_are_known(sql, dialect, tables):
    assert statement(sql, dialect).tables == tables


@pytest.mark.parametrize(
    ("sql", "dialect", "reason"),
    [
        ("UPDATE t SET a = 1", None, "not_a_read"),
        ("MERGE INTO t USING u ON 1 = 1 WHEN MATCHED THEN DELETE", None, "not_a_read"),
        ("CREATE TABLE t AS SELECT 1", None, "not_a_read"),
        ("EXPLAIN SELECT 1", "postgres", "not_a_read"),
        ("CALL f()", "postgres", "not_a_read"),
        ("/* SELECT */ DROP TABLE t", None, "not_a_read"),
        ("SELECT a FROM t FOR UPDATE", "postgres", "not_a_read"),
        ("WITH w AS (INSERT INTO t VALUES (1) RETURNING *) SELECT * FROM w", "postgres", "not_a_read"),
        ("SELECT 1; SELECT 2", None, "not_a_read"),
        ("SELECT (", None, "unparsed"),
        ("SELECT 'open", None, "unparsed"),
        ("SELECT " + "(" * 5000 + "1" + ")" * 5000, None, "unparsed"),
        ("SELECT 1" + " " * 100_000, None, "unparsed"),
        ("-- nothing", None, "unparsed"),
    ],
    ids=range(14),
)
def test_what_is_no_single_read_has_no_form(sql, dialect, reason, caplog):
    found = statement(sql, dialect)
    assert (found.form, found.tables, found.reason) == ("", (), reason)
    assert caplog.text == ""  # the text of a statement is nobody's business


def key(sql="SELECT 1", **changed):
    asked = {"database": "D", "rights": "r", "parameters": None, "dialect": None}
    return request(sql, **asked | changed).key


PARAMETERS = [
    *(None, [], {}, [None], [1], [1.0], [True], ["1"], [Decimal(1)], [b"1"], [[1]], [{"a": 1}], {"a": 1}, {"a": "1"}),
    *([date(2024, 1, 1)], [datetime(2024, 1, 1, tzinfo=UTC)], [UUID(int=1)], [1, 2], [2, 1], {"b": 1}, ["r", "D"]),
]


def test_every_part_tells_keys_apart():
    keys = [
        *(key(parameters=parameters) for parameters in PARAMETERS),
        *(key(rights=rights) for rights in ("R", "r,s", ["r", "s"], ["r s"], '["r","s"]')),
        *(key(database=database) for database in ("d", "D ", "r")),
        *(key(dialect=dialect) for dialect in ("sqlite", "postgres")),
        key("SELECT 2"),
    ]
    assert len(set(keys)) == len(keys)


def test_what_means_the_same_does_not():
    assert key(rights="r") == key(rights=["r", "r"]) == key(rights=("r",)) == key(rights={"r"})
    assert key(rights=["a", "b"]) == key(rights=["b", "a"])
    assert key(parameters={"a": 1, "b": 2}) == key(parameters={"b": 2, "a": 1})
    assert key(parameters=[1, 2]) == key(parameters=(1, 2))


@given(st.lists(st.text(min_size=1), min_size=1), st.lists(st.text(min_size=1), min_size=1))
def test_keys_of_two_sets_of_rights_are_equal_only_if_they_are(one, other):
    assert (key(rights=one) == key(rights=other)) == (set(one) == set(other))


def test_a_parameter_without_an_exact_text_is_refused():
    for wrong in ([object()], [{1, 2}], {1: 2}):
        with pytest.raises(InvalidInput):
            key(parameters=wrong)


@pytest.fixture(params=list(corpora()), ids=lambda corpus: corpus.name)
def corpus(request) -> Corpus:
    return request.param


def test_a_form_is_its_own_form_and_answers_the_same(corpus):
    """On the databases that are known: a statement, its normal form, and every other statement of that form.

    What SQLite refuses is left out: where a column is missing it takes its name in quotes for a text.
    """
    databases, answers = corpus.databases(), {}
    refused = 0
    for database, sql in sorted({(database, sql) for database, _, sql in corpus.pairs}):
        normal = form(sql)
        if not normal:
            continue
        assert form(normal) == normal
        told = _answer(databases[database], sql) if database in databases else None
        if told is None:
            refused += 1
        else:
            assert answers.setdefault((database, normal), told) == told
            assert _answer(databases[database], normal) == told
    assert not databases or refused < len(answers) / 5


def _answer(connection: sqlite3.Connection, sql: str):
    try:
        return connection.execute(sql).fetchall()
    except sqlite3.Error:
        return None
