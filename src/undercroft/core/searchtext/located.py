"""Tokens with the places in the verbatim text that say them."""

import re
from collections.abc import Callable, Iterator
from functools import cache, lru_cache
from itertools import islice
from typing import TypeAlias

from undercroft.core.searchtext.tokeniser import ASCII_WORD, CJK_RUN, MAX_TOKENS, marks, normalised, word

Place: TypeAlias = tuple[int, int]
"""Start and end of what says a token: `text[start:end]`."""


def located(text: str) -> tuple[list[str], Callable[[int], Place]]:
    """Return the tokens of a text, capped in their number, and what tells the place of one by its index."""
    if text.isascii():  # a place is asked for by few: most texts are found by a word or two
        words = list(islice(ASCII_WORD.finditer(text.lower()), MAX_TOKENS))
        return [one[1] for one in words], lambda at: words[at].span()
    found = list(islice(_chunks(text), MAX_TOKENS))
    return [token for token, _ in found], lambda at: found[at][1]


def _chunks(text: str) -> Iterator[tuple[str, Place]]:
    for chunk in re.finditer(r"\S+", text):
        shift = chunk.start()
        if chunk[0].isascii():
            for found in ASCII_WORD.finditer(chunk[0].lower()):
                yield found[1], (shift + found.start(), shift + found.end())
        else:
            for token, (start, end) in _located(chunk[0]):
                yield token, (shift + start, shift + end)


def _located(chunk: str) -> Iterator[tuple[str, Place]]:
    normal: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    for segment in _segment().finditer(chunk):
        part = _character(segment[0]) if len(segment[0]) == 1 else normalised(segment[0])
        normal.append(part)
        starts += [segment.start()] * len(part)
        ends += [segment.end()] * len(part)
    shift = 0
    for index, piece in enumerate(CJK_RUN.split("".join(normal))):
        if index % 2:
            for at in range(shift, shift + len(piece)):
                last = min(at + 1, shift + len(piece) - 1)
                yield piece[at - shift : at - shift + 2], (starts[at], ends[last])
        else:
            for found in word().finditer(piece):
                yield found[1], (starts[shift + found.start()], ends[shift + found.end() - 1])
        shift += len(piece)


_character = lru_cache(maxsize=8192)(normalised)


@cache
def _segment() -> re.Pattern[str]:
    """Return the pattern of what normalises by itself: a character with everything that could compose with it."""
    jamo = "\u1160-\u11ff\u3131-\u318e\uffa0-\uffdc"  # the later parts of a syllable, in all three widths
    return re.compile(f"(?s:.)[{marks()}{jamo}\uff9e\uff9f\u00ad]*")
