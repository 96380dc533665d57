"""What a user can put right himself: settings, input, tenants, rights, repeated calls, our schema."""

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


class AccessDenied(UndercroftError):
    """The user may not do that."""

    code = "access.denied"
    hint = "ask an owner or admin of the tenant for the role or permission"


class CommitUnknown(UndercroftError):
    """The connection broke after COMMIT was sent, so the change may or may not be stored."""

    code = "commit.unknown"
    hint = "look before you repeat it; with idempotency_key= repeating is always safe"


class IdempotencyConflict(UndercroftError):
    """The idempotency key was used before, with other arguments."""

    code = "idempotency.conflict"
    hint = "use a new key for a new request"


class IdempotencyInFlight(UndercroftError):
    """A call with this idempotency key is still running."""

    code = "idempotency.in-flight"
    hint = "wait for it, then ask again with the same key"


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
