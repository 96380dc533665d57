"""What fits into a model's context, and what a message must be like."""

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any, TypeVar, get_args

import orjson

from undercroft.errors import InvalidInput
from undercroft.threads.records import NewMessage, Role

M = TypeVar("M", bound=NewMessage)
Counter = Callable[[NewMessage], int]

ROLES = frozenset(get_args(Role))
LONGEST_KEY = 512
EVERY_MESSAGE = 4
BYTES_A_TOKEN = 3


def estimate_tokens(message: NewMessage) -> int:
    """Estimate a message's tokens without a tokeniser: 4, and one for every 3 bytes of its UTF-8 or JSON.

    That is more than the usual models take for English prose (about 4 bytes a token) and about what they take for
    other scripts and for code. Pass a ``counter`` of your own to be exact.
    """
    told = [message.content, *(part for part in (message.tool_calls,) if part is not None)]
    size = sum(len(one.encode()) if isinstance(one, str) else len(orjson.dumps(_plain(one))) for one in told if one)
    return EVERY_MESSAGE + -(-size // BYTES_A_TOKEN)


def fitting(newest_first: Iterable[M], budget: int, counter: Counter) -> tuple[list[M], int, bool]:
    """Choose the newest messages that fit a budget together; tell what they take, and whether one did not fit.

    A message takes at least one token.
    """
    chosen: list[M] = []
    used = 0
    for message in newest_first:
        needed = max(1, counter(message))
        if used + needed > budget:
            return chosen, used, True
        chosen.append(message)
        used += needed
    return chosen, used, False


def beginning(chosen: list[M]) -> list[M]:
    """Turn messages around, the oldest first, and leave out answers to tool calls that are not among them.

    Providers refuse an answer without its call.
    """
    while chosen and chosen[-1].role == "tool":
        chosen.pop()
    return chosen[::-1]


def check_key(key: Any, field: str = "key") -> str:
    """Return a thread's key; raises InvalidInput for an empty one or one of more than 512 characters."""
    if not isinstance(key, str) or not 1 <= len(key) <= LONGEST_KEY:
        message = f"A thread's key is text of 1 to {LONGEST_KEY} characters."
        raise InvalidInput(message, field=field, hint='such as "C123:1700000000.000100"')
    return str(key)


def row(said: NewMessage) -> dict[str, Any]:
    """Return the columns of a message.

    Raises:
        InvalidInput: an unknown role, no content and no tool call, or content that is neither text nor parts.
    """
    if said.role not in ROLES:
        message = f"A role is one of {', '.join(sorted(ROLES))}."
        raise InvalidInput(message, field="role")
    text = said.content if isinstance(said.content, str) else None
    calls = None if said.tool_calls is None else _parts(said.tool_calls, "tool_calls")
    if said.content is None and not calls:
        message = "A message has content or tool calls."
        raise InvalidInput(message, field="content")
    return {
        "role": said.role,
        "user_native_id": said.user,
        "content": text,
        "parts": None if said.content is None or text is not None else _parts(said.content, "content"),
        "tool_calls": calls,
        "tool_call_id": said.tool_call_id,
        "data": None if said.metadata is None else dict(said.metadata),
    }


def seconds(expires_after: timedelta | None) -> int | None:
    """Return a period of idleness in whole seconds; raises InvalidInput for a negative one."""
    if expires_after is None:
        return None
    if expires_after < timedelta():
        message = "The period must not be negative."
        raise InvalidInput(message, field="expires_after", hint="timedelta(0) is for ever")
    return -(-expires_after // timedelta(seconds=1))


def _parts(value: Any, field: str) -> list[Any]:
    if isinstance(value, str | bytes | Mapping) or not all(isinstance(part, Mapping) for part in value):
        message = "Parts are a list of objects."
        raise InvalidInput(message, field=field)
    return [dict(part) for part in value]


def _plain(value: Any) -> Any:
    return [dict(part) for part in value]
