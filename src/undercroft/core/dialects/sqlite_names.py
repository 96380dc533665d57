"""How a tenant's SQL names tables on SQLite, and how the names of his views take their place.

His views cannot have the tables' own names: a trigger that writes through must name its table without a schema, and
would then name the view. So names are put in where a table is meant. A place that is overlooked names the table itself,
which the authorizer refuses: what is here is convenience, never protection.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from undercroft.core.door.sqltext import Token

_TABLE_FOLLOWS = {"from", "join", "into", "update"}
_LIST_ENDS = {
    *("select", "set", "where", "group", "order", "having", "limit", "window", "values", "default", "returning"),
    *("union", "except", "intersect"),
}
_BEFORE_TABLE = {"or", "rollback", "abort", "replace", "fail", "ignore"}
"""What may stand between UPDATE and its table."""


@dataclass(slots=True)
class _Level:
    """Inside one pair of parentheses: whether a table comes next, and whether a comma announces another one."""

    table_next: bool = False
    listing: bool = False


def with_views(tokens: Sequence[Token], views: Mapping[str, str], schemas: Collection[str]) -> str:
    """Write a text with the views of a tenant in the place of the tables that it names.

    ``main.messages`` and ``undercroft.messages`` name the table wherever they stand; ``messages`` does where a table is
    expected and before a point, unless the text gives that name to something of its own.
    """
    texts = [token.text for token in tokens]
    places = [place for place, token in enumerate(tokens) if token.kind not in {"space", "comment"}]
    words = [tokens[place] for place in places]
    expected = list(_tables(words))
    own = {word.name for at, word in enumerate(words) if word.name in views and _is_made(words, at, expected)}
    for at, word in enumerate(words):
        in_schema = _follows_schema(words, at, schemas)
        if word.name in views and (in_schema or (word.name not in own and _means_table(words, at, expected[at]))):
            texts[places[at]] = views[word.name]
        elif not in_schema or words[at - 2].name == "main":
            continue
        if in_schema:
            texts[places[at - 2] : places[at]] = [""] * (places[at] - places[at - 2])
    return "".join(texts)


def _follows_schema(words: Sequence[Token], at: int, schemas: Collection[str]) -> bool:
    """Whether a schema's name and a point stand in front of a word, and nothing in front of those."""
    schema = words[at - 2] if at >= 2 and words[at - 1].text == "." else None  # noqa: PLR2004 - schema, point
    return schema is not None and schema.name in schemas and not (at > 2 and words[at - 3].text == ".")  # noqa: PLR2004


def _means_table(words: Sequence[Token], at: int, expected: bool) -> bool:  # noqa: FBT001 - of the same word
    if at and words[at - 1].text == ".":
        return False
    return expected or (at + 1 < len(words) and words[at + 1].text == ".")


def _is_made(words: Sequence[Token], at: int, expected: Sequence[bool]) -> bool:
    """Whether the text gives a name to something of its own: a common table expression, or an alias."""
    before = words[at - 1] if at else None
    after = [word.text.lower() for word in words[at + 1 : at + 3]]
    if after[:1] == ["as"] and after[1:] and after[1] in {"(", "materialized", "not"}:
        return True
    if before is None or before.text == ".":
        return False
    if (before.bare and before.name in {"with", "recursive"}) or (before.text == "," and after[:1] == ["("]):
        return True
    is_alias = before.text == ")" or (before.kind == "name" and (before.name == "as" or expected[at - 1]))
    return is_alias and not expected[at] and after[:1] != ["."]


def _tables(words: Sequence[Token]) -> Iterator[bool]:
    """Tell of every word whether a table's name is expected there."""
    levels = [_Level()]
    for at, word in enumerate(words):
        level = levels[-1]
        expected = level.table_next
        if word.text == "(":
            levels.append(_Level(expected, expected))
            level.table_next = False
        elif word.text == ")":
            if len(levels) > 1:
                levels.pop()
        elif word.text == ",":
            level.table_next = level.listing
        elif word.text == ";":
            levels = [_Level()]
        elif word.bare and word.name in _TABLE_FOLLOWS:
            level.table_next = True
            level.listing = word.name in {"from", "join"}
        elif word.bare and word.name in _LIST_ENDS:
            level.table_next = level.listing = False
        elif expected and not (word.bare and word.name in _BEFORE_TABLE):
            level.table_next = word.text == "." or (at + 1 < len(words) and words[at + 1].text == ".")
        yield expected
