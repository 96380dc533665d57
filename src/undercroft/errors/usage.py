"""What a user can put right himself: settings, input, tenants, rights, repeated calls, our schema."""

from datetime import datetime

from undercroft.errors.root import UndercroftError


class ConfigurationError(UndercroftError):
    """A setting is wrong."""

    code = "configuration.invalid"
    shown = ("from",)
    hint = "correct it in the environment, the .env file or the call; docs/reference/settings.md lists every setting"

    def __init__(
        self, message: str | None = None, *, setting: str | None = None, hint: str | None = None, **context: object
    ) -> None:
        super().__init__(message, hint=hint, setting=setting, **context)
        self.setting = setting


class PoolerMismatch(ConfigurationError):
    """A pooler in transaction mode stands before the database and lost a prepared statement."""

    code = "configuration.pooler"
    hint = "set UNDERCROFT_POOLER=transaction"


class MissingExtra(UndercroftError):
    """A package that is needed here is not installed."""

    code = "extra-missing"
    hint = "pip install 'undercroft[EXTRA]'"

    def __init__(
        self, message: str | None = None, *, extra: str = "EXTRA", hint: str | None = None, **context: object
    ) -> None:
        super().__init__(message, hint=hint or self.hint.replace("EXTRA", extra), extra=extra, **context)
        self.extra = extra


class InvalidInput(UndercroftError):
    """A value cannot be stored as it is."""

    code = "input.invalid"
    shown = ("field",)
    hint = "correct the value and call again"

    def __init__(
        self, message: str | None = None, *, field: str | None = None, hint: str | None = None, **context: object
    ) -> None:
        super().__init__(message, hint=hint, field=field, **context)
        self.field = field


class NotFound(UndercroftError):
    """There is no such thing in this tenant."""

    code = "not-found"
    hint = "check its name or id"


class AlreadyExists(UndercroftError):
    """There is one by this name already."""

    code = "already-exists"
    hint = "choose another name, or update the one that exists"


class SourceRefused(UndercroftError):
    """The source of this import is unsafe or unreadable, and nothing was written."""

    code = "import.source-refused"
    hint = "export it again, or name another file"


class BackupRefused(UndercroftError):
    """The backup cannot be trusted, or belongs elsewhere, and nothing of it was written."""

    code = "backup.refused"
    shown = ("reason",)
    hint = "take an older backup, and find out what happened to this one"


class DatabaseNotEmpty(UndercroftError):
    """There are rows already where the backup would be restored, and nothing was written."""

    code = "backup.not-empty"
    shown = ("table",)
    hint = "restore into an empty database; a tenant's rows may be replaced (replace=True, --replace)"


class BackupToolMissing(UndercroftError):
    """A program of PostgreSQL that is needed here is missing or too old."""

    code = "backup.tool-missing"
    hint = "install postgresql-client of the server's version, or make a portable backup"


class WrongColour(UndercroftError):
    """The call belongs to the other colour."""

    code = "usage.wrong-colour"
    hint = "use `async with` and `await` with AsyncStore, plain `with` and calls with Store"


class StoreClosed(UndercroftError):
    """The store is closed."""

    code = "usage.store-closed"
    hint = "call it inside its `with` or `async with` block, or open a new store"


class TenantUnknown(UndercroftError):
    """There is no such tenant."""

    code = "tenant.unknown"
    shown = ("tenant",)
    hint = "create it first with store.tenants.ensure(...)"


class TenantDeleted(UndercroftError):
    """The tenant is deleted."""

    code = "tenant.deleted"
    shown = ("tenant",)
    hint = "bring it back with store.tenants.restore(...)"


class TenantNotSet(UndercroftError):
    """No tenant is entered, so nothing can be read or written."""

    code = "tenant.not-set"
    hint = "go through store.tenant(...)"


class TenantMismatch(UndercroftError):
    """Another tenant is already entered in this transaction."""

    code = "tenant.mismatch"
    hint = "use one transaction a tenant"


class TenantSealRequired(UndercroftError):
    """The database is sealed: a tenant is entered under its key only."""

    code = "tenant.seal-required"
    hint = "set UNDERCROFT_TENANT_SEAL_KEY to the key it was sealed with, and open the store again"


class AccessDenied(UndercroftError):
    """The user may not do that."""

    code = "access.denied"
    hint = "ask an owner or admin of the tenant for the role or permission"


class LimitExceeded(UndercroftError):
    """The limit has not as many units left."""

    code = "limit.exceeded"
    shown = ("limit", "retry_at")
    hint = "wait until then, or raise the limit with limits.define(...)"

    def __init__(
        self,
        message: str | None = None,
        *,
        limit: str | None = None,
        retry_at: datetime | None = None,
        retry_after: float | None = None,
        hint: str | None = None,
        **context: object,
    ) -> None:
        """``retry_at`` is when it can succeed, in ``retry_after`` seconds; None where it asks more than the whole."""
        if retry_at is None and hint is None:
            hint = "it asks more than the whole limit: ask less, or raise the limit with limits.define(...)"
        super().__init__(message, hint=hint, limit=limit, retry_at=retry_at, **context)
        self.limit = limit
        self.retry_at = retry_at
        self.retry_after = retry_after


class UnderLegalHold(UndercroftError):
    """A legal hold keeps what was to be removed."""

    code = "retention.held"
    shown = ("tenant",)
    hint = "release it first: tenant.upkeep.retention.release(...); a deleted tenant is restored for that"


class IllegalTransition(UndercroftError):
    """Its state does not allow that change."""

    code = "state.illegal-transition"
    hint = "read it again, and see what its state allows"

    def __init__(
        self,
        message: str | None = None,
        *,
        old: str | None = None,
        new: str | None = None,
        hint: str | None = None,
        **context: object,
    ) -> None:
        super().__init__(message, hint=hint, old=old, new=new, **context)
        self.old = old
        self.new = new


class MeetingHeld(UndercroftError):
    """Another worker has the meeting, or the lease on it ran out."""

    code = "meeting.held"
    hint = "claim the next one; this one is taken care of, or claimed again when its lease ends"


class AttemptsExhausted(UndercroftError):
    """It failed as often as it may be tried."""

    code = "meeting.attempts-exhausted"
    shown = ("attempts",)
    hint = "look at its error, then retry it with more attempts, or cancel it"


class CommitUnknown(UndercroftError):
    """The connection broke after COMMIT was sent, so the change may or may not be stored."""

    code = "commit.unknown"
    hint = "look before you repeat it; through tenant.idempotent(key) repeating is always safe"


class AuditDamaged(UndercroftError):
    """The audit trail is not what it was when it was written."""

    code = "audit.damaged"
    shown = ("damage",)
    hint = "change nothing, keep a copy of the database, and find out who had all rights to it"


class SchemaMissing(UndercroftError):
    """Undercroft's tables are not in this database."""

    code = "schema.missing"
    hint = "run `undercroft db upgrade`, or store.migrate()"


class SchemaOutdated(UndercroftError):
    """Undercroft's tables are older than this version of the library."""

    code = "schema.outdated"
    hint = "back up, then run `undercroft db upgrade`, or store.migrate()"


class SchemaTooNew(UndercroftError):
    """Undercroft's tables were made by a newer version of the library."""

    code = "schema.too-new"
    hint = "upgrade the library: pip install -U undercroft"


class SchemaConflict(UndercroftError):
    """A name that Undercroft needs is taken by a table of somebody else."""

    code = "schema.conflict"
    shown = ("table",)
    hint = "use another database or file, or rename that table"
