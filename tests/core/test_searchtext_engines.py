# ruff: noqa: RUF001, SIM905 - characters that look alike are what is tested; one line of words reads as one
"""The same queries against a real FTS5 table, a real tsvector column and a naive reading of the token lists."""

import json
import random
import sqlite3
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from hypothesis import given, strategies as st

from tests import servers
from undercroft.core.searchtext import fts5_text, parse_query, tokens, tsvector_text

WORDS = "refund refunds policy the a of Order naïve Straße STRASSE don't foo_bar x1 42".split()
KANJI = "東京 東京都 京都 都 京 人々 データ ﾃﾞｰﾀ ガラス 日本語 タワー 한국어 𠮷野家 か\u309a".split()
SPECIAL = r"""' " \ :* & | ! <-> ( ) - -- * NOT AND NEAR(a,2) {a}: ^ % '' \' a'b ';DROP ﬁ ① ſ ❤️""".split()
SPECIAL += ["\u200b", "\u0301", "\x07", "\0", "é\u0323", "\ufe0f", "\ud800"]
GLUE = ["", " ", " ", " ", "\n", "、", "-", "_", "/"]


def generated(seed, count, most):
    """Texts that repeat few words in many ways, so that phrases and prefixes hit by chance."""
    draw = random.Random(seed)
    for number in range(count):
        words = [WORDS, KANJI, WORDS + KANJI, WORDS + KANJI + SPECIAL][number % 4]
        yield "".join(draw.choice(words) + draw.choice(GLUE) for _ in range(draw.randint(1, most)))


def queries(seed, count):
    draw = random.Random(seed)
    for text in generated(seed, count, 3):
        before = draw.choice(["", "", "", "-", '"', '-"', "the "])
        yield before + text.strip() + draw.choice(["", "", "*", '"', '"*', " -a", " x*"])


VECTORS = json.loads(Path(__file__).with_name("vectors").joinpath("searchtext.json").read_text("utf-8"))["vectors"]
GOTHIC = str.maketrans("0123456789", "".join(map(chr, range(0x10330, 0x1033A))))
SIZES = [
    "again " * 300 + "refund policy",
    " ".join(f"{number:064}" for number in range(5_000)).translate(GOTHIC),  # four bytes a letter: the widest tsvector
    " ".join(f"{number:030}" for number in range(8_100)).translate(GOTHIC),
    " ".join(f"{number:04}" + "д" * 60 for number in range(8_100)),
    "東京都" * 4_000 + "refund",
]
TEXTS = [*generated(1, 400, 12), *(text for text, _ in VECTORS), *SIZES, ""]
QUERIES = [
    *dict.fromkeys(
        [
            *queries(2, 400),
            *WORDS,
            *KANJI,
            *SPECIAL,
            *(text for text, _ in VECTORS),
            *('"' + text + '"' for text in generated(3, 40, 2)),
            '"policy again"',
            '"again refund"',
            " ".join(f"w{number}" for number in range(200)),
            "refund " + " ".join(f"-w{number}" for number in range(200)),
            '"' + "東京都" * 80 + '"',
            "-" * 50 + "a " + '"' * 51,
        ]
    )
]


class Fts5:
    """An FTS5 table as search keeps it."""

    def __init__(self, texts):
        self.connection = sqlite3.connect(":memory:")
        self.connection.execute("CREATE VIRTUAL TABLE document USING fts5 (tokens, tokenize='ascii')")
        rows = ((number, fts5_text(tokens(text))) for number, text in enumerate(texts))
        self.connection.executemany("INSERT INTO document (rowid, tokens) VALUES (?, ?)", rows)

    def close(self):
        self.connection.close()

    def hits(self, query):
        asked = "SELECT rowid FROM document WHERE document MATCH ?"
        return {row for (row,) in self.connection.execute(asked, [query.fts5()])}

    def vocabulary(self):
        self.connection.execute("CREATE VIRTUAL TABLE IF NOT EXISTS vocabulary USING fts5vocab (document, instance)")
        found = self.connection.execute('SELECT doc, "offset", term FROM vocabulary ORDER BY doc, "offset"')
        rows: dict[int, list[str]] = {}
        for doc, _, term in found:
            rows.setdefault(doc, []).append(term)
        return rows


class Tsvector:
    """A table with a tsvector column under a GIN index, in a transaction that is never committed."""

    def __init__(self, connection, texts):
        self.connection = connection
        connection.execute("CREATE TEMPORARY TABLE document (id int, tokens tsvector)")
        with connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO document SELECT %s, %s::text::tsvector",
                [(number, tsvector_text(tokens(text))) for number, text in enumerate(texts)],
            )
        connection.execute("CREATE INDEX ON document USING gin (tokens)")

    def hits(self, queries, *, by_index):
        self.connection.execute(f"SET LOCAL enable_seqscan = {'off' if by_index else 'on'}")
        self.connection.execute(f"SET LOCAL enable_bitmapscan = {'on' if by_index else 'off'}")
        asked = "SELECT id FROM document WHERE tokens @@ %s::text::tsquery"
        return [{row for (row,) in self.connection.execute(asked, [query.tsquery()])} for query in queries]

    def vocabulary(self):
        instances = """
            SELECT id, position, lexeme
            FROM document, unnest(tokens) AS t (lexeme, positions, weights), unnest(positions) AS position
            ORDER BY id, position"""
        rows: dict[int, list[str]] = {}
        for number, position, lexeme in self.connection.execute(instances):
            row = rows.setdefault(number, [])
            assert position == len(row) + 1
            row.append(lexeme)
        return rows


@pytest.fixture(scope="module", params=servers.names("postgresql"))
def postgresql(request):
    with psycopg.connect(servers.url(request.param)) as connection:
        connection.execute("SET client_min_messages = error")  # an empty tsquery is told about in a NOTICE
        yield Tsvector(connection, TEXTS)
        connection.rollback()


@pytest.fixture(scope="module")
def fts5():
    with closing(Fts5(TEXTS)) as engine:
        yield engine


def stands(row, term):
    """Whether a term stands anywhere in a row of tokens."""
    *whole, last = term.tokens
    fits = str.startswith if term.prefix else str.__eq__
    places = range(len(row) - len(whole))
    return any(fits(row[at + len(whole)], last) and row[at : at + len(whole)] == whole for at in places)


def expected(rows, query):
    wanted, excluded = query.wanted, [term for term in query.terms if term.excluded]
    return {
        number
        for number, row in enumerate(rows)
        if wanted and all(stands(row, term) for term in wanted) and not any(stands(row, term) for term in excluded)
    }


def test_both_engines_hold_exactly_our_tokens_at_our_positions(fts5, postgresql):
    ours = {number: row for number, text in enumerate(TEXTS) if (row := tokens(text))}
    assert fts5.vocabulary() == ours
    assert postgresql.vocabulary() == ours


def test_both_engines_and_the_plain_reading_hit_the_same_texts(fts5, postgresql):
    asked = [parse_query(text) for text in QUERIES]
    rows = [tokens(text) for text in TEXTS]
    plain = [expected(rows, query) for query in asked]
    assert [fts5.hits(query) for query in asked] == plain
    assert postgresql.hits(asked, by_index=False) == plain
    assert postgresql.hits(asked, by_index=True) == plain


def test_the_comparison_has_hits_and_misses_of_every_kind(fts5):
    """A corpus in which nothing is found would prove nothing."""
    hits = [(query, len(fts5.hits(query))) for query in map(parse_query, QUERIES)]
    terms = [(term, found) for query, found in hits for term in query.terms]
    assert sum(0 < found < len(TEXTS) for _, found in hits) > 150
    assert sum(found == 0 for _, found in hits) > 20
    assert any(term.prefix and len(term.tokens) > 1 and found for term, found in terms)
    assert any(term.excluded and len(term.tokens) > 1 and found for term, found in terms)
    assert any(len(term.tokens) > 3 and found for term, found in terms)


@given(
    st.lists(st.text(st.sampled_from("ab 東京都、"), max_size=8), min_size=1),
    st.text(st.sampled_from('ab東京都 "-*'), max_size=8),
)
def test_fts5_reads_any_small_query_as_the_plain_reading_does(texts, asked):
    query = parse_query(asked)
    with closing(Fts5(texts)) as engine:
        assert engine.hits(query) == expected([tokens(text) for text in texts], query)


@given(
    st.text(st.sampled_from("東京都の々ー"), min_size=1, max_size=8),
    st.text(st.sampled_from("東京都の々ー"), min_size=1, max_size=3),
)
def test_a_word_of_cjk_is_found_exactly_in_the_texts_that_contain_it(text, word):
    with closing(Fts5([f"the {text}!"])) as engine:
        assert engine.hits(parse_query(word)) == ({0} if word in text else set())
