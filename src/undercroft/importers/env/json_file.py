"""JSON files, with the line of each name: the standard library's decoder, its objects read by us."""

import json
from json.decoder import JSONDecodeError, scanstring  # type: ignore[attr-defined]  # public, and not in the stubs
from json.scanner import py_make_scanner  # type: ignore[attr-defined]  # as above
from typing import Any

from undercroft.importers.env.tree import Block, Fault

_SPACE = " \t\n\r"


def parse(text: str) -> Block:
    """Return what the file holds.

    Raises:
        Fault: it is no JSON, no object, nested too deeply, or a name is there twice in one object.
    """
    try:
        found = _Decoder().decode(text)
    except JSONDecodeError as error:
        raise Fault(f"it is no JSON: {error.msg}", error.lineno) from None
    except RecursionError:
        raise Fault("it is nested too deeply") from None
    except ValueError:  # a number of thousands of digits; its text stays out of the message
        raise Fault("a number in it is too long", hint="keep it as text, in quotes") from None
    if not isinstance(found, Block):
        raise Fault("it is no object: names with values, in braces", 1)
    return found


class _Decoder(json.JSONDecoder):
    def __init__(self) -> None:
        super().__init__(strict=True)
        self.parse_object = _object
        self.scan_once = py_make_scanner(self)


def _object(state: tuple[str, int], _strict: bool, scan: Any, *_: Any) -> tuple[Block, int]:  # noqa: FBT001 - the decoder's
    text, at = state
    found = Block()
    at = _past(text, at)
    if text[at : at + 1] == "}":
        return found, at + 1
    while True:
        if text[at : at + 1] != '"':
            raise JSONDecodeError("a name in double quotes is missing", text, at)
        line = text.count("\n", 0, at) + 1
        name, at = scanstring(text, at + 1, True)  # noqa: FBT003 - a C function without names
        at = _past(text, at)
        if text[at : at + 1] != ":":
            raise JSONDecodeError("a colon is missing", text, at)
        try:
            value, at = scan(text, _past(text, at + 1))
        except StopIteration as end:
            raise JSONDecodeError("a value is missing", text, end.value) from None
        found.add(name, line, value)
        at = _past(text, at)
        closing = text[at : at + 1]
        if closing == "}":
            return found, at + 1
        if closing != ",":
            raise JSONDecodeError("a comma is missing", text, at)
        at = _past(text, at + 1)


def _past(text: str, at: int) -> int:
    while text[at : at + 1] in _SPACE and at < len(text):
        at += 1
    return at
