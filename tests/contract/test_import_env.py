"""Configuration files into config: what changes, what is refused, and what stays where nothing changed."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from undercroft import Store
from undercroft.errors import AlreadyExists, InvalidInput, SourceRefused, VersionConflict
from undercroft.importers import env


@pytest.fixture(params=["sync"])
def colour(request: pytest.FixtureRequest) -> str:
    """An import is a program of its own: it blocks."""
    return request.param


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., list[env.Setting]]:
    """Writes files and reads them."""

    def make(**files: str) -> list[env.Setting]:
        paths = [tmp_path / name.replace("_", ".", 1) for name in files]
        for path, content in zip(paths, files.values(), strict=True):
            path.write_text(content)
        return env.read_files(paths)

    return make


def kinds(plan: env.Plan) -> dict[str, str]:
    return {one.key: one.kind for one in plan.settings}


def imported(tenant: Any, settings: list[env.Setting], **options: Any) -> env.Plan:
    plan = env.draw(tenant, settings, **options)
    env.rehearse(tenant, plan)
    env.apply(tenant, plan, by="U1")
    return plan


def test_what_was_imported_is_read_as_it_was_written(tenant, write):
    files = {
        "a_env": "PORT=3000\nSLACK_BOT_TOKEN=xoxb-1\n",
        "b_json": '{"api": {"port": 5300, "on": true, "base": null}}',
    }
    plan = imported(tenant, write(**files), category="bot")
    assert kinds(plan) == dict.fromkeys(["PORT", "SLACK_BOT_TOKEN", "api.base", "api.on", "api.port"], "added")
    assert tenant.config.by_category("bot") == {
        "PORT": "3000",
        "SLACK_BOT_TOKEN": SecretStr("xoxb-1"),
        "api.base": None,
        "api.on": True,
        "api.port": 5300,
    }
    assert tenant.config.entry("SLACK_BOT_TOKEN").is_sensitive
    assert tenant.config.entry("PORT").updated_by == "U1"


def test_the_second_run_changes_nothing(tenant, write):
    settings = write(a_env="PORT=3000\nSLACK_BOT_TOKEN=xoxb-1\n", b_json='{"a": {"b": [1, 1.0, true]}, "c": null}')
    imported(tenant, settings)
    before = tenant.config.list(), len(tenant.audit.recent(limit=100))
    again = imported(tenant, settings)
    assert (again.changes, again.count("unchanged")) == ([], 4)
    assert (tenant.config.list(), len(tenant.audit.recent(limit=100))) == before


def test_only_what_differs_makes_a_version(tenant, write):
    imported(tenant, write(a_json='{"a": 1, "b": 1, "api_key": "x"}'))
    plan = imported(tenant, write(a_json='{"a": 1.0, "b": 1, "api_key": "y", "c": 2}'))
    assert kinds(plan) == {"a": "changed", "api_key": "changed", "b": "unchanged", "c": "added"}
    assert {one.key: one.version for one in tenant.config.list()} == {"a": 2, "api_key": 2, "b": 1, "c": 1}


def test_what_is_sensitive_is_said_by_the_rule_by_hand_and_by_what_it_was(tenant, write):
    tenant.config.set("was", "x", is_sensitive=True)
    settings = write(a_json='{"was": "x", "TOKEN": "x", "PUBLIC_KEY": "x", "note": "x"}')
    plan = imported(tenant, settings, sensitive=["note"], not_sensitive=["PUBLIC_KEY"])
    assert {one.key for one in tenant.config.list() if one.is_sensitive} == {"was", "TOKEN", "note"}
    assert kinds(plan)["was"] == "unchanged"
    opened = imported(tenant, settings, not_sensitive=["PUBLIC_KEY", "was"])
    assert kinds(opened) == {"PUBLIC_KEY": "unchanged", "TOKEN": "unchanged", "note": "unchanged", "was": "changed"}
    assert tenant.config.get("was") == "x"


@pytest.mark.parametrize(
    ("options", "reason"),
    [({"sensitive": ["x"]}, "in no file"), ({"sensitive": ["a"], "not_sensitive": ["a"]}, "sensitive and not")],
)
def test_a_key_said_by_hand_must_be_there(tenant, write, options, reason):
    with pytest.raises(InvalidInput, match=reason):
        env.draw(tenant, write(a_env="a=1"), **options)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('{"a": 1,\n "b": {"c": 9223372036854775808}}', r"a\.json, line 2: b\.c: A whole number has 64 bits"),
        ('{"a": 1,\n "b": [NaN]}', r"a\.json, line 2: b\[0\]: JSON has no NaN"),
        ('{"a": 1,\n "b": "\\ud800"}', r"a\.json, line 2: b: Text cannot be stored"),
        ('{"a": 1,\n "b": "' + "x" * 300_000 + '"}', r"a\.json, line 2: b: A value has at most"),
    ],
    ids=range(4),
)
def test_a_value_that_cannot_be_stored_is_named_and_nothing_is_written(tenant, write, content, reason):
    plan = env.draw(tenant, write(a_json=content))
    for attempt in (env.rehearse, env.apply):
        with pytest.raises(SourceRefused, match=reason):
            attempt(tenant, plan)
    assert tenant.config.list() == []


def test_a_rehearsal_leaves_nothing_behind(tenant, write):
    events = len(tenant.audit.recent(limit=100))
    env.rehearse(tenant, env.draw(tenant, write(a_env="A=1")))
    assert (tenant.config.list(), len(tenant.audit.recent(limit=100))) == ([], events)


def test_who_changes_a_setting_meanwhile_wins(tenant, write):
    plan = env.draw(tenant, write(a_env="A=1\nB=1"))
    tenant.config.set("A", "2")
    with pytest.raises(VersionConflict):
        env.apply(tenant, plan)
    assert {one.key for one in tenant.config.list()} == {"A"}


def test_more_than_are_set_at_once(tenant, write):
    plan = imported(tenant, write(a_env="".join(f"K{number}=x\n" for number in range(1001))))
    assert plan.count("added") == 1001
    assert imported(tenant, [one.setting for one in plan.settings]).changes == []


def test_what_was_there_is_kept_first(tenant, store, engine, write, tmp_path):
    imported(tenant, write(a_env="A=1\nTOKEN=s3cret\nC=1"))
    plan = env.draw(tenant, write(a_env="A=2\nTOKEN=other\nC=1\nD=1"))
    path = tmp_path / f"kept{env.suffix(store)}"
    env.back_up(store, tenant, plan, path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert b"s3cret" not in path.read_bytes()
    env.apply(tenant, plan)
    with pytest.raises(AlreadyExists):
        env.back_up(store, tenant, plan, path)
    if engine == "sqlite":
        url = f"sqlite:///{tmp_path / 'back.db'}"
        with Store(url) as other:
            other.upkeep.restore(path, unauthenticated=True)
        with Store(url) as other:
            back = other.tenant(tenant.key).config
            assert (back.get("A"), back.get("TOKEN"), back.get("D")) == ("1", SecretStr("s3cret"), None)
    else:
        kept = json.loads(path.read_text())
        assert {one["key"]: one["value"] for one in kept["entries"]} == {"A": "1", "TOKEN": None}
        assert (kept["tenant"], kept["added"]) == (tenant.key, ["D"])
        assert tenant.config.rollback("TOKEN", kept["entries"][1]["version"]).version == 3
        assert tenant.config.get("TOKEN") == SecretStr("s3cret")
