"""Tokens with the places in the verbatim text that say them."""

import re
from collections.abc import Iterator
from functools import cache, lru_cache
from typing import NamedTuple

from undercroft.core.searchtext.tokeniser import ASCII_WORD, CJK_RUN, marks, normalised, word


class Located(NamedTuple):
    """A token, said by `text[start:end]`."""

    token: str
    start: int
    end: int


def located(text: str) -> Iterator[Located]:
    """Yield the tokens of a text with their places, before the caps on their number."""
    for chunk in re.finditer(r"\S+", text):
        shift = chunk.start()
        if chunk[0].isascii():
            for found in ASCII_WORD.finditer(chunk[0].lower()):
                yield Located(found[1], shift + found.start(), shift + found.end())
        else:
            for token, start, end in _located(chunk[0]):
                yield Located(token, shift + start, shift + end)


def _located(chunk: str) -> Iterator[Located]:
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
                yield Located(piece[at - shift : at - shift + 2], starts[at], ends[last])
        else:
            for found in word().finditer(piece):
                yield Located(found[1], starts[shift + found.start()], ends[shift + found.end() - 1])
        shift += len(piece)


_character = lru_cache(maxsize=8192)(normalised)


@cache
def _segment() -> re.Pattern[str]:
    """Return the pattern of what normalises by itself: a character with everything that could compose with it."""
    jamo = "\u1160-\u11ff\u3131-\u318e\uffa0-\uffdc"  # the later parts of a syllable, in all three widths
    return re.compile(f"(?s:.)[{marks()}{jamo}\uff9e\uff9f\u00ad]*")
