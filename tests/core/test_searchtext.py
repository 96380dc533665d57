# ruff: noqa: RUF001 - full-width characters are what is tested
import json
import re
from pathlib import Path
from unicodedata import category, normalize

import pytest
from hypothesis import given, strategies as st

from undercroft.core.searchtext import (
    SEARCH_VERSION,
    Query,
    Term,
    fts5_text,
    parse_query,
    snippet,
    tokens,
    tsvector_text,
)
from undercroft.core.searchtext.located import located
from undercroft.core.searchtext.query import MAX_QUERY_TOKENS
from undercroft.core.searchtext.tokeniser import CJK_RUN, cut, marks

VECTORS = json.loads(Path(__file__).with_name("vectors").joinpath("searchtext.json").read_text("utf-8"))
EVERY = [*range(0x40000), *range(0xE0000, 0xE1000)]  # the other planes are empty or private

anything = st.text(st.characters(codec=None), max_size=30)
# characters that meet in NFKC, casefolding or the rules of CJK
awkward = st.text(
    st.sampled_from(
        "aZ9_- \n\t.'\"*éß\u0301\u0323\u0345ﬁ①½İΣᾳ\u00ad\ufe0f\U000e0100\u180b❤👍\U0001f3fd\u20e3"
        "東京々〇ー・゙゚ヽガがｶﾞﾊﾟ㍿\U00020bb7カ゚ㄱㅏ한\u1112\u1161\u11abﾡￂ\u0e31\u0e2a\u094d\u200c\u200d\ufdfa\0\ud800＊－“"
    ),
    max_size=14,
)
latin_or_cjk = st.text(st.sampled_from("ab 東京都の"), max_size=12)


@pytest.mark.parametrize(("text", "expected"), VECTORS["vectors"], ids=ascii)
def test_tokens_are_frozen_under_their_version(text, expected):
    assert VECTORS["search_version"] == SEARCH_VERSION
    assert tokens(text) == expected


@given(anything | awkward)
def test_no_token_holds_what_an_engine_could_split_fold_or_have_to_quote(text):
    for token in tokens(text):
        assert re.fullmatch(r"[a-z0-9\x80-\U0010ffff]{1,64}", token)
        assert all(category(char)[0] in "LNM" or CJK_RUN.fullmatch(char) for char in token)


def test_every_character_alone_keeps_that_promise():
    held = {char for code in EVERY for token in cut(chr(code)) for char in token}
    assert {char for char in held if char.isascii()} == set("abcdefghijklmnopqrstuvwxyz0123456789")
    assert {category(char)[0] for char in held if not CJK_RUN.fullmatch(char)} == {"L", "N", "M"}
    missing = [code for code in EVERY if category(chr(code))[0] in "LN" and not cut(chr(code))]
    assert missing == []


def test_the_class_of_marks_holds_every_mark():
    mark = re.compile(f"[{marks()}]")
    every = [code for code in EVERY if category(chr(code))[0] == "M"]
    assert [code for code in EVERY if mark.fullmatch(chr(code))] == every


@given(anything | awkward)
def test_width_and_case_do_not_matter(text):
    assert cut(normalize("NFKC", text)) == cut(text)
    if text.isascii():
        assert cut(text.upper()) == cut(text)


@given(st.text(st.characters(max_codepoint=127), max_size=40))
def test_the_fast_path_gives_what_the_full_rules_give(text):
    assert [*cut(text), "é"] == cut(f"{text} é")


@given(st.text(st.sampled_from("東京都のタワー々한국"), min_size=1, max_size=8))
def test_a_run_of_cjk_becomes_its_pairs_and_its_last_character(run):
    *pairs, last = tokens(run)
    assert pairs == [run[at : at + 2] for at in range(len(run) - 1)]
    assert last == run[-1]


def test_a_token_is_cut_at_64_characters():
    assert tokens("x" * 70 + " " + "é" * 70 + " next") == ["x" * 64, "é" * 64, "next"]


def test_a_text_keeps_255_of_each_token_and_8000_in_all():
    assert tokens("again " * 300 + "end") == ["again"] * 255 + ["end"]
    assert tokens(" ".join(map(str, range(9_000)))) == [str(number) for number in range(8_000)]
    long = [f"{number:04}" + "é" * 60 for number in range(5_000)]
    assert tokens(" ".join(long)) == long[:3_750]


def test_marks_without_end_take_no_time_without_end():
    zalgo = "e" + "\u0323\u0301" * 500_000  # normalising that many takes minutes
    assert tokens(zalgo + " next") == [normalize("NFKC", "e" + "\u0323\u0301" * 15), "next"]
    assert parse_query(zalgo).terms == (Term((tokens(zalgo)[0],)),)
    assert tokens("ｶ" + "ﾞ\u0323" * 500_000) == tokens("ｶ" + "ﾞ\u0323" * 15)
    assert tokens("-" * 40 + "end") == ["end"]


def test_a_character_keeps_30_marks():
    assert tokens("x" + "\u0301" * 40) == ["x" + "\u0301" * 30]
    assert located("x" + "\u0301" * 40)[0] == ["x" + "\u0301" * 30]


def test_the_forms_of_both_engines():
    assert fts5_text(["a", "東京", "a"]) == "a 東京 a"
    assert tsvector_text(["a", "東京", "a"]) == "'a':1 '東京':2 'a':3"


def terms(text):
    return [
        ("-" if term.excluded else "") + " ".join(term.tokens) + ("*" if term.prefix else "")
        for term in parse_query(text).terms
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("refund policy", ["refund", "policy"]),
        ("Refund refund", ["refund"]),
        ('"refund policy" now', ["refund policy", "now"]),
        ('"refund policy', ["refund policy"]),
        ('now"refund policy"later', ["now", "refund policy", "later"]),
        ('-draft -"not yet" --old', ["-draft", "-not yet", "-old"]),
        ('pre* "two wor"* "x y*"', ["pre*", "two wor*", "x y"]),
        ("foo_bar well-known don't a*b", ["foo bar", "well known", "don t", "a b"]),
        ("https://ex.com/a", ["https ex com a"]),
        ("AND OR NOT NEAR(a b)", ["and", "or", "not", "near a", "b"]),
        ("東京", ["東京"]),
        ("東京都", ["東京 京都"]),
        ("京 -都", ["京*", "-都*"]),
        ("東京tower tower京", ["東京 京 tower", "tower 京*"]),
        ('"東京 都"', ["東京 京 都*"]),
        ("ＡＢＣ　－“東　京”＊", ["abc", "-東 京*"]),
        ("“curly quotes”", ["curly quotes"]),
        ("", []),
        ('* - " "" -"" ( ) : ^ \' \\ \0 <-> & | !', []),
    ],
)
def test_what_a_query_means(text, expected):
    assert terms(text) == expected


def test_the_expressions_of_both_engines():
    query = parse_query('refund -"not yet" pre* -old "a b"')
    assert query.fts5() == '("refund" AND "pre" * AND "a b") NOT ("not yet" OR "old")'
    assert query.tsquery() == "'refund' & !('not' <-> 'yet') & 'pre':* & !'old' & ('a' <-> 'b')"
    assert parse_query("東京都 京").fts5() == '"東京 京都" AND "京" *'


@pytest.mark.parametrize("text", ["", "-only", "!?", '-"a b" -c'])
def test_a_query_without_a_wanted_term_is_empty(text):
    query = parse_query(text)
    assert query.empty
    assert (query.fts5(), query.tsquery()) == ('""', "")
    assert not parse_query(text + " x").empty


def test_a_long_query_is_searched_by_its_beginning():
    words = [f"w{number}" for number in range(MAX_QUERY_TOKENS + 9)]
    assert terms(" ".join(words)) == words[:MAX_QUERY_TOKENS]
    assert terms('"' + " ".join(words) + '"*') == [" ".join(words[:MAX_QUERY_TOKENS])]
    assert terms('x -"' + " ".join(words) + '"') == ["x"]  # excluding less is safe, excluding more is not
    assert len(parse_query("東" * 5_000).terms[0].tokens) == MAX_QUERY_TOKENS


@given(anything | awkward)
def test_a_query_never_raises(text):
    query = parse_query(text)
    assert isinstance(query.fts5(), str)
    assert isinstance(query.tsquery(), str)
    assert isinstance(snippet(text, query), str)


@pytest.mark.parametrize("text", [text for text, _ in VECTORS["vectors"]], ids=ascii)
def test_locating_finds_the_same_tokens(text):
    assert located(text)[0] == cut(text)


@given(awkward)
def test_every_token_is_located_where_it_stands(text):
    names, place = located(text)
    assert names == cut(text)
    for number, token in enumerate(names):
        start, end = place(number)
        assert 0 <= start < end <= len(text)
        assert token in "".join(cut(text[start:end]))


@pytest.mark.parametrize(
    ("text", "query", "expected"),
    [
        ("The Refund\n\n  Policy", "refund policy", "The [Refund] [Policy]"),
        ("refund policy, policy", '"refund policy"', "[refund] [policy], policy"),
        ("keep this, not that", "this -that", "keep [this], not that"),
        ("prefixes only", "pre*", "[prefixes] only"),
        ("ﬁne CAFÉ cafe\u0301 ｈｅｌｌｏ", "fine café hello", "[ﬁne] [CAFÉ] [cafe\u0301] [ｈｅｌｌｏ]"),
        ("foo_bar", "foo-bar", "[foo]_[bar]"),
        ("❤️world", "world", "❤️[world]"),
        ("これは東京都です", "東京", "これは[東京]都です"),
        ("これは東京都です", "東京都", "これは[東京都]です"),
        ("これは東京都です", "京", "これは東[京]都です"),
        ("これは東京都", "都", "これは東京[都]"),
        ("東京tower", "東京tower", "[東京tower]"),
        ("ｶﾞﾗｽと㍿", "ガラス 会社", "[ｶﾞﾗｽ]と[㍿]"),
        ("㍿", "株", "[㍿]"),
        ("nothing of it", "absent", "nothing of it"),
        ("", "absent", ""),
        ("x" * 70, "x" * 70, "[" + "x" * 70 + "]"),
    ],
)
def test_matched_words_are_marked(text, query, expected):
    assert snippet(text, parse_query(query)) == expected


def test_the_window_holds_the_most_matches():
    text = "policy policy policy " + "and so on " * 20 + "the refund   policy holds " + "and so on " * 20
    assert snippet(text, parse_query("policy refund"), width=30) == "…on the [refund] [policy] holds…"
    assert snippet(text, parse_query("policy"), width=30).startswith("[policy] [policy] [policy] and")
    assert snippet(text, parse_query("absent"), width=30) == "policy policy policy and so on…"
    assert snippet(text, parse_query("refund"), width=24, mark=("<b>", "</b>")) == "…on the <b>refund</b> policy…"


def test_cjk_is_cut_anywhere_but_not_off_its_marks():
    assert snippet("これは東京都の天気予報です。" * 3, parse_query("天気"), width=8) == "…京都の[天気]予報で…"
    assert snippet("葛\U000e0100" * 30, parse_query("absent"), width=7) == "葛\U000e0100" * 3 + "…"


def test_a_word_longer_than_the_window_is_cut():
    url = "https://example.com/" + "x" * 99 + "/refund/" + "y" * 99
    shown = snippet(url, parse_query("refund"), width=40)
    assert "/[refund]/" in shown
    assert shown.startswith("…")
    assert shown.endswith("…")
    assert len(shown) == 40 + len("……[]")


@given(
    st.lists(st.sampled_from(["refund", "Policy", "naïve", "東京都", "x" * 30, "\n", "a,b"]), max_size=40),
    st.integers(1, 60),
)
def test_a_snippet_is_a_part_of_the_text_no_longer_than_asked(words, width):
    text = " ".join(words)
    query = parse_query("refund 京都 pol*")
    bare = snippet(text, query, width=width, mark=("", "")).strip("…")
    assert len(bare) <= width
    assert bare in " ".join(text.split())
    marked = snippet(text, query, width=width, mark=("\x01", "\x02"))
    assert marked.count("\x01") == marked.count("\x02")
    assert "\x01" in marked or not {"refund", "Policy", "東京都"} & set(words)
    assert marked.replace("\x01", "").replace("\x02", "").strip("…") == bare


@given(latin_or_cjk, st.text(st.sampled_from("ab東京都の"), min_size=1, max_size=4))
def test_a_snippet_marks_something_exactly_where_the_query_hits(text, word):
    query = parse_query(word)
    assert ("[" in snippet(text, query, width=200)) == bool(occurrences(tokens(text), query.terms[0]))


def occurrences(row, term):
    size = len(term.tokens)
    return [
        at
        for at in range(len(row) - size + 1)
        if all(
            row[at + index].startswith(token) if term.prefix and index == size - 1 else row[at + index] == token
            for index, token in enumerate(term.tokens)
        )
    ]


def test_a_query_is_a_plain_value():
    assert parse_query("a -b") == Query((Term(("a",)), Term(("b",), excluded=True)))
    assert hash(parse_query("a")) == hash(parse_query("A"))
