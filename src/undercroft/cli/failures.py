"""How a command fails: one line that names the fix, and a code that a script can read.

2 is the user's mistake, 3 the database's, 130 an interruption. Anything else is a mistake of ours, which leaves a
traceback and 1.
"""

from undercroft.errors import (
    CannotOpen,
    CommitUnknown,
    DatabaseError,
    LoginRefused,
    SchemaOutdated,
    TenantDeleted,
    TenantUnknown,
    UndercroftError,
)

USER, DATABASE, INTERRUPTED, PIPE_CLOSED = 2, 3, 130, 141

# The library's own advice is a line of Python.
_HINTS: dict[type[UndercroftError], str] = {
    TenantUnknown: "see `undercroft tenants list`, or make it with `undercroft tenants ensure`",
    TenantDeleted: "bring it back with `undercroft tenants restore`",
    SchemaOutdated: "back up, then run `undercroft db upgrade`",
}


def exit_code(error: UndercroftError) -> int:
    """Return the code for an error; a wrong address or login is the user's mistake."""
    if isinstance(error, CannotOpen | LoginRefused):
        return USER
    return DATABASE if isinstance(error, DatabaseError | CommitUnknown) else USER


def advised(error: UndercroftError) -> UndercroftError:
    """Return the error with advice for the command line in place of the class's own."""
    hint = _HINTS.get(type(error))
    if hint is not None and error.hint == type(error).hint:
        error.hint = hint
    return error


def answer(error: UndercroftError) -> dict[str, object]:
    """Return the error as JSON says it."""
    said = {"code": error.code, "message": error.message, "hint": error.hint, "retryable": error.retryable}
    return {"error": said}
