"""How a command fails: one line that names the fix, and a code that a script can read.

2 is the user's mistake, 3 the database's, 4 an audit trail that is not intact, 130 an interruption. Anything else is a
mistake of ours, which leaves a traceback and 1.
"""

from undercroft.errors import (
    AuditDamaged,
    CannotOpen,
    CommitUnknown,
    DatabaseError,
    LoginRefused,
    SchemaOutdated,
    TenantDeleted,
    TenantUnknown,
    UndercroftError,
    UnderLegalHold,
)

USER, DATABASE, DAMAGED, INTERRUPTED, PIPE_CLOSED = 2, 3, 4, 130, 141

# The library's own advice is a line of Python.
_HINTS: dict[type[UndercroftError], str] = {
    TenantUnknown: "see `undercroft tenants list`, or make it with `undercroft tenants ensure`",
    TenantDeleted: "bring it back with `undercroft tenants restore`",
    UnderLegalHold: "`undercroft upkeep retention release`; a deleted tenant is restored for that",
    SchemaOutdated: "back up, then run `undercroft db upgrade`",
}


def exit_code(error: UndercroftError) -> int:
    """Return the code for an error; a wrong address or login is the user's mistake."""
    if isinstance(error, AuditDamaged):
        return DAMAGED
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
