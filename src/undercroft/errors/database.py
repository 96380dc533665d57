"""What the database reports, whichever engine and driver it speaks through."""

from typing import ClassVar

from undercroft.errors.root import UndercroftError


class DatabaseError(UndercroftError):
    """The database reported an error."""

    code = "database.error"
    shown: ClassVar[tuple[str, ...]] = ("constraint", "table", "column", "sqlstate")
    hint = "the driver's own error is this one's __cause__"


class DatabaseUnavailable(DatabaseError):
    """The database cannot be reached or broke the connection."""

    code = "database.unavailable"
    retryable = True
    hint = "check that the server runs and that the address in UNDERCROFT_DATABASE_URL is right"


class CannotOpen(DatabaseUnavailable):
    """The database cannot be opened."""

    code = "database.cannot-open"
    retryable = False
    hint = "check the file's directory and its rights, or that the server has a database of this name"


class RedisUnavailable(DatabaseError):
    """Redis cannot be reached, did not answer in time, or refused, and what was asked of it may be done or not."""

    code = "redis.unavailable"
    shown = ("reason",)
    hint = "check that the server runs and that the address in UNDERCROFT_REDIS_URL is right"


class PoolTimeout(DatabaseError):
    """No connection became free in time."""

    code = "database.pool-timeout"
    hint = "raise UNDERCROFT_POOL_SIZE or UNDERCROFT_POOL_TIMEOUT, or look for transactions that are kept open"


class QueryTimeout(DatabaseError):
    """The statement ran longer than it may, or was cancelled."""

    code = "database.query-timeout"
    hint = "ask for less at once, or raise UNDERCROFT_QUERY_TIMEOUT"


class LockTimeout(DatabaseError):
    """Another transaction held a lock for too long."""

    code = "database.lock-timeout"
    retryable = True
    hint = "try again, and keep transactions short"


class Deadlock(DatabaseError):
    """Two transactions waited for each other and this one was given up."""

    code = "database.deadlock"
    retryable = True
    hint = "run the whole transaction again"


class SerializationFailure(DatabaseError):
    """Another transaction changed what this one had read."""

    code = "database.serialization-failure"
    retryable = True
    hint = "run the whole transaction again"


class DatabaseFull(DatabaseError):
    """The database has no room left."""

    code = "database.full"
    hint = "free or add disk space, then see `undercroft stats` and the retention policies"


class StorageFailure(DatabaseError):
    """Reading or writing the database's storage failed."""

    code = "database.storage-failure"
    hint = "check the disk and its mount before anything else is written"


class DatabaseCorrupt(DatabaseError):
    """The database is damaged, or the file is no database."""

    code = "database.corrupt"
    hint = "check the path, else restore the last verified backup"


class ReadOnly(DatabaseError):
    """The database takes no writes."""

    code = "database.read-only"
    hint = "check the file's rights, or that the URL names the primary and not a replica"


class PermissionDenied(DatabaseError):
    """The database refused: its role lacks the right."""

    code = "database.permission-denied"
    hint = "run `undercroft doctor`, which names the missing grant"


class TenantSealRefused(PermissionDenied):
    """The seal under which a tenant was entered is not of this database, or not of this transaction."""

    code = "tenant.seal-refused"
    hint = "set UNDERCROFT_TENANT_SEAL_KEY to the key that `undercroft db seal` was given; SQL cannot make a seal"


class TenantSealExpired(PermissionDenied):
    """The transaction has been in its tenant for longer than its seal lasts."""

    code = "tenant.seal-expired"
    hint = "make transactions shorter, or raise UNDERCROFT_TENANT_SEAL_SECONDS"


class LoginRefused(PermissionDenied):
    """The database refused the login."""

    code = "database.login-refused"
    hint = "check user, password and TLS certificate, and the server's pg_hba.conf"


class SyntaxRefused(DatabaseError):
    """The database refused the statement."""

    code = "database.statement-refused"
    hint = "correct its text, or the tables, columns and types it names"


class ConstraintViolation(DatabaseError):
    """The row breaks a rule of its table."""

    code = "database.constraint"
    hint = "correct the value"


class UniqueViolation(ConstraintViolation):
    """A row with the same key exists already."""

    code = "database.unique"
    hint = "use another key, or update the row that exists"


class ForeignKeyViolation(ConstraintViolation):
    """The row refers to one that does not exist, or is still referred to."""

    code = "database.foreign-key"
    hint = "create the other row first, or delete the rows that refer to this one"


class NotNullViolation(ConstraintViolation):
    """A value that the table requires is missing."""

    code = "database.not-null"
    hint = "give the value"


class CheckViolation(ConstraintViolation):
    """A value is outside what the table allows."""

    code = "database.check"
    hint = "correct the value"
