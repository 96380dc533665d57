import pytest
from hypothesis import given, strategies as st

from undercroft.archive.records import MentionRecord
from undercroft.importers.slack.markup import links_in, mentions_in, plain_text, web_address

NAMES = {"U1": "Ann Lee", "C1": "général", "S1": "night-shift"}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("<@U1> hi", "@Ann Lee hi"),
        ("<@U1|ann> hi", "@Ann Lee hi"),
        ("<@U9|ann> hi", "@ann hi"),
        ("<@U9>", "@U9"),
        ("<#C1> <#C1|old-name> <#C9|lost> <#C9|> <#C9>", "#général #général #lost #C9 #C9"),
        ("<!here> <!channel> <!everyone|everyone> <!here|@here>", "@here @channel @everyone @here"),
        ("<!subteam^S1|@nights> <!subteam^S1> <!subteam^S9>", "@nights @night-shift @S9"),
        ("<!date^1392734382^{date}|18 Feb 2014> <!foo>", "18 Feb 2014 @foo"),
        ("<https://a.example/x?a=1&amp;b=2>", "https://a.example/x?a=1&b=2"),
        ("<https://a.example|the page>", "the page (https://a.example)"),
        ("<http://a.example|a.example> <https://a.example|https://a.example>", "http://a.example https://a.example"),
        (
            "<mailto:a@b.example|a@b.example> <mailto:a@b.example|Ann> <tel:+49|+49>",
            "a@b.example Ann (a@b.example) +49",
        ),
        ("1 &lt; 2 &amp;&amp; 3 &gt; 2", "1 < 2 && 3 > 2"),
        ("&amp;lt; stays an entity", "&lt; stays an entity"),
        ("<not markup> < > <> a <b", "<not markup> < > <> a <b"),
        ("```if a &lt; b: <https://x.example>```", "```if a < b: https://x.example```"),
        ("こんにちは <@U1> さん", "こんにちは @Ann Lee さん"),
    ],
)
def test_a_text_as_a_reader_sees_it(text, shown):
    assert plain_text(text, NAMES) == shown


def test_mentions_of_both_eras_are_found():
    text = (
        "<@U1|ann> <@U2> <@B3> <#C1|x> <!here> <!subteam^S1|@x> <!date^1^x|y> <https://a.example|@U9> &lt;@U8&gt; <@me>"
    )
    assert [(found.kind, found.native_id) for found in mentions_in(text)] == [
        ("user", "U1"),
        ("user", "U2"),
        ("user", "B3"),
        ("channel", "C1"),
        ("everyone", "here"),
        ("group", "S1"),
    ]


def test_links_are_web_addresses_only():
    text = (
        "<https://a.example/?a=1&amp;b=2|a> <mailto:a@b.example> <javascript:alert(1)|x> <http://b.example> https://c"
    )
    assert list(links_in(text)) == ["https://a.example/?a=1&b=2", "http://b.example"]
    assert web_address("javascript://%0aalert(1)") is None
    assert web_address(None) is None


@given(st.text(st.sampled_from("<>|@#!^&;:Ua1\n "), max_size=60))
def test_no_text_is_too_odd(text):
    plain_text(text)
    assert all(isinstance(found, MentionRecord) for found in mentions_in(text))
    assert all(link.startswith("http") for link in links_in(text))


@given(st.text(st.characters(codec="utf-8", exclude_characters="<&")))
def test_text_without_markup_stays_as_it_is(text):
    assert plain_text(text) == text
