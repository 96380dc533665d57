"""Files of configuration as settings: what they say, on which line, and what is wrong with them."""

import os
from pathlib import Path
from typing import Any

import pytest

from undercroft.errors import InvalidInput, SourceRefused
from undercroft.importers.env import looks_secret, read_file, read_files

SAMPLES = Path(os.environ.get("UNDERCROFT_TEST_DATA", Path(__file__).parents[4] / "shared" / "data")) / "config"


def read(folder: Path, name: str, content: str | bytes) -> dict[str, tuple[int, Any]]:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return {one.key: (one.line, one.value.get_secret_value()) for one in read_file(path)}


def values(found: dict[str, tuple[int, Any]]) -> dict[str, Any]:
    return {key: value for key, (_, value) in found.items()}


ENV = """\ufeff# What people write
SERVER_PORT=3001
JWT_SECRET="random" # at least 12 characters
SIG_KEY='passphrase' # also

AUTH0_DOMAIN= # your domain, i.e.: auth.example.com
EMPTY=
export SPACED = 15
HASH=#novalue
URL=mongodb://admin:admin@mongodb:27017
PAIR=1:1
LINES="first
second"
ESCAPED="tab\\there"
BASE=${HOME}/data
LAST=end"""


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_env_file_as_people_write_it(tmp_path: Path, newline: str):
    found = read(tmp_path, ".env", ENV.replace("\n", newline))
    assert found == {
        "SERVER_PORT": (2, "3001"),
        "JWT_SECRET": (3, "random"),
        "SIG_KEY": (4, "passphrase"),
        "AUTH0_DOMAIN": (6, ""),
        "EMPTY": (7, ""),
        "SPACED": (8, "15"),
        "HASH": (9, "#novalue"),
        "URL": (10, "mongodb://admin:admin@mongodb:27017"),
        "PAIR": (11, "1:1"),
        "LINES": (12, f"first{newline}second"),
        "ESCAPED": (14, "tab\there"),
        "BASE": (15, "${HOME}/data"),
        "LAST": (16, "end"),
    }


JSON = """{
    "model": "deepseek",
    "agent": true, "steps": 20, "random": 0.0, "base": null,
    "linkai": {
        "group_app_map": {"测试群1": "default"},
        "summary": {"enabled": true, "type": ["FILE", {"a": 1}]},
        "empty": {}
    },
    "check-words": "\\ud83d\\ude00 \\"{nickname}\\""
}"""
YAML = """\
model: deepseek  # the model
agent: true
steps: 20
random: 0.0
base: null
linkai:
    group_app_map: {测试群1: default}
    summary:
        enabled: yes
        type:
        - FILE
        - a: 1
    empty: {}
check-words: '😀 "{nickname}"'
"""
NESTED = {
    "model": "deepseek",
    "agent": True,
    "steps": 20,
    "random": 0.0,
    "base": None,
    "linkai.group_app_map": {"测试群1": "default"},
    "linkai.summary.enabled": True,
    "linkai.summary.type": ["FILE", {"a": 1}],
    "linkai.empty": {},
    "check-words": '😀 "{nickname}"',
}


@pytest.mark.parametrize(("name", "content"), [("c.json", JSON), ("config.json.template", JSON), ("c.yaml", YAML)])
def test_nested_files_are_joined_by_dots_and_keep_their_types(tmp_path: Path, name: str, content: str):
    found = values(read(tmp_path, name, content))
    assert found == NESTED
    assert {key: type(value) for key, value in found.items()} == {key: type(value) for key, value in NESTED.items()}


def test_a_setting_stands_on_its_own_line(tmp_path: Path):
    assert {key: line for key, (line, _) in read(tmp_path, "c.json", JSON).items()}["linkai.summary.type"] == 6
    assert {key: line for key, (line, _) in read(tmp_path, "c.yml", YAML).items()}["linkai.summary.type"] == 10


def test_what_yaml_reads_as_something_else_is_as_written(tmp_path: Path):
    found = values(read(tmp_path, "c.yaml", "day: 2024-01-02\n8080: web\non: 1\nmode: 0644\nempty: ''\nt: 12e3\n"))
    assert found == {"day": "2024-01-02", "8080": "web", "on": 1, "mode": 420, "empty": "", "t": "12e3"}
    assert read(tmp_path, "empty.yaml", "# nothing\n") == {}
    assert read(tmp_path, "empty.env", "\n# nothing\n") == {}


BOMB = "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n"
REFUSED = [
    (".env", "A=1\n\nB='x\n", "line 3: it is no KEY=value"),
    (".env", "A=1\nsome text\n", "line 2: it is no KEY=value"),
    (".env", "A=1\nB\n", "line 2: it is no KEY=value"),
    (".env", "A=1\nB=2\n\nA=3\n", "line 4: A is there twice, first on line 1"),
    (".env", "A=1\nB(x)=s3cret\n", "line 2: its name cannot be a key"),
    (".env", "A=1\nA..B=2\n", "line 2: its name cannot be a key"),
    (".env", f"{'A' * 201}=1\n", "line 1: its name cannot be a key"),
    (".env", b"A=1\nB=caf\xe9\n", "line 2: it is not UTF-8"),
    (".env", b"A=1\nB=\0\n", "line 2: there is a NUL in it"),
    (".env", "A=1\n".encode("utf-16"), "line 1: it is UTF-16"),
    (".env", b"A=1\n" * 300_000, "it has more than 1,048,576 bytes"),
    ("c.json", '{"a": 1,\n "a": 2}', "line 2: 'a' is there twice, first on line 1"),
    ("c.json", '{"a": {"b": 1},\n "a.b": 2}', "line 2: a.b is there twice, first on line 1"),
    ("c.json", '{"a": 1,\n}', "line 2: it is no JSON: a name in double quotes is missing"),
    ("c.json", '{"a": 1\n "b": 2}', "line 2: it is no JSON: a comma is missing"),
    ("c.json", '{"a"\n 1}', "line 2: it is no JSON: a colon is missing"),
    ("c.json", '{"a": \n}', "line 2: it is no JSON: a value is missing"),
    ("c.json", '{"a": "b\n"}', "line 1: it is no JSON: Invalid control character"),
    ("c.json", "[1]", "line 1: it is no object"),
    ("c.json", "", "line 1: it is no JSON"),
    ("c.json", '{"a": ' * 5000, "it is nested too deeply"),
    ("c.json", '{"a": ' + "9" * 5000 + "}", "a number in it is too long"),
    ("c.json", '{"a": 1,\n "b c": 2}', "line 2: its name cannot be a key"),
    ("c.yaml", "a: 1\nb: 2\na: 3\n", "line 3: 'a' is there twice, first on line 1"),
    ("c.yaml", "a: 1\n\tb: 2\n", "line 2: it is no YAML"),
    ("c.yaml", "a: [1\nb: 2\n", "line 2: it is no YAML"),
    ("c.yaml", "a: 1\n---\nb: 2\n", "line 2: it is no YAML"),
    ("c.yaml", BOMB, "line 1: anchors and aliases are not read"),
    ("c.yaml", "a: 1\nb: *a\n", "line 2: anchors and aliases are not read"),
    ("c.yaml", "a: 1\nb: !!python/object/apply:os.system [ls]\n", "line 2: tags such as"),
    ("c.yaml", "a: !!binary aGk=\n", "line 1: tags such as"),
    ("c.yaml", "a: 1\n? [b]\n: 2\n", "line 2: a name is a single word"),
    ("c.yaml", "- a\n", "line 1: it is no mapping"),
    ("c.yaml", "a: " + "[" * 5000 + "]" * 5000, "it is nested too deeply"),
    ("c.yaml", "a: 1\nb: \x07\n", "line 2: a character in it may not be in YAML"),
]


@pytest.mark.parametrize(("name", "content", "reason"), REFUSED, ids=range(len(REFUSED)))
def test_a_file_that_cannot_be_read_is_named_with_line_and_reason(tmp_path: Path, name, content, reason):
    with pytest.raises(SourceRefused) as caught:
        read(tmp_path, name, content)
    assert caught.value.message.startswith(str(tmp_path / name))
    assert reason in caught.value.message
    assert "s3cret" not in str(caught.value)


def test_a_file_that_is_not_there_or_tells_no_format(tmp_path: Path):
    with pytest.raises(SourceRefused, match="cannot be read"):
        read_file(tmp_path / ".env")
    with pytest.raises(InvalidInput, match="--format"):
        read(tmp_path, "settings.ini", "A=1")
    assert [one.key for one in read_file(tmp_path / "settings.ini", file_format="env", prefix="bot.")] == ["bot.A"]


def test_two_files_may_not_set_the_same(tmp_path: Path):
    for name in (".env", ".env.local"):
        (tmp_path / name).write_text("B=1\nA=1\n")
    with pytest.raises(SourceRefused, match=r"\.env.local, line 1: B is set in .*\.env, line 1 too"):
        read_files([tmp_path / ".env", tmp_path / ".env.local"])


def test_no_value_is_shown(tmp_path: Path):
    (tmp_path / ".env").write_text("A=s3cret\n")
    assert "s3cret" not in repr(read_file(tmp_path / ".env"))


SECRET = {
    "OPENAI_API_KEY": "x",
    "SLACK_APP_TOKEN": "",
    "jwtSecret": "x",
    "apiKey": "x",
    "DBPASSWORD": "x",
    "SIG_SALT": "x",
    "smtp.password": 12345,
    "secrets.slack": "x",
    "SENTRY_DSN": "x",
    "MONGODB_URI": "mongodb://admin:admin@mongodb:27017",
    "REDIS": "redis://:secret@host/0",
    "note": "use xoxb-1234-abcd",
    "model": "sk-abcdefghijklmnopqrstuv",
    "pem": "-----BEGIN PRIVATE KEY-----\nMII",
    "providers": [{"name": "a", "api_key": "x"}],
    "api_keys": ["x"],
}
OPEN = {
    "max_tokens": 4096,
    "KEYBOARD": "qwertz",
    "MONKEY": "x",
    "use_api_key": True,
    "PORT": "3000",
    "API_URL": "https://api.example.com/v1",
    "MONGODB_DB_USERNAME": "admin",
    "tokenizer": "x",
    "openai_api_base": None,
    "keywords": ["a"],
    "map": {"测试群": "default"},
}


@pytest.mark.parametrize(("key", "value"), SECRET.items(), ids=SECRET.keys())
def test_what_looks_secret(key: str, value: Any):
    assert looks_secret(key, value)


@pytest.mark.parametrize(("key", "value"), OPEN.items(), ids=OPEN.keys())
def test_what_does_not(key: str, value: Any):
    assert not looks_secret(key, value)


@pytest.mark.parametrize("text", ["x" * 300_000, "x://" * 75_000, "x://:" * 60_000, "a:" * 150_000], ids=range(4))
def test_a_long_value_is_looked_at_at_once(text: str):
    """It took minutes where each place could begin an address: the timeout of the tests is the limit."""
    assert not looks_secret("note", text)


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the collected samples are not on this machine")
def test_every_collected_sample_is_read():
    found = {path.name: read_file(path) for path in sorted(SAMPLES.iterdir())}
    assert len(found) >= 12
    assert all(found.values())
    telegram = {one.key: one.value.get_secret_value() for one in found["chatgpt_telegram_bot.config.example.yml"]}
    assert (telegram["openai_api_base"], telegram["new_dialog_timeout"]) == (None, 600)
    herald = {one.key: one.value.get_secret_value() for one in found["dataherald.engine.env.example"]}
    assert (herald["OPENAI_API_KEY"], herald["ONLY_STORE_CSV_FILES_LOCALLY"]) == ("", "False")
