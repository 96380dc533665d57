"""Search: every engine finds what a plain reading of the texts finds, and in the same order."""

import random
from dataclasses import replace
from datetime import UTC, datetime
from itertools import product

import pytest

from undercroft import errors
from undercroft.archive import AttachmentRecord, ChannelRecord, MessageRecord, ReactionRecord, UserRecord
from undercroft.core.clock import from_slack_ts
from undercroft.core.searchtext import parse_query, tokens

BASE = 1_600_000_000
WORDS = "refund refunds policy order naïve Straße don't the a of x1 42".split()  # noqa: SIM905
KANJI = "東京 東京都 京都 都 データ ﾃﾞｰﾀ ガラス 日本語 タワー 한국어".split()  # noqa: SIM905
SPECIAL = r"""' " \ :* & | ! <-> ( ) - -- * NOT AND OR NEAR(a,2) {a}: ^ % _ '' \' a'b ';DROP tenant:x body:""".split()  # noqa: SIM905


def said(number, text, **fields):
    native_id = f"{BASE + number}.000000"
    return MessageRecord(
        **{
            "channel": "C1",
            "native_id": native_id,
            "author": "U1",
            "text": text,
            "sent_at": from_slack_ts(native_id),
            **fields,
        }
    )


def corpus(count):
    """Texts that repeat few words in many ways, so that phrases and prefixes hit by chance."""
    draw = random.Random(7)
    for number in range(count):
        words = [WORDS, KANJI, WORDS + KANJI, WORDS + KANJI + SPECIAL][number % 4]
        text = "".join(draw.choice(words) + draw.choice([" ", " ", "\n", "、", "-", ""]) for _ in range(9))
        yield said(
            number,
            text if number % 5 else "",
            plain="plainly a reader's " + draw.choice(words) if number % 6 == 0 else None,
            search_words=draw.choice(words) if number % 3 == 0 else "",
            channel=f"C{number % 2}",
            author=None if number % 17 == 0 else f"U{number % 3}",
            attachments=(AttachmentRecord(native_id="F", kind="file"),) if number % 4 == 0 else (),
            links=("https://x",) if number % 7 == 0 else (),
            reactions=(ReactionRecord(emoji="x", count=1),) if number % 9 == 0 else (),
        )


CORPUS = list(corpus(240))
QUERIES = [
    *WORDS,
    *KANJI,
    "refund policy",
    '"refund policy"',
    '"policy of"',
    "refund -policy",
    'refund -"refund policy"',
    "ref*",
    "東",
    "東京 -京都",
    "東京 data*",
    "STRASSE",
    "データ",
    "plainly reader",
    "nothing-like-it",
]


def holds(one, query):
    """A plain reading: whether a message is a hit."""
    shown = one.text if one.plain is None else one.plain
    row = tokens(f"{shown}\n{one.search_words}")

    def stands(term):
        *whole, last = term.tokens
        fits = str.startswith if term.prefix else str.__eq__
        return any(
            fits(row[at + len(whole)], last) and row[at : at + len(whole)] == whole
            for at in range(len(row) - len(whole))
        )

    return all(stands(term) is not term.excluded for term in query.terms)


def hits(query, keep=lambda one: True):
    parsed = parse_query(query)
    found = [one for one in CORPUS if holds(one, parsed) and keep(one)]
    return [one.native_id for one in sorted(found, key=lambda one: one.sent_at, reverse=True)]


def native(found):
    return [hit.native_id for hit in found]


@pytest.fixture
def archive(new_tenant):
    other, tenant = new_tenant(), new_tenant()
    other.archive.save_messages(CORPUS)  # the same words next door
    tenant.archive.save_users([UserRecord(native_id="U1", name="ada", display_name="Ada")])
    tenant.archive.save_channels([ChannelRecord(native_id="C1", name="general", kind="public")])
    for start in range(0, len(CORPUS), 100):
        tenant.archive.save_messages(CORPUS[start : start + 100][::-1])
    return tenant.archive


def test_hits_are_those_of_a_plain_reading_newest_first(archive):
    found = {query: native(archive.search(query, limit=1000)) for query in QUERIES}
    assert found == {query: hits(query) for query in QUERIES}
    assert sum(map(bool, found.values())) > len(QUERIES) - 4, "a corpus in which nothing is found would prove nothing"


def test_ranked_the_hits_are_the_same(archive):
    for query in QUERIES:
        found = archive.search(query, order="rank", limit=1000)
        assert sorted(native(found), reverse=True) == hits(query)
        ranks = [hit.rank for hit in found]
        assert ranks == sorted(ranks, reverse=True)
        assert all(rank > 0 for rank in ranks)


def test_the_best_comes_first_when_ranked(tenant):
    tenant.archive.save_messages(
        [
            said(0, "refund refund refund"),
            *(said(number, "order and a refund, and much more that is said beside it") for number in range(1, 4)),
            *(said(number, "nothing of it") for number in range(4, 20)),
        ]
    )
    assert native(tenant.archive.search("refund", order="rank"))[0] == f"{BASE}.000000"
    assert native(tenant.archive.search("refund", order="rank", limit=1)) == [f"{BASE}.000000"]


FILTERS = [
    ({"author": "U1"}, lambda one: one.author == "U1"),
    ({"author": "U9"}, lambda one: False),
    ({"channel": "C0"}, lambda one: one.channel == "C0"),
    ({"has": ["file"]}, lambda one: bool(one.attachments)),
    ({"has": ("link",)}, lambda one: bool(one.links)),
    ({"has": ["reaction", "link"]}, lambda one: bool(one.reactions and one.links)),
    ({"since": CORPUS[100].sent_at}, lambda one: one.sent_at >= CORPUS[100].sent_at),
    ({"until": CORPUS[100].sent_at}, lambda one: one.sent_at < CORPUS[100].sent_at),
    (
        {"since": CORPUS[50].sent_at, "until": CORPUS[150].sent_at, "author": "U2", "channel": "C1", "has": ["file"]},
        lambda one: (
            CORPUS[50].sent_at <= one.sent_at < CORPUS[150].sent_at
            and (one.author, one.channel, bool(one.attachments)) == ("U2", "C1", True)
        ),
    ),
]


def test_every_filter_holds_before_the_limit(archive):
    for (filters, keep), query in product(FILTERS, ("refund", "東京", "the")):
        wanted = hits(query, keep)
        assert native(archive.search(query, limit=1000, **filters)) == wanted
        assert native(archive.search(query, limit=3, **filters)) == wanted[:3]
        assert sorted(native(archive.search(query, limit=1000, order="rank", **filters)), reverse=True) == wanted


def test_pages_follow_one_another(archive):
    found, before = [], None
    while page := archive.search("refund", limit=7, before=before):
        found += native(page)
        before = page[-1].id
    assert found == hits("refund")


def test_special_characters_never_raise(archive):
    for query in [*SPECIAL, *(f'"{sign}' for sign in SPECIAL), "a" * 3000, "refund " * 500, '"' * 99, "\ud800", "x\0y"]:
        if parse_query(query).empty:
            with pytest.raises(errors.InvalidInput):
                archive.search(query)
        else:
            assert native(archive.search(query, limit=1000)) == hits(query)
        assert native(archive.search(f"refund {query}", limit=1000)) == hits(f"refund {query}")


@pytest.mark.parametrize("query", ["", "  ", "-refund", "!?", '""', "*"])
def test_a_query_without_a_word_is_refused(tenant, query):
    with pytest.raises(errors.InvalidInput) as refused:
        tenant.archive.search(query)
    assert refused.value.field == "query"


@pytest.mark.parametrize(
    ("field", "options"),
    [
        ("has", {"has": ["picture"]}),
        ("order", {"order": "oldest"}),
        ("limit", {"limit": 0}),
        ("limit", {"limit": 1001}),
        ("since", {"since": datetime(2020, 1, 1)}),  # noqa: DTZ001
        ("before", {"before": from_slack_ts("1"), "order": "rank"}),
    ],
)
def test_a_wrong_option_is_refused(tenant, field, options):
    with pytest.raises(errors.InvalidInput) as refused:
        tenant.archive.search("refund", **options)
    assert refused.value.field == field


def test_a_hit_tells_where_and_who_and_shows_why(archive, tenant):
    tenant.archive.save_users([UserRecord(native_id="U1", name="ada", display_name="Ada")])
    tenant.archive.save_channels([ChannelRecord(native_id="C1", name="general", kind="public")])
    tenant.archive.save_messages(
        [
            said(0, "<@U2>: our 返品ポリシー is kind", plain="@bob: our 返品ポリシー is kind", thread=f"{BASE}.000000"),
            said(1, "see the file", search_words="quarterly figures", author="W1", author_name="webhook"),
            said(2, "from a ghost", author="U7", channel="C9"),
        ]
    )
    [hit] = tenant.archive.search("返品")
    assert (hit.channel, hit.channel_name, hit.author, hit.author_name) == ("C1", "general", "U1", "Ada")
    assert (hit.text, hit.snippet) == ("@bob: our 返品ポリシー is kind", "@bob: our [返品]ポリシー is kind")
    assert (hit.kind, hit.rank, hit.thread_id) == ("message", 0, hit.id)
    assert hit.sent_at == datetime.fromtimestamp(BASE, UTC)
    [hit] = tenant.archive.search('"quarterly figures"', order="rank")
    assert (hit.author, hit.author_name) == ("W1", "webhook")
    assert "[quarterly] [figures]" in hit.snippet
    assert hit.rank > 0
    [hit] = tenant.archive.search("ghost")
    assert (hit.author_name, hit.channel_name) == ("U7", "C9")


def test_an_edit_is_found_by_its_new_words_only(tenant):
    first = said(0, "old words")
    tenant.archive.save_messages([first])
    second = replace(first, text="new phrase", edited_at=from_slack_ts(f"{BASE + 60}"))
    tenant.archive.save_messages([second])
    tenant.archive.save_messages([first])
    assert tenant.archive.search("old") == []
    assert native(tenant.archive.search('"new phrase"')) == [first.native_id]


def test_a_message_without_words_becomes_one_with(tenant):
    first = said(0, "", attachments=(AttachmentRecord(native_id="F", kind="file"),))
    tenant.archive.save_messages([first, said(1, "!!!")])
    assert tenant.archive.search("plan") == []
    tenant.archive.edit("C1", first.native_id, text="plan")
    assert native(tenant.archive.search("plan", has=["file"])) == [first.native_id]
    tenant.archive.edit("C1", first.native_id, text="?")
    assert tenant.archive.search("plan") == []


def test_a_thousand_messages_of_one_millisecond(tenant):
    """On SQLite they crowd the places of that millisecond."""
    crowd = [replace(said(0, "crowd"), native_id=f"{BASE}.000{number:03}") for number in range(1000)]
    crowd = [replace(one, sent_at=from_slack_ts(one.native_id)) for one in crowd]
    tenant.archive.save_messages(crowd[::2])
    tenant.archive.save_messages(crowd)
    found, before = [], None
    while page := tenant.archive.search("crowd", limit=90, before=before):
        found += native(page)
        before = page[-1].id
    assert sorted(found) == sorted(one.native_id for one in crowd)
    for one in crowd[:50]:
        tenant.archive.delete("C1", one.native_id)
    assert len(tenant.archive.search("crowd", limit=1000)) == 950
