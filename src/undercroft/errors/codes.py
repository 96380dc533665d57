"""What a driver's code means.

A code this table does not know falls back to its class, and that to `DatabaseError`.
"""

from undercroft.errors.database import (
    CannotOpen,
    CheckViolation,
    ConstraintViolation,
    DatabaseCorrupt,
    DatabaseError,
    DatabaseFull,
    DatabaseUnavailable,
    Deadlock,
    ForeignKeyViolation,
    LockTimeout,
    LoginRefused,
    NotNullViolation,
    PermissionDenied,
    QueryTimeout,
    ReadOnly,
    SerializationFailure,
    StorageFailure,
    SyntaxRefused,
    TenantSealExpired,
    TenantSealRefused,
    UniqueViolation,
)
from undercroft.errors.root import UndercroftError
from undercroft.errors.usage import (
    AccessDenied,
    AuditDamaged,
    CommitUnknown,
    InvalidInput,
    PoolerMismatch,
    TenantDeleted,
    TenantMismatch,
    TenantSealRequired,
    TenantUnknown,
    UnderLegalHold,
)

# PostgreSQL, Appendix A "Error Codes"; two letters stand for the rest of their class. UC is ours (undercroft.enter).
_BY_SQLSTATE: dict[str, type[UndercroftError]] = {
    state: error
    for states, error in (
        ("03 0A 21 3F 42", SyntaxRefused),
        ("08 57 25P03 53300", DatabaseUnavailable),
        ("22 54", InvalidInput),
        ("23 40002", ConstraintViolation),
        ("23001 23503", ForeignKeyViolation),
        ("23502", NotNullViolation),
        ("23505", UniqueViolation),
        ("23514 44", CheckViolation),
        ("25006", ReadOnly),
        ("26 42P05", PoolerMismatch),  # a statement prepared on one server connection and executed on another
        ("28", LoginRefused),
        ("3D 57P04", CannotOpen),
        ("40 72", SerializationFailure),
        ("40P01", Deadlock),
        ("08007 40003", CommitUnknown),
        ("42501", PermissionDenied),
        ("53100", DatabaseFull),
        ("55P03", LockTimeout),
        ("57014 25P04", QueryTimeout),
        ("58", StorageFailure),
        ("XX001 XX002", DatabaseCorrupt),
        ("UC001", TenantUnknown),
        ("UC002", TenantDeleted),
        ("UC003", TenantMismatch),
        ("UC004", AccessDenied),
        ("UC005", TenantSealRequired),
        ("UC006", TenantSealRefused),
        ("UC007", TenantSealExpired),
        ("UC030", UnderLegalHold),
        ("UC020", AuditDamaged),
    )
    for state in states.split()
}

# sqlite.org/rescode.html, without the SQLITE_ prefix; a longer name falls back to its first word.
_BY_SQLITE: dict[str, type[UndercroftError]] = {
    name: error
    for names, error in (
        ("ERROR RANGE", SyntaxRefused),
        ("PERM AUTH", PermissionDenied),
        ("BUSY LOCKED PROTOCOL", LockTimeout),
        ("BUSY_SNAPSHOT SCHEMA", SerializationFailure),
        ("READONLY", ReadOnly),
        ("INTERRUPT", QueryTimeout),
        ("IOERR NOLFS", StorageFailure),
        ("CORRUPT NOTADB", DatabaseCorrupt),
        ("FULL", DatabaseFull),
        ("CANTOPEN", CannotOpen),
        ("TOOBIG MISMATCH", InvalidInput),
        ("CONSTRAINT", ConstraintViolation),
        ("CONSTRAINT_UNIQUE CONSTRAINT_PRIMARYKEY CONSTRAINT_ROWID", UniqueViolation),
        ("CONSTRAINT_FOREIGNKEY", ForeignKeyViolation),
        ("CONSTRAINT_NOTNULL", NotNullViolation),
        ("CONSTRAINT_CHECK CONSTRAINT_DATATYPE", CheckViolation),
    )
    for name in names.split()
}
_SQLITE_PRIMARY = (  # the primary codes in order, from 0
    "OK ERROR INTERNAL PERM ABORT BUSY LOCKED NOMEM READONLY INTERRUPT IOERR CORRUPT NOTFOUND FULL CANTOPEN PROTOCOL "
    "EMPTY SCHEMA TOOBIG CONSTRAINT MISMATCH MISUSE NOLFS AUTH FORMAT RANGE NOTADB NOTICE WARNING"
)
_SQLITE_EXTENDED = {
    517: "BUSY_SNAPSHOT",
    275: "CONSTRAINT_CHECK",
    787: "CONSTRAINT_FOREIGNKEY",
    1299: "CONSTRAINT_NOTNULL",
    1555: "CONSTRAINT_PRIMARYKEY",
    2067: "CONSTRAINT_UNIQUE",
    2579: "CONSTRAINT_ROWID",
    3091: "CONSTRAINT_DATATYPE",
}


def from_sqlstate(sqlstate: str) -> type[UndercroftError]:
    """Classify a PostgreSQL SQLSTATE."""
    return _BY_SQLSTATE.get(sqlstate) or _BY_SQLSTATE.get(sqlstate[:2], DatabaseError)


def from_sqlite(error: str | int) -> type[UndercroftError]:
    """Classify a SQLite result code, plain or extended: `sqlite_errorcode` rather than `sqlite_errorname`.

    Python's sqlite3 calls a code that is newer than itself "unknown".
    """
    if isinstance(error, int):
        error = _SQLITE_EXTENDED.get(error) or dict(enumerate(_SQLITE_PRIMARY.split())).get(error & 0xFF, "")
    name = error.removeprefix("SQLITE_")
    return _BY_SQLITE.get(name) or _BY_SQLITE.get(name.partition("_")[0], DatabaseError)
