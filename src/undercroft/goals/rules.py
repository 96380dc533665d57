"""What a goal must be like."""

from collections.abc import Mapping
from typing import Any, get_args

from undercroft.errors import InvalidInput
from undercroft.goals.records import Status

STATUSES = get_args(Status)
LONGEST_KEY = 200
NEW: Mapping[str, Any] = {
    "description": "",
    "area": "general",
    "status": "not_started",
    "priority": 3,
    "progress": 0,
    "owner": None,
    "weekly_actions": [],
    "success_metrics": {},
}
"""What a new goal has where nothing is said."""
_RANGES = {"priority": (1, 5), "progress": (0, 100)}


def check_key(key: Any) -> str:
    """Return a goal's key; raises InvalidInput for an empty one or one of more than 200 characters."""
    if not isinstance(key, str) or not 1 <= len(key) <= LONGEST_KEY:
        message = f"A goal's key is text of 1 to {LONGEST_KEY} characters."
        raise InvalidInput(message, field="key", hint="such as sales_q1_2025")
    return str(key)


def checked(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is given of a goal and not None, as it is stored.

    Raises:
        InvalidInput: a value is out of its range or of the wrong form; ``field`` names it.
    """
    told = {name: value for name, value in given.items() if value is not None}
    for name in ("title", "area"):
        if name in told and not (isinstance(told[name], str) and told[name].strip()):
            message = f"A goal's {name} is not empty."
            raise InvalidInput(message, field=name)
    if told.get("status", STATUSES[0]) not in STATUSES:
        message = f"A status is one of {', '.join(STATUSES)}."
        raise InvalidInput(message, field="status")
    for name, (low, high) in _RANGES.items():
        if name in told and not (type(told[name]) is int and low <= told[name] <= high):
            message = f"A goal's {name} is a whole number from {low} to {high}."
            raise InvalidInput(message, field=name)
    if "weekly_actions" in told:
        told["weekly_actions"] = _actions(told["weekly_actions"])
    if "success_metrics" in told:
        if not isinstance(told["success_metrics"], Mapping):
            message = "Success metrics are names with what is to be reached."
            raise InvalidInput(message, field="success_metrics", hint='such as {"revenue": "$50000"}')
        told["success_metrics"] = dict(told["success_metrics"])
    return told


def settled(told: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is told with what follows from it: what is completed is so to 100 %."""
    return {**told, "progress": 100} if told.get("status") == "completed" and "progress" not in told else {**told}


def _actions(value: Any) -> list[str]:
    if isinstance(value, str | bytes | Mapping) or not all(isinstance(one, str) and one.strip() for one in value):
        message = "Weekly actions are a list of texts."
        raise InvalidInput(message, field="weekly_actions", hint='such as ["Follow up with leads"]')
    return list(value)
