"""The part of a text that shows why it was found, computed from the verbatim text and so alike on both engines."""

import re
from bisect import bisect_left
from collections.abc import Iterator
from typing import NamedTuple
from unicodedata import category

from undercroft.core.searchtext.located import located
from undercroft.core.searchtext.query import Query, Term
from undercroft.core.searchtext.tokeniser import CJK, CJK_RUN

_LOOSE = re.compile(rf"[\s{CJK}]")  # beside such a character a line may be broken


class Match(NamedTuple):
    """A token of the text that belongs to an occurrence of a term, and the term's number."""

    start: int
    end: int
    term: int


def snippet(text: str, query: Query, *, width: int = 160, mark: tuple[str, str] = ("[", "]")) -> str:
    """Return up to `width` characters of a text around the most matches, each between the two strings of `mark`.

    Most means most different terms, then most matches, then earliest. Words stay whole unless longer than `width`,
    white space becomes single spaces, marks and ellipses are not counted. Nothing is escaped: for HTML, mark with
    characters that escaping leaves alone and replace them afterwards.
    """
    text = text.strip()
    found = matches(text, query)
    start, end = _window(text, found, width)
    pieces = ["…" if start else ""]
    at = start
    for first, last in _stretches(found, start, end):
        pieces += [_folded(text[at:first]), mark[0], text[first:last], mark[1]]
        at = last
    pieces += [_folded(text[at:end]), "…" if end < len(text) else ""]
    return "".join(pieces)


def matches(text: str, query: Query) -> list[Match]:
    """Return where the terms that a query wants stand in a text, in the order of the text."""
    names, place = located(text)
    found: list[Match] = []
    for number, term in enumerate(query.wanted):
        for at in _occurrences(names, term):
            behind = at + len(term.tokens)
            found += [Match(*place(one), number) for one in range(at, behind)]
            if CJK_RUN.match(names[behind - 1]) and names[behind - 1] != term.tokens[-1] and behind < len(names):
                # one character was asked for and stands first in a pair: the next token begins behind it
                start, _ = place(behind - 1)
                found[-1] = Match(start, max(place(behind)[0], start + 1), number)
    return sorted(found)


def _occurrences(names: list[str], term: Term) -> Iterator[int]:
    *body, last = term.tokens
    for at in range(len(names) - len(body)):
        name = names[at + len(body)]
        if (name.startswith(last) if term.prefix else name == last) and names[at : at + len(body)] == body:
            yield at


def _window(text: str, found: list[Match], width: int) -> tuple[int, int]:
    """Return start and end of the part to show, cut between words where that leaves the matches in it."""
    if len(text) <= width:
        return 0, len(text)
    first, last = _busiest(found, width)
    left = next((at for at in range(first, max(0, first - width), -1) if _breaks(text, at)), first)
    right = next((at for at in range(last, min(len(text), last + width)) if _breaks(text, at)), last)
    if right - left <= width:
        first, last = left, right
    start = max(0, min(first - (width - (last - first)) // 2, len(text) - width))
    end = start + width
    start = next((at for at in range(start, first + 1) if _breaks(text, at)), start)
    end = next((at for at in range(end, max(last, start + 1) - 1, -1) if _breaks(text, at)), end)
    while start < end and text[start].isspace():
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    return start, end


def _busiest(found: list[Match], width: int) -> tuple[int, int]:
    """Return the stretch of at most `width` characters that holds the most matches, (0, 0) without any."""
    starts = [match.start for match in found]
    best, stretch = (0, 0), (0, 0)
    for number, match in enumerate(found):
        limit = match.start + width
        near = [other for other in found[number : bisect_left(starts, limit)] if other.end <= limit]
        score = len({other.term for other in near}) or 1, len(near)
        if score > best:
            best, stretch = score, (match.start, max((other.end for other in near), default=limit))
    return stretch


def _breaks(text: str, at: int) -> bool:
    """Return whether the text may be cut before this character: at its ends, at spaces, and beside CJK."""
    if at in (0, len(text)):
        return True
    return bool(_LOOSE.match(text[at - 1]) or _LOOSE.match(text[at])) and category(text[at])[0] != "M"


def _stretches(found: list[Match], start: int, end: int) -> list[tuple[int, int]]:
    """Return the matched parts of a window in order, those that touch as one."""
    merged: list[tuple[int, int]] = []
    for match in found:
        first, last = max(match.start, start), min(match.end, end)
        if first >= last:
            continue
        if merged and first <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(merged[-1][1], last)
        else:
            merged.append((first, last))
    return merged


def _folded(text: str) -> str:
    return re.sub(r"\s+", " ", text)
