"""The states of a meeting, decided without a database.

| from        | to                                         |
| ----------- | ------------------------------------------ |
| received    | transcribed, summarised, failed, cancelled |
| transcribed | summarised, failed, cancelled              |
| summarised  | pushed, failed, cancelled                  |
| failed      | cancelled; `retry`: where it failed        |
| pushed      |                                            |
| cancelled   |                                            |

There is no "transcribing": a meeting that is received and held by a worker is being transcribed, and when the worker
dies it is simply received. Who gets a summary with the recording leaves ``transcribed`` out.
"""

from collections.abc import Mapping
from typing import get_args

from undercroft.core.canonical import clean_text
from undercroft.errors import IllegalTransition, InvalidInput
from undercroft.meetings.records import State

STATES: tuple[State, ...] = get_args(State)
NEXT: Mapping[State, tuple[State, ...]] = {
    "received": ("transcribed", "summarised", "failed", "cancelled"),
    "transcribed": ("summarised", "failed", "cancelled"),
    "summarised": ("pushed", "failed", "cancelled"),
    "failed": ("cancelled",),
    "pushed": (),
    "cancelled": (),
}
WORKING: tuple[State, ...] = ("received", "transcribed", "summarised")
"""The states in which something is still to be done, which workers claim."""
LONGEST_LEASE = 86_400.0
LONGEST_ERROR = 2000


def check_state(state: str, field: str, among: tuple[State, ...] = STATES) -> State:
    """Return a state; raises InvalidInput for a word that is none of those."""
    for known in among:
        if state == known:
            return known
    message = f"A state here is one of {', '.join(among)}."
    raise InvalidInput(message, field=field)


def sources(to: State, expected: State | None = None) -> list[State]:
    """Return the states from which a meeting may go into another, of which ``expected`` may be the only one.

    Raises:
        IllegalTransition: none leads from what is expected.
    """
    if expected is not None and to not in NEXT[expected]:
        raise illegal(expected, to)
    return [state for state in STATES if to in NEXT[state] and expected in {None, state}]


def illegal(old: State, new: State) -> IllegalTransition:
    """Return the error that names both states, and those that would do."""
    hint = f"from {old} it goes to {' or '.join(NEXT[old])}" if NEXT[old] else f"{old} is final"
    if old == "failed":
        hint += ", or back with meetings.retry(...)"
    return IllegalTransition(f"A meeting that is {old} does not become {new}", old=old, new=new, hint=hint)


def unexpected(old: State, new: State, expected: State) -> IllegalTransition:
    """Return the error where somebody else was faster, or the caller's memory is old."""
    message = f"The meeting is {old} and not {expected}, so it does not become {new}"
    return IllegalTransition(message, old=old, new=new, hint="read it again with meetings.get(...)")


def check_lease(seconds: float) -> float:
    """Return for how long a worker holds a meeting; raises InvalidInput outside of 0 to a day."""
    if not 0 < seconds <= LONGEST_LEASE:
        message = "A worker holds a meeting for more than 0 seconds and at most a day."
        raise InvalidInput(message, field="for_seconds")
    return float(seconds)


def storable(error: str | BaseException) -> str:
    """Return an error's text, cut, without what no text may hold."""
    text = error if isinstance(error, str) else f"{type(error).__name__}: {error}"
    return clean_text(text[:LONGEST_ERROR])[0]
