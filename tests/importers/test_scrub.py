"""What imported values lose: keys in links, and text and numbers that no database holds."""

import json
import math

import pytest
from hypothesis import given, strategies as st

from undercroft.importers.quarantine import Quarantined
from undercroft.importers.scrub import Scrubber, without_keys, without_tokens

ANY_TEXT = st.text(st.characters(codec=None, categories=None, exclude_categories=[]))
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4),
    max_leaves=15,
)


@pytest.mark.parametrize(
    ("link", "kept"),
    [
        (
            "https://files.slack.com/files-pri/T1-F1/a.png?t=xoxe-123-abc",
            "https://files.slack.com/files-pri/T1-F1/a.png",
        ),
        ("https://files.slack.com/a.png?t=1&w=2&token=x#top", "https://files.slack.com/a.png?w=2#top"),
        ("https://files.slack.com/a.png?pub_secret=0123abcdef", "https://files.slack.com/a.png"),
        (
            "https://acme.slack.com/files/U1/F1/a.png?pub_secret=12&amp;w=1",
            "https://acme.slack.com/files/U1/F1/a.png?w=1",
        ),
        ("https://slack-files.com/T061A2UFL-F061AT0CX-0a1b2c3d4e", "https://slack-files.com/T061A2UFL-F061AT0CX"),
        ("https://slack-files.com/files-pri/T1-F1/x?pub_secret=1", "https://slack-files.com/files-pri/T1-F1/x"),
        ("https://example.com/hook?key=xoxb-1-2-abc&a=1", "https://example.com/hook?a=1"),
        ("https://example.com/xoxp-1-2-abc/path", "https://example.com/REDACTED/path"),
        ("HTTPS://FILES.SLACK.COM/a?T=1", "HTTPS://FILES.SLACK.COM/a"),
    ],
)
def test_keys_are_cut_from_links(link, kept):
    assert without_keys(link) == kept
    assert without_keys(f"see <{link}|label> and (more)") == f"see <{kept}|label> and (more)"


@pytest.mark.parametrize(
    "text",
    [
        "https://youtu.be/LY7x2Ihqjmc?t=1m6s",
        "https://acme.slack.com/archives/C1/p1?thread_ts=1.2&amp;cid=C1",
        "https://example.com/?token=public#t=1",
        "https://notslack.com.example/?t=1 https://evilslack.com/?t=1",
        "my password is xoxo-love",
        "?t=xoxb-1 is no link, and text is kept verbatim",
    ],
)
def test_everything_else_is_kept(text):
    assert without_keys(text) == text


@given(ANY_JSON)
def test_a_clean_value_can_be_stored_and_is_clean(value):
    scrubber = Scrubber()
    clean = scrubber.clean(json.loads(json.dumps(value)))
    text = json.dumps(clean, ensure_ascii=False, allow_nan=False)
    text.encode()  # no lone surrogate
    assert "\\u0000" not in text
    assert all(abs(number) <= 1 << 53 for number in integers(clean))
    counted = scrubber.replaced
    assert scrubber.clean(json.loads(json.dumps(clean))) == clean
    assert scrubber.replaced == counted


def integers(value):
    match value:
        case bool():
            pass
        case int():
            yield value
        case list():
            for item in value:
                yield from integers(item)
        case dict():
            for item in value.values():
                yield from integers(item)


def test_what_is_replaced_is_counted_and_what_is_fine_is_not():
    scrubber = Scrubber()
    assert scrubber.clean({"a": "x\0y", "b": ["\ud800", "😀 日本語"], "c\0": 1}) == {
        "a": "x\ufffdy",
        "b": ["\ufffd", "😀 日本語"],
        "c\ufffd": 1,
    }
    assert scrubber.replaced >= 3
    assert scrubber.clean([1 << 53, (1 << 53) + 1, -(1 << 60), 1.5, math.inf, True]) == [
        *(1 << 53, "9007199254740993", "-1152921504606846976", 1.5, "inf", True)
    ]


@given(st.text(max_size=3000), st.integers(0, 5000))
def test_an_excerpt_is_short_and_holds_no_token(text, at):
    token = "xoxb-123456789012-abcdefghijkl"
    record = (text[:at] + " " + token + " " + text[at:]).encode()
    excerpt = Quarantined.of("x.json", 7, "because", record).record_text
    assert len(excerpt) <= 2000
    assert "xoxb-1" not in excerpt


def test_an_excerpt_loses_keys_whose_slashes_are_escaped():
    record = rb'{"url": "https:\/\/files.slack.com\/a?pub_secret=0123abcd"}'
    assert Quarantined.of("x", 0, "r", record).record_text == '{"url": "https://files.slack.com/a"}'
    assert without_tokens("token: xoxp-1-2-3, xapp-1-A-2-b") == "token: REDACTED, REDACTED"
