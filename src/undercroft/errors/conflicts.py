"""Where somebody else was faster, or is at it already."""

from undercroft.errors.root import UndercroftError


class VersionConflict(UndercroftError):
    """It is at another version than was expected."""

    code = "version.conflict"
    shown = ("key", "expected", "current")
    hint = "read it again, and decide anew what to change"

    def __init__(
        self,
        message: str | None = None,
        *,
        expected: int | None = None,
        current: int | None = None,
        hint: str | None = None,
        **context: object,
    ) -> None:
        """``current`` is the version that it is at, 0 where it is not there."""
        super().__init__(message, hint=hint, expected=expected, current=current, **context)
        self.expected = expected
        self.current = current


class IdempotencyConflict(UndercroftError):
    """The idempotency key was used before, with other arguments."""

    code = "idempotency.conflict"
    hint = "use a new key for a new request"


class IdempotencyInFlight(UndercroftError):
    """A call with this idempotency key is still running."""

    code = "idempotency.in-flight"
    hint = "wait for it, then ask again with the same key"
