"""Search text: one pure tokeniser feeds both engines, one parser their queries, so both find the same messages.

The engines only compare tokens. PostgreSQL gets a `tsvector` literal, SQLite's FTS5 the tokens joined by spaces under
`tokenize='ascii'`, which splits at ASCII characters other than letters and digits: no token contains one.
"""

from undercroft.core.searchtext.query import Query, Term, parse_query
from undercroft.core.searchtext.snippet import snippet
from undercroft.core.searchtext.tokeniser import SEARCH_VERSION, fts5_text, tokens, tsvector_text

__all__ = ["SEARCH_VERSION", "Query", "Term", "fts5_text", "parse_query", "snippet", "tokens", "tsvector_text"]
