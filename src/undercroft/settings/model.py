"""The settings of a store: read from wherever they stand, checked together, and the addresses they lead to."""

from collections.abc import Mapping
from pathlib import Path
from typing import Self

from pydantic import PrivateAttr, SecretStr, ValidationError

from undercroft.errors import ConfigurationError
from undercroft.settings import targets
from undercroft.settings.environment import DEFAULT_FILE, Found, find, sealed
from undercroft.settings.fields import Fields
from undercroft.settings.presets import with_preset
from undercroft.settings.refusal import name_origin, refusal
from undercroft.settings.urls import DatabaseUrl, RedisUrl


class Settings(Fields):
    """All settings of a store; immutable, and safe to print: secrets are hidden.

    `Settings.load()` reads them; `Settings(...)` takes what it is given and reads nothing. Times are in seconds unless
    the name says otherwise. `database`, `migrate`, `replica`, `listen` and `redis` are the addresses they lead to.
    """

    _database: DatabaseUrl = PrivateAttr()
    _migrate: DatabaseUrl = PrivateAttr()
    _replica: DatabaseUrl | None = PrivateAttr()
    _listen: DatabaseUrl | None = PrivateAttr()
    _redis: RedisUrl | None = PrivateAttr()

    @classmethod
    def load(
        cls, url: str | SecretStr | None = None, *, env_file: str | Path | None = DEFAULT_FILE, **overrides: object
    ) -> Self:
        """Read the call's arguments, the environment, the .env file and the preset, the first that says it winning.

        Raises `ConfigurationError` for whatever is wrong, naming the setting and never its value.
        """
        # Some error reporters show the variables of every frame.
        explicit = sealed(overrides if url is None else {**overrides, "database_url": url})
        url, overrides = None, {}
        found = with_preset(find(ALIASES, explicit, env_file))
        try:
            return cls.model_validate({name: value.reveal() for name, value in found.items()}, context=found)
        except ConfigurationError as error:
            name_origin(error, found)
            refused = error.with_traceback(None)
        except ValidationError as error:
            refused = refusal(error, found)
        raise refused  # outside: pydantic's frames and its error hold the values

    def model_post_init(self, context: Mapping[str, Found] | None, /) -> None:
        """Work out the addresses; raises `ConfigurationError` for those that cannot be."""
        given = targets.validated(self, context or {})
        self._database = targets.database(given)
        self._migrate = targets.beside(self._database, "migrate_url", given) or self._database
        self._replica = targets.beside(self._database, "replica_url", given)
        around = targets.beside(self._database, "listen_url", given)
        direct = self._database.kind == "postgresql" and self.pooler == "none"
        self._listen = around or (self._database if direct else None)
        self._redis = targets.redis(given)
        if self.limits_backend == "redis" and self._redis is None:
            message = "limits_backend is redis, and redis_url is missing"
            hint = "set UNDERCROFT_REDIS_URL, or count in the database"
            raise ConfigurationError(message, setting="redis_url", hint=hint)
        if self.auto_migrate is None:
            object.__setattr__(self, "auto_migrate", self._database.kind == "sqlite")
        if self.ssl_mode is None:
            object.__setattr__(self, "ssl_mode", self._database.tls.mode)
        if self.preset == "production":
            targets.check_production(given, [self._database, self._migrate, self._replica, self._listen])

    @property
    def database(self) -> DatabaseUrl:
        """The database."""
        return self._database

    @property
    def migrate(self) -> DatabaseUrl:
        """The database as migrations reach it."""
        return self._migrate

    @property
    def replica(self) -> DatabaseUrl | None:
        """The replica for reads, if there is one."""
        return self._replica

    @property
    def listen(self) -> DatabaseUrl | None:
        """Where LISTEN works: None on SQLite, and behind a pooler without `listen_url`."""
        return self._listen

    @property
    def redis(self) -> RedisUrl | None:
        """The Redis or Valkey server, if there is one."""
        return self._redis

    @property
    def refuses_superuser(self) -> bool:
        """Whether a login that the walls do not hold is refused."""
        return self.preset == "production"


def _aliases(name: str) -> tuple[str, ...]:
    more = Settings.model_fields[name].json_schema_extra
    return tuple(more["aliases"]) if isinstance(more, dict) else ()  # type: ignore[arg-type]  # _setting wrote it


ALIASES = {name: _aliases(name) for name in Settings.model_fields}
