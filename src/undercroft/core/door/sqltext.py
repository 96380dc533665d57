"""What can be told of a caller's SQL without running it: its parameters, its statements, whether it only reads.

It is cut into tokens as the engine's own tokeniser does, so that nothing inside a string, a comment or a quoted name is
taken for anything else. Nothing here protects anybody: what a statement may do is decided by the database.
"""

import functools
import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Kind = Literal["space", "comment", "string", "name", "parameter", "other"]

_BOTH = r"""
  (?P<space>\s+)
| (?P<comment>--[^\n]*)
"""
_LAST = r"""
| (?P<word>[^\W\d][\w$]*)
| (?P<parameter>\$\d+)
| (?P<other>\d[\w.]*|.)
"""
_POSTGRESQL = re.compile(
    _BOTH
    + r"""
| (?P<string>[eE]'(?:[^'\\]|\\.|'')*' | '(?:[^']|'')*' | (?P<tag>\$(?:[^\W\d]\w*)?\$).*?(?P=tag))
| (?P<quoted>"(?:[^"]|"")*")
| (?P<nested>/\*)
"""
    + _LAST,
    re.VERBOSE | re.DOTALL,
)
_SQLITE = re.compile(
    _BOTH
    + r"""
| (?P<closed>/\*.*?(?:\*/|$))
| (?P<string>'(?:[^']|'')*')
| (?P<quoted>"(?:[^"]|"")*" | `(?:[^`]|``)*` | \[[^\]]*\])
"""
    + _LAST,
    re.VERBOSE | re.DOTALL,
)
_COMMENT = re.compile(r"/\*|\*/")

_READ = {"select", "values", "table", "explain", "show"}
_CHANGE = {"insert", "update", "delete", "replace", "merge"}
_TRANSACTION = {"begin", "start", "commit", "rollback", "abort", "savepoint", "release"}


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of SQL; ``name`` is what it names, in lower case, and ``bare`` that it has no quotes."""

    kind: Kind
    text: str
    name: str = ""
    bare: bool = False


@dataclass(frozen=True, slots=True)
class SqlText:
    """A caller's SQL: ``parameters`` is the highest of ``$1, $2 …``, ``statements`` how many there are of them."""

    tokens: tuple[Token, ...]
    parameters: int
    statements: tuple[str, ...]
    reads: bool
    transaction: str | None

    def numbered(self) -> str:
        """Return the text as SQLite takes it, with ?1 for $1."""
        return "".join(f"?{token.text[1:]}" if token.kind == "parameter" else token.text for token in self.tokens)


@functools.lru_cache(maxsize=2048)
def read(sql: str, *, sqlite: bool) -> SqlText:
    """Read SQL as one of the engines does."""
    tokens = tuple(_tokens(sql, _SQLITE if sqlite else _POSTGRESQL))
    statements: list[list[Token]] = [[]]
    for token in tokens:
        statements[-1].append(token)
        if token.text == ";":
            statements.append([])
    told = [(part, words) for part in (_whole(statements) if sqlite else statements) if (words := _meaningful(part))]
    first = [words[0].name for _, words in told]
    return SqlText(
        tokens,
        parameters=max((int(token.text[1:]) for token in tokens if token.kind == "parameter"), default=0),
        statements=tuple("".join(token.text for token in part).strip() for part, _ in told),
        reads=len(told) == 1 and _reads(told[0][1]),
        transaction=next((name for name in first if name in _TRANSACTION), None),
    )


def _whole(parts: list[list[Token]]) -> Iterator[list[Token]]:
    """Put together what SQLite itself takes for one statement: a trigger's body holds semicolons."""
    pending: list[Token] = []
    for part in parts:
        pending += part
        text = "".join(token.text for token in pending)
        if "\0" in text or sqlite3.complete_statement(text):  # what NUL stands in no driver takes, and says so
            yield pending
            pending = []
    yield pending


def _meaningful(tokens: list[Token]) -> list[Token]:
    return [token for token in tokens if token.kind not in {"space", "comment"} and token.text != ";"]


def _reads(words: list[Token]) -> bool:
    bare = {token.name for token in words if token.bare}
    return words[0].name in _READ or (words[0].name == "with" and not bare & _CHANGE)


def _tokens(sql: str, pattern: re.Pattern[str]) -> Iterator[Token]:
    at = 0
    while found := pattern.match(sql, at):
        group, text = found.lastgroup, found[0]
        at = found.end()
        match group:
            case "word":
                yield Token("name", text, text.lower(), bare=True)
            case "quoted":
                yield Token("name", text, text[1:-1].replace(text[0] * 2, text[0]).lower())
            case "nested":
                at = _after_comment(sql, found.start())
                yield Token("comment", sql[found.start() : at])
            case "closed":
                yield Token("comment", text)
            case "string" | "tag":
                yield Token("string", text)
            case "space" | "comment" | "parameter":
                yield Token(group, text)
            case _:
                yield Token("other", text)


def _after_comment(sql: str, start: int) -> int:
    """Find the end of a comment that may hold others, as PostgreSQL's may."""
    depth = 0
    for mark in _COMMENT.finditer(sql, start):
        depth += 1 if mark[0] == "/*" else -1
        if depth == 0:
            return mark.end()
    return len(sql)
