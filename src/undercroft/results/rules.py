"""What makes two requests the same, decided without a database.

The key of a result is a SHA-256 over the normal form of its SQL, the parameters, the database asked and the rights of
whoever asks: results of others' rights cannot be found, since their keys are others.
"""

import functools
import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from undercroft.errors import InvalidInput
from undercroft.results.records import Reason

FORMAT = 1
LONGEST_SQL = 100_000
_EXACT = (int, float, datetime, date, time, timedelta, Decimal, UUID, bytes)
_BEGINS = {"SELECT", "WITH", "L_PAREN", "VALUES", "TABLE", "FROM"}


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement's normal form and the tables it reads; ``reason`` is why it has none."""

    form: str = ""
    tables: tuple[str, ...] = ()
    reason: Reason | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked: its key, and what is kept beside the result to find it by."""

    key: bytes
    statement: Statement
    database: str


def request(
    sql: str,
    *,
    database: str,
    rights: str | Collection[str],
    parameters: Mapping[str, Any] | Sequence[Any] | None,
    dialect: str | None,
) -> Request:
    """Work out what is asked.

    Raises:
        InvalidInput: no database, no rights, an unknown dialect, or a parameter of a type that has no exact text.
    """
    given: tuple[Any, ...] = (rights,) if isinstance(rights, str) else tuple(rights)
    if not given or not all(isinstance(one, str) and one for one in given):
        message = "Whoever asks has rights, one text or several that are not empty."
        raise InvalidInput(
            message, field="rights", hint="pass users.authorize_query(...).rights, or a word of yours for everybody"
        )
    if not database:
        message = "A result belongs to a database."
        raise InvalidInput(message, field="database", hint="name the data source that the SQL is run on")
    return _request(sql, database, given, None if parameters is None else _written(_exact(parameters)), dialect)


@functools.lru_cache(maxsize=4096)
def _request(sql: str, database: str, rights: tuple[str, ...], parameters: str | None, dialect: str | None) -> Request:
    """Work out the key, once for those who ask the same: it takes a tenth of the time of an answer from the cache."""
    read = statement(sql, dialect)
    asked = [FORMAT, dialect or "", read.form]
    text = f"{_written(asked)[:-1]},{parameters or 'null'},{_written([database, sorted(set(rights))])[1:]}"
    return Request(hashlib.sha256(text.encode()).digest(), read, database)


def _written(value: Any) -> str:
    return json.dumps(value, ensure_ascii=True, separators=(",", ":"))


def _exact(value: Any) -> Any:
    """Return JSON that differs wherever the values differ, in their types too: 1, 1.0, True and "1" are four."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, _EXACT):
        return {type(value).__name__: repr(value)}
    if isinstance(value, Mapping) and all(isinstance(name, str) for name in value):
        return {"of": {name: _exact(value[name]) for name in sorted(value)}}
    if isinstance(value, Sequence):
        return [_exact(one) for one in value]
    message = f"A parameter of type {type(value).__name__} has no exact text."
    raise InvalidInput(message, field="parameters", hint="pass text, numbers, dates, lists or mappings of them")


@functools.lru_cache(maxsize=4096)
def statement(sql: str, dialect: str | None = None) -> Statement:
    """Read a statement: white space, comments, the case of names and keywords, and needless quoting are left out.

    Names without quotes are folded as the dialect does; one in quotes stays as it is, also where the dialect would not
    care, because SQLite reads ``"France"`` as a text. Kept for the texts seen last: parsing takes milliseconds.

    Raises:
        InvalidInput: an unknown dialect.
    """
    import sqlglot  # noqa: PLC0415 - takes a fifth of a second, and not every program has a cache of results
    from sqlglot import exp  # noqa: PLC0415
    from sqlglot.dialects.dialect import Dialect  # noqa: PLC0415

    try:
        spoken = Dialect.get_or_raise(dialect)
    except ValueError as error:
        message = "sqlglot has no such dialect."
        raise InvalidInput(message, field="dialect", hint='such as "snowflake", "postgres", "sqlite"') from error
    if len(sql) > LONGEST_SQL:
        return Statement(reason="unparsed")
    try:
        tokens = spoken.tokenize(sql)
        if tokens and tokens[0].token_type.name not in _BEGINS:
            return Statement(reason="not_a_read")  # and is not tried: sqlglot would log its text
        found = [tree for tree in spoken.parser(error_level=sqlglot.ErrorLevel.RAISE).parse(tokens, sql) if tree]
        if len(found) != 1:
            return Statement(reason="not_a_read" if found else "unparsed")
        tree = found[0]
        if not isinstance(tree, exp.Query | exp.Values) or tree.find(*_changes()):
            return Statement(reason="not_a_read")
        tables = sorted({table.name.lower() for table in tree.find_all(exp.Table) if table.name})
        for name in tree.find_all(exp.Identifier):
            if not name.quoted:
                spoken.normalize_identifier(name)
        form = tree.sql(
            dialect=spoken,
            comments=False,
            identify=True,
            normalize_functions="upper",
            unsupported_level=sqlglot.ErrorLevel.RAISE,  # what the dialect cannot write must not be left out
        )
    except (sqlglot.errors.SqlglotError, RecursionError, ValueError):
        return Statement(reason="unparsed")
    return Statement(form, tuple(tables))


@functools.cache
def _changes() -> tuple[Any, ...]:
    """Return what a query may not have inside: it writes, locks, or makes a table."""
    from sqlglot import exp  # noqa: PLC0415 - as above

    return exp.DML, exp.Create, exp.Drop, exp.Alter, exp.Merge, exp.Command, exp.Into, exp.Lock
