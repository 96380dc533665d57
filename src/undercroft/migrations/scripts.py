"""The files of SQL in `sql/`, statement by statement."""

import re
from collections.abc import Iterator
from importlib.resources import files

import sqlalchemy as sa

_FILES = files("undercroft.migrations") / "sql"
_END = re.compile(r";\n\n+")


def statements(script: str, *, table: str = "") -> Iterator[sa.TextClause]:
    """Yield a file's statements, each ended by a semicolon and a blank line, with a table's name for {table}."""
    text = (_FILES / f"{script}.sql").read_text(encoding="utf-8").replace("{table}", table)
    for statement in _END.split(text.strip()):
        yield sa.text(statement.removesuffix(";").replace(":", "\\:"))  # a bare colon would begin a parameter
