"""How text becomes tokens. A change of any rule here is a new SEARCH_VERSION and a rebuilt index.

1. Soft hyphens and variation selectors go: they are invisible, and would cut a word or glue it to an emoji.
2. NFKC, casefold, NFKC: width, ligatures and case do not matter, accents do. A character keeps its first 30 marks
   (the limit of Unicode's stream-safe text), because normalising takes the square of their number.
3. A token is a run of letters, digits and marks (Unicode L, N, M); everything else separates.
4. A run of CJK is a word of its own, cut into overlapping pairs with its last character alone behind them: a longer
   word is found as a phrase of pairs, a single character by prefix.
5. A token keeps its first 64 characters; a text its first 8,000 tokens, 255 of each, 240,000 characters in all.
   A tsvector holds 256 positions a lexeme, 16,383 positions and 1 MB, and FTS5 must hold the same.

What a letter is, Python's Unicode tables say: a character newer than they are separates, until the index is rebuilt.
"""

import re
from collections import Counter
from functools import cache
from typing import Final
from unicodedata import category, normalize

SEARCH_VERSION: Final = 1

MAX_TOKEN: Final = 64
MAX_TOKENS: Final = 8_000
MAX_SAME: Final = 255
MAX_CHARACTERS: Final = 240_000

CJK: Final = (
    "\u3005\u3007\u303b"  # ideographic iteration mark, zero, vertical iteration mark
    "\u3041-\u3096\u3099\u309a\u309d-\u309f"  # hiragana, combining sound marks, iteration marks
    "\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff"  # katakana, prolonged sound mark, iteration marks, small letters
    "\U0001aff0-\U0001afff\U0001b000-\U0001b16f"  # kana extensions and supplement
    "\u1100-\u11ff\ua960-\ua97f\uac00-\ud7ff"  # hangul jamo and syllables
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"  # ideographs, extension A, compatibility
    "\U00020000-\U0003fffd"  # the planes of ideographs, extensions to come included
)
"""The inside of a character class: Han, hiragana, katakana and hangul, without their punctuation."""

CJK_RUN: Final = re.compile(f"([{CJK}]+)")

ASCII_WORD: Final = re.compile(f"([a-z0-9]{{1,{MAX_TOKEN}}})[a-z0-9]*")
_INVISIBLE = re.compile("[\u00ad\u180b-\u180d\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef]+")
_DENSE = re.compile("[\\W\uff9e\uff9f]{31}")  # where too many marks may be: cheap, while a class of all marks is slow


def tokens(text: str) -> list[str]:
    """Return the tokens of a text in order, capped; a token's index is its position on both engines."""
    found = cut(text)
    return _capped(found) if len(found) > MAX_SAME else found


def fts5_text(tokens: list[str]) -> str:
    """Return what to index in an FTS5 column under `tokenize='ascii'`."""
    return " ".join(tokens)


def tsvector_text(tokens: list[str]) -> str:
    """Return a literal that casts to `tsvector`, positions from 1; a token holds nothing that would need escaping."""
    return " ".join([f"'{token}':{position}" for position, token in enumerate(tokens, 1)])


def cut(text: str) -> list[str]:
    """Return every token of a text, before the caps on their number."""
    if text.isascii():
        return ASCII_WORD.findall(text.lower())
    found: list[str] = []
    for index, piece in enumerate(CJK_RUN.split(normalised(text))):
        if index % 2:
            found += [piece[at : at + 2] for at in range(len(piece))]
        else:
            found += (ASCII_WORD if piece.isascii() else word()).findall(piece)
    return found


def normalised(text: str) -> str:
    """Return the text by rules 1 and 2, with spaces for underscores, the only word character of `re` that separates."""
    text = _INVISIBLE.sub("", text)
    if _DENSE.search(text):
        text = _excess().sub(r"\1", text)
    return normalize("NFKC", normalize("NFKC", text).casefold()).replace("_", " ")


@cache
def marks() -> str:
    """Return the inside of a character class of every mark (Unicode M), which `re` has no class for; takes 15 ms."""
    ranges: list[list[int]] = []
    for code in (*range(0x300, 0x1F000), *range(0xE0100, 0xE01F0)):
        if category(chr(code))[0] == "M":
            if ranges and ranges[-1][1] == code - 1:
                ranges[-1][1] = code
            else:
                ranges.append([code, code])
    return "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in ranges)


@cache
def word() -> re.Pattern[str]:
    """Return the pattern of a token outside of CJK; its first group is what is kept of it."""
    return re.compile(rf"([\w{marks()}]{{1,{MAX_TOKEN}}})[\w{marks()}]*")


@cache
def _excess() -> re.Pattern[str]:
    mark = f"[{marks()}\uff9e\uff9f]"  # with the halfwidth sound marks, which NFKC turns into marks
    return re.compile(f"({mark}{{30}}){mark}+")


def _capped(found: list[str]) -> list[str]:
    kept: list[str] = []
    seen: Counter[str] = Counter()
    room = MAX_CHARACTERS
    for token in found:
        if len(kept) == MAX_TOKENS or len(token) > room:
            break
        if seen[token] < MAX_SAME:
            seen[token] += 1
            room -= len(token)
            kept.append(token)
    return kept
