"""What a person types into a search box, as one expression for either engine."""

import re
from dataclasses import dataclass
from typing import Final

from undercroft.core.searchtext.tokeniser import CJK_RUN, cut

MAX_QUERY_TOKENS: Final = 128
"""What follows is not searched for: a pasted page should find its origin, not exhaust the engine's parser."""

_PLAIN = str.maketrans(
    "\u201c\u201d\u201e\u201f\uff02\u2212\uff0d\uff0a", '"""""--*'
)  # what phones and Japanese keyboards type
_PARTS = re.compile(r'(?P<minus>-*)"(?P<phrase>[^"]*)"?(?P<star>\*?)|(?P<word>[^\s"]+)')


@dataclass(frozen=True, slots=True)
class Term:
    """Tokens that stand in a row; of the last one `prefix` asks for the beginning only."""

    tokens: tuple[str, ...]
    prefix: bool = False
    excluded: bool = False

    def fts5(self) -> str:
        """Return the term as an FTS5 phrase."""
        return f'"{" ".join(self.tokens)}"' + (" *" if self.prefix else "")

    def tsquery(self) -> str:
        """Return the term as an operand of a `tsquery`."""
        row = " <-> ".join(f"'{token}'" for token in self.tokens) + (":*" if self.prefix else "")
        return f"({row})" if len(self.tokens) > 1 else row


@dataclass(frozen=True, slots=True)
class Query:
    """Terms that must all be in a text, and excluded ones of which none may be."""

    terms: tuple[Term, ...]

    @property
    def wanted(self) -> tuple[Term, ...]:
        """The terms a hit holds."""
        return tuple(term for term in self.terms if not term.excluded)

    @property
    def empty(self) -> bool:
        """Nothing is searched for, only excluded or nothing at all: no index answers that."""
        return not self.wanted

    def fts5(self) -> str:
        """Return the MATCH expression of FTS5; an empty query matches nothing."""
        if self.empty:
            return '""'
        wanted = " AND ".join(term.fts5() for term in self.wanted)
        excluded = " OR ".join(term.fts5() for term in self.terms if term.excluded)
        return f"({wanted}) NOT ({excluded})" if excluded else wanted

    def tsquery(self) -> str:
        """Return a literal that casts to `tsquery`; an empty query matches nothing."""
        if self.empty:
            return ""
        return " & ".join(("!" if term.excluded else "") + term.tsquery() for term in self.terms)


def parse_query(user_text: str) -> Query:
    """Read a query: words are all wanted, "quotes" make a phrase, a leading `-` excludes, a trailing `*` is a prefix.

    A word of several tokens is a phrase, a single CJK character a prefix. Nothing is refused: a quote may stay open,
    and what is no letter or digit only separates. Full-width and typographic signs count as their plain ones.
    """
    room = MAX_QUERY_TOKENS
    terms: dict[Term, None] = {}
    for part in _PARTS.finditer(user_text.translate(_PLAIN)):
        word = part["word"]
        excluded = word.startswith("-") if word else bool(part["minus"])
        starred = word.endswith("*") if word else bool(part["star"])
        term = _term(word or part["phrase"], room, starred=starred, excluded=excluded)
        if term is not None and term not in terms:
            terms[term] = None
            room -= len(term.tokens)
    return Query(tuple(terms))


def _term(text: str, room: int, *, starred: bool, excluded: bool) -> Term | None:
    """Return the term of a word or phrase, or None if there are no tokens in it, or no room for them.

    The single character that closes a run of CJK is a token only where the run ends. Inside a phrase it does; at the
    phrase's end the text may go on, so it is left out behind its pair, and is a prefix where it stands alone.
    """
    found = cut(text)
    if len(found) > room:
        if excluded:  # the beginning of it would exclude more than was asked
            return None
        found, starred = found[:room], False
    elif found and len(found[-1]) == 1 and CJK_RUN.fullmatch(found[-1]):
        if len(found) > 1 and len(found[-2]) == 2 and CJK_RUN.fullmatch(found[-2]):  # noqa: PLR2004 - a pair
            found.pop()
        else:
            starred = True
    return Term(tuple(found), starred, excluded) if found else None
