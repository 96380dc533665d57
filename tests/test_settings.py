"""Settings: found in their order, refused at the start if wrong, and silent about secrets."""

import re
import ssl
import subprocess
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from undercroft.errors import ConfigurationError
from undercroft.settings import Settings
from undercroft.settings.environment import PREFIX
from undercroft.settings.model import ALIASES
from undercroft.settings.presets import PRESETS
from undercroft.settings.reference import Line, env_example, lines, markdown
from undercroft.settings.tls import MODES
from undercroft.settings.urls import DatabaseUrl, RedisUrl

ROOT = Path(__file__).parent.parent
CANARY = "hunter2-canary"
REMOTE = "postgresql://bot:pw@db.example/bots"

# The names that the five programs Undercroft replaces are configured by.
SEEDS = {
    "DATABASE_URL": "database_url",
    **{f"DB_{part}": f"db_{part.lower()}" for part in ("HOST", "PORT", "NAME", "USER", "PASSWORD")},
    **{f"DATABASE_{part}": f"db_{part.lower()}" for part in ("HOST", "PORT", "NAME", "USER", "PASSWORD")},
    **{
        f"{prefix}{name}": name.lower()
        for name in ("POOL_SIZE", "MAX_OVERFLOW", "POOL_TIMEOUT", "POOL_RECYCLE")
        for prefix in ("", "DB_", "DATABASE_")
    },
    "DB_QUERY_TIMEOUT": "query_timeout",
    "DB_SSL_MODE": "ssl_mode",
    "DB_SSL_CA": "ssl_ca",
    "DB_SSL_CERT": "ssl_cert",
    "DB_SSL_KEY": "ssl_key",
    "DB_POOL_PRE_PING": "pre_ping",
    "DATABASE_ECHO": "echo_sql",
    **{f"REDIS_{part}": f"redis_{part.lower()}" for part in ("URL", "HOST", "PORT", "DB", "PASSWORD")},
}
# A value that each setting takes, and one that it refuses; paths and names take any text.
TAKES: dict[str, tuple[str, object]] = {
    "preset": ("testing", "testing"),
    "pooler": ("Transaction", "transaction"),
    "auto_migrate": ("no", False),
    "pool_size": ("7", 7),
    "max_overflow": ("0", 0),
    "pool_timeout": ("1.5", 1.5),
    "pool_recycle": ("60", 60.0),
    "pre_ping": ("false", False),
    "connect_timeout": ("3", 3.0),
    "query_timeout": ("3", 3.0),
    "log_level": ("debug", "DEBUG"),
    "echo_sql": ("on", True),
    "slow_query_ms": ("0", 0),
    "log_parameters": ("1", True),
    "cache_ttl_seconds": ("60", 60),
    "max_cache_entries": ("5", 5),
    "ssl_mode": ("Require", "require"),
}
OUT_OF_RANGE = {
    "db_port": ["0", "65536"],
    "redis_port": ["0", "65536"],
    "redis_db": ["-1"],
    "pool_size": ["0", "-1", "1e9", "99999999999999999999"],
    "max_overflow": ["-1"],
    "pool_timeout": ["0", "nan", "inf"],
    "pool_recycle": ["0", "-1"],
    "connect_timeout": ["0"],
    "query_timeout": ["0", "-5"],
    "slow_query_ms": ["-1", "0.5"],
    "cache_ttl_seconds": ["0"],
    "max_cache_entries": ["0"],
    "pre_ping": ["maybe"],
    "preset": ["staging"],
    "pooler": ["session"],
    "ssl_mode": ["verify_full"],
    "log_level": ["LOUD"],
}

WORDS = [line for line in lines() if line.is_word and line.default]  # defaults that a line can be written with


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for setting, aliases in ALIASES.items():
        for name in (PREFIX + setting.upper(), *aliases):
            monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def refused(*args: Any, **overrides: Any) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as error:
        Settings.load(*args, **overrides)
    return error.value


class TestDefaults:
    def test_without_any_setting_there_is_a_file(self):
        settings = Settings.load()
        assert settings.database == DatabaseUrl("sqlite", path="undercroft.db")
        assert settings.migrate == settings.database
        assert (settings.replica, settings.listen, settings.redis) == (None, None, None)
        assert settings.auto_migrate is True
        assert not settings.refuses_superuser

    def test_on_postgresql_a_schema_is_not_changed_unasked(self):
        settings = Settings.load(REMOTE)
        assert settings.auto_migrate is False
        assert Settings.load(REMOTE, auto_migrate=True).auto_migrate is True
        assert Settings.load("sqlite:///x.db", auto_migrate=False).auto_migrate is False
        assert settings.listen == settings.database
        assert (settings.slow_query_ms, settings.log_parameters) == (500, False)

    def test_settings_cannot_be_changed(self):
        with pytest.raises(ValidationError):
            Settings.load().pool_size = 3  # type: ignore[misc]

    def test_nothing_is_read_where_settings_are_made_by_hand(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv("UNDERCROFT_POOL_SIZE", "3")
        assert Settings(database_url=SecretStr("sqlite:///hand.db")).pool_size == 10
        assert Settings().database.path == "undercroft.db"


class TestNames:
    def test_the_names_of_the_programs_it_replaces_are_all_understood(self):
        assert {name: setting for setting, names in ALIASES.items() for name in names}.items() >= SEEDS.items()

    def test_a_name_means_one_setting(self):
        names = [name for aliases in ALIASES.values() for name in aliases]
        assert len(names) == len(set(names))

    @pytest.mark.parametrize("setting", TAKES)
    def test_every_name_of_a_setting_is_read(self, setting: str, monkeypatch: pytest.MonkeyPatch):
        written, expected = TAKES[setting]
        assert getattr(Settings.load(), setting) != expected
        for name in (PREFIX + setting.upper(), *ALIASES[setting]):
            with monkeypatch.context() as patch:
                patch.setenv(name, written)
                assert getattr(Settings.load(), setting) == expected

    def test_the_first_place_that_has_a_setting_wins(self, monkeypatch: pytest.MonkeyPatch):
        def size(**overrides: object) -> int:
            return Settings.load("sqlite:///x.db", **overrides).pool_size

        assert size() == 10
        assert size(preset="testing") == 5
        Path(".env").write_text("DB_POOL_SIZE=21\n")
        assert size(preset="testing") == 21
        Path(".env").write_text("DB_POOL_SIZE=21\nUNDERCROFT_POOL_SIZE=22\n")
        assert size() == 22
        monkeypatch.setenv("DATABASE_POOL_SIZE", "23")
        assert size() == 23
        monkeypatch.setenv("UNDERCROFT_POOL_SIZE", "24")
        assert size() == 24
        assert size(pool_size=25) == 25
        assert size(pool_size=None) == 24

    def test_two_names_that_disagree_are_refused_and_both_named(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv("DB_POOL_SIZE", "5")
        monkeypatch.setenv("DATABASE_POOL_SIZE", "6")
        error = refused()
        assert "DB_POOL_SIZE and DATABASE_POOL_SIZE" in str(error)
        assert error.setting == "pool_size"
        monkeypatch.setenv("DATABASE_POOL_SIZE", "5")
        assert Settings.load().pool_size == 5
        monkeypatch.setenv("DATABASE_POOL_SIZE", "6")
        monkeypatch.setenv("UNDERCROFT_POOL_SIZE", "7")
        assert Settings.load().pool_size == 7

    def test_another_programs_address_gives_way_to_ours(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv("DATABASE_URL", "mysql://app@db/app")
        assert "from DATABASE_URL" in str(refused())
        monkeypatch.setenv("UNDERCROFT_DATABASE_URL", "sqlite:///ours.db")
        assert Settings.load().database.path == "ours.db"

    def test_an_empty_variable_is_an_unset_one(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv("UNDERCROFT_POOL_SIZE", "")
        monkeypatch.setenv("DB_PASSWORD", "")
        assert Settings.load().pool_size == 10

    def test_an_unknown_argument_is_refused_with_what_was_meant(self):
        assert "did you mean pool_size?" in str(refused(poolsize=3))
        assert "settings.md" in str(refused(colour="red"))

    @pytest.mark.parametrize("name", ["UNDERCROFT_SSL_MOD", "UNDERCROFT_SSLMODE", "UNDERCROFT_DATABASEURL"])
    def test_a_misspelt_variable_is_refused_wherever_it_stands(self, name: str, monkeypatch: pytest.MonkeyPatch):
        Path(".env").write_text(f"{name}=x\n")
        assert name in str(refused())
        Path(".env").unlink()
        monkeypatch.setenv(name, "x")
        assert "did you mean UNDERCROFT_" in str(refused())

    @pytest.mark.parametrize("name", ["TEST_POSTGRES", "TEST_REDIS", "TEST_DATA", "TEST_RUN", "SOAK_SHORT", "HOME"])
    def test_a_variable_that_resembles_no_setting_is_somebody_elses(self, name: str, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv(PREFIX + name, "x")
        Settings.load()


class TestFile:
    def test_a_file_is_read_as_shells_and_editors_write_it(self):
        Path(".env").write_text(
            "\ufeffDB_NAME='bots'\n\n# a comment\nexport DB_USER=bot\n"
            'DB_HOST = "db" # another\nDB_PASSWORD="a#b c"\r\nAPP=1\n',
            encoding="utf-8",
        )
        database = Settings.load().database
        assert (database.host, database.database, database.user) == ("db", "bots", "bot")
        assert database.password == SecretStr("a#b c")
        assert Settings.load(env_file=None).database.kind == "sqlite"

    def test_a_file_of_another_name_is_read_and_the_usual_one_is_not(self):
        Path(".env").write_text("UNDERCROFT_POOL_SIZE=3\n")
        Path("bot.env").write_text("UNDERCROFT_MAX_OVERFLOW=4\n")
        settings = Settings.load(env_file="bot.env")
        assert (settings.pool_size, settings.max_overflow) == (10, 4)

    def test_a_file_that_is_named_must_be_there(self):
        assert "nowhere.env" in str(refused(env_file="nowhere.env"))
        assert "UTF-8" in str(refused(env_file="."))

    def test_a_file_that_is_no_text_or_has_a_broken_line_is_refused_silently(self):
        Path(".env").write_bytes(b"DB_PASSWORD=\xff\xfe" + CANARY.encode())
        assert_silent(refused())
        Path(".env").write_text(f"UNDERCROFT_POOL_SIZE=3\n{CANARY} is no setting\n")
        error = refused()
        assert "line 2 of .env" in str(error)
        assert_silent(error)

    def test_an_error_names_the_variable_and_the_file(self):
        Path(".env").write_text("DB_POOL_SIZE=many\n")
        error = refused()
        assert str(error).startswith("pool_size (from DB_POOL_SIZE in .env) must be a whole number")
        Path(".env").write_text("DATABASE_URL=x\n")
        assert "(from DATABASE_URL in .env)" in str(refused())


class TestDatabase:
    def test_an_address_may_be_given_in_parts(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv("DB_NAME", "bots")
        assert Settings.load().database.host == "localhost"
        for name, value in {"HOST": "db", "PORT": "6432", "USER": "bot", "PASSWORD": "p@ss/word"}.items():
            monkeypatch.setenv(f"DB_{name}", value)
        monkeypatch.setenv("DB_SSL_MODE", "require")
        database = Settings.load().database
        assert str(database) == "postgresql://bot:***@db:6432/bots"
        assert database.password == SecretStr("p@ss/word")
        assert database.tls.mode == "require"

    def test_parts_without_a_name_are_refused(self):
        assert refused(db_host="db").setting == "db_name"

    def test_a_wrong_part_is_named(self):
        error = refused(db_name="bots", db_host="d b")
        assert error.setting == "db_host"
        assert str(error).startswith("db_host has a wrong host")
        Path(".env").write_text(f"DATABASE_URL={REMOTE}\n")
        assert refused(db_host="d b").setting == "db_host"

    def test_a_url_and_its_parts_side_by_side_must_agree(self, monkeypatch: pytest.MonkeyPatch):
        for name, value in {  # as one of the replaced programs writes its .env file
            "DATABASE_URL": "postgresql://user:password@localhost:5432/microservices_db",
            "DATABASE_HOST": "localhost",
            "DATABASE_PORT": "5432",
            "DATABASE_NAME": "microservices_db",
            "DATABASE_USER": "user",
            "DATABASE_PASSWORD": "password",
        }.items():
            monkeypatch.setenv(name, value)
        assert str(Settings.load().database) == "postgresql://user:***@localhost:5432/microservices_db"
        monkeypatch.setenv("DATABASE_PASSWORD", CANARY)
        error = refused()
        assert "DATABASE_URL and DATABASE_PASSWORD disagree" in str(error)
        assert_silent(error)

    def test_a_password_may_be_kept_apart(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv("DATABASE_URL", "postgresql://bot@db/bots")
        monkeypatch.setenv("DB_PASSWORD", CANARY)
        assert Settings.load().database.password == SecretStr(CANARY)
        monkeypatch.setenv("UNDERCROFT_DB_PASSWORD", "better")
        assert Settings.load().database.password == SecretStr("better")

    def test_a_login_found_later_is_not_sent_to_another_server(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv("DB_PASSWORD", CANARY)
        monkeypatch.setenv("DB_HOST", "theirs")
        monkeypatch.setenv("DB_SSL_MODE", "require")
        database = Settings.load("postgresql://bot@ours/bots").database
        assert (database.host, database.password) == ("ours", None)
        assert database.tls.mode == "require"  # how to connect holds for any server
        assert Settings.load("sqlite:///x.db").database.path == "x.db"

    def test_a_part_found_earlier_replaces_the_urls(self, monkeypatch: pytest.MonkeyPatch):
        Path(".env").write_text(f"DATABASE_URL={REMOTE}?sslmode=disable\n")
        monkeypatch.setenv("UNDERCROFT_DB_HOST", "replacement")
        monkeypatch.setenv("UNDERCROFT_SSL_MODE", "require")
        database = Settings.load().database
        assert (database.host, database.tls.mode) == ("replacement", "require")

    def test_a_file_and_a_server_are_not_both_meant(self):
        error = refused("sqlite:///x.db", db_host="db")
        assert "database_url and db_host" in str(error)

    def test_tls_in_the_url_and_beside_it_must_agree(self):
        assert refused(f"{REMOTE}?sslmode=require", ssl_mode="prefer").setting == "ssl_mode"
        assert Settings.load(f"{REMOTE}?sslmode=require", ssl_mode="require").ssl_mode == "require"
        assert Settings.load(f"{REMOTE}?sslmode=require").ssl_mode == "require"
        assert Settings.load(f"{REMOTE}?connect_timeout=4").database.connect_timeout == 4
        assert Settings.load(REMOTE, connect_timeout=5).database.connect_timeout == 5

    def test_every_task_may_have_its_own_address(self):
        settings = Settings.load(
            REMOTE,
            migrate_url="postgres://owner@db.example/bots",
            replica_url="postgres://bot@replica.example/bots",
            listen_url="postgres://bot@direct.example/bots",
            pooler="transaction",
            ssl_mode="require",
        )
        assert settings.migrate.user == "owner"
        assert (settings.replica and settings.replica.host) == "replica.example"
        assert (settings.listen and settings.listen.host) == "direct.example"
        assert {url.tls.mode for url in (settings.migrate, settings.replica, settings.listen) if url} == {"require"}

    def test_behind_a_pooler_nothing_is_listened_to_unless_there_is_a_way_around_it(self):
        assert Settings.load(REMOTE, pooler="transaction").listen is None

    @pytest.mark.parametrize("setting", ["migrate_url", "replica_url", "listen_url"])
    def test_another_way_leads_to_the_same_kind_of_database(self, setting: str):
        assert refused(REMOTE, **{setting: "sqlite:///x.db"}).setting == setting
        assert refused("sqlite:///x.db", **{setting: REMOTE}).setting == setting
        assert refused("sqlite:///x.db", **{setting: "sqlite:///y.db"}).setting == setting
        error = refused(REMOTE, **{setting: f"postgres://u:{CANARY}@h:port/d"})
        assert error.setting == setting
        assert_silent(error)

    def test_the_cache_is_found_by_url_or_parts(self):
        assert Settings.load(redis_url="redis://cache/2").redis == RedisUrl(host="cache", db=2)
        parts = Settings.load(redis_host="cache", redis_port=7, redis_db=1, redis_user="u", redis_password="p")
        assert parts.redis == RedisUrl(host="cache", port=7, db=1, user="u", password=SecretStr("p"))
        both = Settings.load(redis_url="redis://localhost:6379", redis_host="localhost", redis_port=6379, redis_db=0)
        assert both.redis == RedisUrl()
        assert refused(redis_url="redis://cache", redis_host="other").setting == "redis_host"
        assert refused(redis_url="unix:///run/redis.sock", redis_port=1).setting == "redis_port"
        assert Settings.load(redis_url="unix:///r.sock", redis_db=1).redis == RedisUrl("unix", path="/r.sock", db=1)
        assert refused(redis_url="http://cache").setting == "redis_url"


class TestPresets:
    @pytest.mark.parametrize("preset", PRESETS)
    def test_a_preset_changes_what_it_says(self, preset: str):
        settings = Settings.load("sqlite:///x.db", preset=preset.upper())
        assert {name: getattr(settings, name) for name in PRESETS[preset]} == PRESETS[preset]

    def test_production_demands_a_named_database(self):
        assert refused(preset="production").setting == "database_url"
        assert Settings.load("sqlite:///bot.db", preset="production").database.kind == "sqlite"
        assert Settings.load(db_name="bots", preset="production").database.host == "localhost"

    def test_production_refuses_a_superuser(self):
        assert Settings.load("sqlite:///x.db", preset="production").refuses_superuser

    def test_production_demands_tls_beyond_this_machine(self):
        assert Settings.load(REMOTE, preset="production").database.tls.mode == "require"
        for mode in ("disable", "allow", "prefer"):
            assert refused(REMOTE, preset="production", ssl_mode=mode).setting == "ssl_mode"
            assert refused(f"{REMOTE}?sslmode={mode}", preset="production").setting == "ssl_mode"
            Settings.load(REMOTE, preset="development", ssl_mode=mode)

    @pytest.mark.parametrize("setting", ["migrate_url", "replica_url", "listen_url"])
    def test_production_demands_tls_on_every_way(self, setting: str):
        main = "postgresql://u@localhost/bots"
        assert refused(main, preset="production", **{setting: f"{REMOTE}?sslmode=prefer"}).setting == "ssl_mode"

    @pytest.mark.parametrize("where", ["localhost", "127.0.0.1", "[::1]", "%2Frun%2Fpostgresql"])
    def test_production_takes_this_machine_without_tls(self, where: str):
        settings = Settings.load(f"postgresql://bot@{where}/bots", preset="production")
        assert settings.ssl_mode == "prefer"

    def test_production_does_not_print_statements(self):
        assert refused("sqlite:///x.db", preset="production", echo_sql=True).setting == "echo_sql"
        assert Settings.load("sqlite:///x.db", preset="production", echo_sql=False).echo_sql is False


class TestTls:
    @pytest.mark.parametrize("mode", MODES[:4])
    def test_a_mode_without_certificates_is_taken(self, mode: str):
        settings = Settings.load(REMOTE, ssl_mode=mode)
        assert settings.ssl_mode == settings.database.tls.mode == mode

    @pytest.mark.parametrize("mode", MODES[:3])
    @pytest.mark.parametrize("setting", ["ssl_ca", "ssl_cert", "ssl_key"])
    def test_a_certificate_that_would_not_be_used_is_refused(self, mode: str, setting: str):
        assert refused(REMOTE, ssl_mode=mode, **{setting: "x.pem"}).setting == setting
        assert refused(REMOTE, **{setting: "x.pem"}).setting == setting

    @pytest.mark.parametrize("mode", ["verify-ca", "verify-full"])
    def test_verifying_needs_something_to_trust(self, mode: str):
        assert refused(REMOTE, ssl_mode=mode).setting == "ssl_ca"

    def test_the_machines_authorities_are_trusted_for_a_checked_name_only(self):
        settings = Settings.load(REMOTE, ssl_mode="verify-full", ssl_ca="system")
        context = settings.database.connect_args("asyncpg")["ssl"]
        assert isinstance(context, ssl.SSLContext)
        assert context.check_hostname
        assert settings.database.connect_args("psycopg")["sslrootcert"] == "system"
        assert refused(REMOTE, ssl_mode="verify-ca", ssl_ca="system").setting == "ssl_mode"

    @pytest.mark.parametrize(("given", "missing"), [("ssl_cert", "ssl_key"), ("ssl_key", "ssl_cert")])
    def test_a_certificate_and_its_key_go_together(self, given: str, missing: str):
        assert refused(REMOTE, ssl_mode="require", **{given: "x.pem"}).setting == missing

    def test_a_file_that_is_not_there_or_holds_no_certificate_is_refused_at_the_start(self):
        error = refused(REMOTE, ssl_mode="verify-full", ssl_ca="nowhere.pem")
        assert error.setting == "ssl_ca"
        assert "No such file" in str(error)
        Path("ca.pem").write_text("no certificate")
        assert refused(REMOTE, ssl_mode="require", ssl_ca="ca.pem").setting == "ssl_ca"
        assert refused(f"{REMOTE}?sslmode=verify-ca&sslrootcert=ca.pem").setting == "ssl_ca"
        assert refused(REMOTE, ssl_mode="require", ssl_ca=".").setting == "ssl_ca"
        assert Settings.load("sqlite:///x.db", ssl_ca="nowhere.pem").database.kind == "sqlite"


class TestRefusals:
    @pytest.mark.parametrize(
        ("setting", "value"), [(name, value) for name in OUT_OF_RANGE for value in OUT_OF_RANGE[name]]
    )
    def test_a_value_out_of_range_is_refused_by_name(self, setting: str, value: str, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv(PREFIX + setting.upper(), value)
        error = refused()
        assert error.setting == setting
        assert str(error).startswith(f"{setting} (from {PREFIX}{setting.upper()}) must be ")

    def test_all_wrong_values_are_named_at_once(self):
        error = refused(pool_size=0, echo_sql="perhaps", ssl_mode="tls")
        assert error.setting == "pool_size"
        assert re.search("pool_size must .*; ssl_mode must .*'verify-full'; echo_sql must ", str(error))

    @pytest.mark.parametrize("line", lines(), ids=lambda line: line.name)
    def test_no_setting_shows_what_it_was_wrongly_given(self, line, monkeypatch: pytest.MonkeyPatch):
        """Every setting, by every name, in every place, given a secret."""
        for name in (line.variable, *line.aliases):
            with monkeypatch.context() as patch:
                patch.setenv(name, CANARY)
                assert_keeps_secret(line)
            Path(".env").write_text(f"{name}='{CANARY}'\n")
            assert_keeps_secret(line)
            Path(".env").unlink()
        assert_keeps_secret(line, **{line.name: CANARY})

    @pytest.mark.parametrize(
        "overrides",
        [
            {"pool_size": CANARY},
            {"echo_sql": CANARY, "pooler": CANARY},
            {"database_url": f"postgres://u:{CANARY}@h:port/d"},
            {"database_url": f"postgres://u:{CANARY}@h/d", "db_host": "other"},
            {"database_url": f"postgres://u:{CANARY}@h/d", "db_password": CANARY + "2"},
            {"database_url": f"postgres://u:{CANARY}@h/d", "preset": "production", "ssl_mode": "allow"},
            {"database_url": f"postgres://u:{CANARY}@h/d", "ssl_mode": "verify-full"},
            {"db_name": "d", "db_host": "d b", "db_password": CANARY},
            {"redis_url": f"redis://:{CANARY}@h/x"},
            {"redis_host": "h h", "redis_password": CANARY},
            {"colour": CANARY},
            {"db_password": 7, "redis_password": CANARY},
        ],
    )
    def test_no_refusal_of_arguments_shows_them(self, overrides: dict[str, Any]):
        assert_silent(refused(**overrides))

    def test_settings_are_safe_to_print(self):
        settings = Settings.load(
            f"postgres://bot:{CANARY}@db/bots",
            db_password=CANARY,
            migrate_url=f"postgres://owner:{CANARY}@db/bots",
            replica_url=f"postgres://bot:{CANARY}@db/bots",
            listen_url=f"postgres://bot:{CANARY}@db/bots",
            redis_url=f"redis://:{CANARY}@cache",
            redis_password=CANARY,
        )
        derived = (settings.database, settings.migrate, settings.replica, settings.listen, settings.redis)
        assert all(url is not None and url.password == SecretStr(CANARY) for url in derived)
        for shown in (
            repr(settings),
            str(settings),
            f"{settings.model_dump()}",
            settings.model_dump_json(),
            str(derived),
        ):
            assert CANARY not in shown


class TestReference:
    def test_the_example_file_is_what_the_settings_say(self):
        committed = (ROOT / ".env.example").read_text()
        assert committed == env_example(), "write it again: python -m undercroft.settings > .env.example"

    def test_the_reference_is_what_the_settings_say(self):
        committed = (ROOT / "docs" / "reference" / "settings.md").read_text()
        assert committed == markdown(), (
            "write it again: python -m undercroft.settings --markdown > docs/reference/settings.md"
        )

    def test_every_setting_is_described_in_both(self):
        for setting in Settings.model_fields:
            assert f"\n#{PREFIX}{setting.upper()}=" in env_example()
            assert f"\n| `{setting}` |" in markdown()
        assert all(re.fullmatch("[A-Z`l].*[.]", line.description) for line in lines())

    def test_secrets_are_said_to_be_secret(self):
        assert {line.name for line in lines() if line.is_secret} == {
            *("database_url", "db_password", "migrate_url", "replica_url", "listen_url"),
            *("redis_url", "redis_password", "tenant_seal_key", "keys"),
        }

    @pytest.mark.parametrize("line", WORDS, ids=lambda line: line.name)
    def test_a_line_of_the_example_is_the_default(self, line):
        needed = {"db_host": {"db_name": "bots"}, "db_port": {"db_name": "bots"}}.get(line.name, {})
        if line.name.startswith("redis_"):
            needed = {"redis_host": "localhost"}
        before = Settings.load(**needed)
        Path(".env").write_text(f"{line.variable}={line.default}\n")
        after = Settings.load(**needed)
        assert (after.database.host, after.database.port or 5432) == (
            before.database.host,
            before.database.port or 5432,
        )
        assert (after.database.path, after.redis) == (before.database.path, before.redis)
        if getattr(before, line.name) is not None:
            assert getattr(after, line.name) == getattr(before, line.name)

    @pytest.mark.parametrize(
        ("arguments", "expected"),
        [(["settings"], env_example), (["settings", "--markdown"], markdown)],
        ids=["example", "markdown"],
    )
    def test_the_command_prints_it(self, arguments: list[str], expected: Any):
        command = [sys.executable, "-W", "error", "-m", f"undercroft.{arguments[0]}", *arguments[1:]]
        assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == expected()


def assert_keeps_secret(line: Line, **overrides: object) -> None:
    try:
        settings = Settings.load(**overrides)
    except ConfigurationError as error:
        assert_silent(error)
    else:
        assert not line.is_secret or CANARY not in repr(settings)


def assert_silent(error: ConfigurationError) -> None:
    """Neither the error, nor what it came from, nor a traceback that shows the variables of our frames."""
    assert "\n" not in str(error)
    frames = [frame for one in _chain(error) for frame in _frames(one)]
    for shown in (*map(str, _chain(error)), *(str(vars(one)) for one in _chain(error)), *frames):
        assert CANARY not in shown


def _chain(error: BaseException | None) -> Iterable[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _frames(error: BaseException) -> list[str]:
    report = traceback.TracebackException.from_exception(error, capture_locals=True)
    return [f"{frame.name} {frame.locals}" for frame in report.stack if "/tests/" not in frame.filename]
