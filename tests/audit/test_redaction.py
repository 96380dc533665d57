"""What never gets into the trail, and what must not be taken out of it."""

import pytest
from hypothesis import given, strategies as st

from undercroft import Settings, Store
from undercroft.audit.redaction import REDACTED, is_sensitive, redacted, redacted_text

SENSITIVE = [
    *("password", "Password", "userPassword", "db_passwd", "passphrase", "secret", "client_secret", "clientSecret"),
    *("token", "accessToken", "access_token", "refresh-token", "authorization", "Authorization", "X-Api-Key", "apiKey"),
    *(
        "api_key",
        "apikey",
        "private_key",
        "AWS_SECRET_ACCESS_KEY",
        "session_key",
        "cookie",
        "Set-Cookie",
        "credentials",
    ),
    *("pwd", "pin", "otp", "auth", "connection_string", "DB_PASSWORD", "bot token"),
]
HARMLESS = [
    *(
        "name",
        "tokens",
        "max_tokens",
        "input_tokens",
        "token_count",
        "tokens_used",
        "key",
        "keyboard",
        "author",
        "pinned",
    ),
    *("spinner", "option", "authored_by", "n", "", "monkey", "compass", "hotkey"),
]
# In parts, so that nobody's scanner takes them for real ones.
TOKENS = [
    "xoxb-" + "1234567890-abcdef",
    "xapp-" + "1-A0000-12345678",
    "AKIA" + "IOSFODNN7EXAMPLE",
    "eyJ" + "hbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
    "ghp_" + "0123456789abcdefghijklmnop",
    "github_pat_" + "0123456789abcdefghijklmnop",
    "glpat-" + "0123456789abcdefghij",
    "sk-" + "0123456789abcdefghijkl",
    "sk_live_" + "0123456789abcdef",
    "AIza" + "SyA0123456789abcdefghijklmnopqrstu",
    "https://hooks.slack.com/services/" + "T000/B000/XXXX",
    "Bearer " + "0123456789abcdefgh",
    "Basic " + "dXNlcjpwYXNzd29yZDE=",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----",
    "-----BEGIN PRIVATE KEY-----\nMIIE",
]
ORDINARY = [
    "SELECT token FROM accounts WHERE id = 1",
    "postgresql://db/bots",
    "https://example.org/a:b@c",
    "task-force meeting at 10:30",
    "eyJ is how it begins",
    "risk-0123456789-assessment",
    "Bearer of bad news",
]


@pytest.mark.parametrize("name", SENSITIVE)
def test_what_bears_the_name_of_a_secret_is_taken_out(name):
    assert is_sensitive(name)
    assert redacted({"deep": [{name: "hunter2"}]}) == {"deep": [{name: REDACTED}]}
    assert redacted({name: {"inner": 1}}) == {name: REDACTED}
    assert redacted({name: None}) == {name: None}


@pytest.mark.parametrize("name", HARMLESS, ids=repr)
def test_other_names_are_left(name):
    assert not is_sensitive(name)


@pytest.mark.parametrize("token", TOKENS, ids=range(len(TOKENS)))
def test_tokens_of_known_forms_are_taken_out_of_any_text(token):
    assert redacted_text(f"before {token}").startswith("before ")
    for part in token.split("\n"):
        if not part.startswith("https"):
            assert part not in redacted_text(f"before {token}")
    assert REDACTED in redacted_text(token)


def test_a_password_in_an_address_is_taken_out():
    assert redacted_text("postgresql://bot:hunter2@db/bots") == f"postgresql://{REDACTED}@db/bots"


@pytest.mark.parametrize("text", ORDINARY, ids=range(len(ORDINARY)))
def test_ordinary_text_is_left(text):
    assert redacted_text(text) is text


def test_names_of_the_users_own():
    assert redacted({"ssn": "1", "Home Address": "x", "n": 1}, frozenset({"ssn", "home_address"})) == {
        "ssn": REDACTED,
        "Home Address": REDACTED,
        "n": 1,
    }


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3),
    max_leaves=12,
)


@given(JSON)
def test_redacting_twice_is_redacting_once_and_changes_nothing_in_place(value):
    before = repr(value)
    once = redacted(value)
    assert redacted(once) == once
    assert repr(value) == before


def test_nothing_of_a_secret_reaches_the_file(tmp_path):
    path = tmp_path / "bot.db"
    with Store(settings=Settings.load(f"sqlite:///{path}", audit_redact="ssn, Home-Address")) as store:
        audit = store.default.audit
        event = audit.log(
            "login",
            description=f"with {TOKENS[0]}",
            user_agent=f"curl {TOKENS[2]}",
            data={"password": "hunter2", "ssn": "078-05-1120", "home_address": "Elm Street", "note": TOKENS[3]},
        )
        assert event.data == dict.fromkeys(["password", "ssn", "home_address", "note"], REDACTED)
        assert audit.recent() == [event]
        assert audit.verify().intact
    written = b"".join(file.read_bytes() for file in tmp_path.glob("bot.db*"))
    for secret in ("hunter2", "078-05-1120", "Elm Street", TOKENS[0], TOKENS[2], TOKENS[3]):
        assert secret.encode() not in written
