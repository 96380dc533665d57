"""Errors as text: docs/reference/errors.md."""

from undercroft import errors
from undercroft.errors.root import UndercroftError, default_message

_HEAD = """# Errors

Written by `python -m undercroft.errors`; a test keeps it true.

Every error is an `undercroft.errors.UndercroftError`. `error.code` never changes and is safe to match on,
`str(error)` is one line that ends with the fix, and a driver's own error is `error.__cause__`. *Again* is
`error.retryable`: running the whole transaction once more is safe and may succeed, provided its COMMIT was never
sent. Undercroft itself repeats in that case only.

| code | class | is a | what happened | what to do | again |
|---|---|---|---|---|---|
"""


def every_error() -> list[type[UndercroftError]]:
    """Return all classes, each after the one it derives from and otherwise by code."""
    known = [getattr(errors, name) for name in errors.__all__]
    return sorted((one for one in known if isinstance(one, type)), key=lambda one: [base.code for base in _line(one)])


def markdown() -> str:
    """Return the text of docs/reference/errors.md."""
    return _HEAD + "".join(
        f"| `{error.code}` | `{error.__name__}` | `{error.__mro__[1].__name__}` | {default_message(error)} "
        f"| {error.hint} | {'yes' if error.retryable else ''} |\n"
        for error in every_error()
    )


def _line(error: type[UndercroftError]) -> list[type[UndercroftError]]:
    return [base for base in reversed(error.__mro__) if issubclass(base, UndercroftError)]
