"""Real questions with their SQL, asked one after another through the whole of it."""

import sqlite3
from uuid import uuid4

import pytest

from tests.results.corpus import Corpus, corpora, declined, form
from undercroft import Settings
from undercroft.results.rules import statement


@pytest.fixture
def roomy(open_store, colour, database_url):
    """A tenant with room for all of it."""
    store = open_store(colour, settings=Settings.load(database_url, max_cache_entries=10_000))
    name = f"slack:T{uuid4().hex}"
    store.tenants.ensure(name)
    return store.tenant(name)


@pytest.fixture(params=[corpus for corpus in corpora() if corpus.schemas], ids=lambda corpus: corpus.name)
def executable(request) -> Corpus:
    return request.param


@pytest.mark.parametrize("colour", ["sync"])
def test_the_hit_rate_is_what_distinct_normal_forms_predict(roomy, executable):
    databases = executable.databases()
    known, failures, hits = set(), {}, 0
    for database, question, sql in executable.pairs:

        def run(database=database, sql=sql):
            return databases[database].execute(sql).fetchall()

        try:
            with roomy.queries.record(question, sql=sql, database=database, user="U1") as recorded:
                answer = roomy.results.get_or_run(sql, run, database=database, rights="all", dialect="sqlite")
                recorded.rows = answer.value
        except sqlite3.Error as error:
            failures[recorded.id] = f"{type(error).__name__}: {error}"
            continue
        told = form(sql)
        assert answer.reason == statement(sql, "sqlite").reason
        if told:
            assert answer.hit == ((database, told) in known)
            known.add((database, told))
            hits += answer.hit
    stats = roomy.results.stats()
    assert (stats.entries, stats.hits, stats.misses) == (len(known), hits, len(known))
    [day] = roomy.results.efficiency()
    assert day.hit_rate == hits / (hits + len(known))
    assert hits >= 2
    assert {query.id: query.error for query in roomy.queries.history(status="failed", limit=1000)} == failures
    hours = roomy.queries.performance(hours=2)
    assert sum(hour.queries for hour in hours) == len(executable.pairs)
    assert sum(hour.errors for hour in hours) == len(failures)


def _tell_apart(tenant, pairs):
    forms, hits = set(), 0
    for database, _, sql in pairs:
        told = form(sql)
        answer = tenant.results.get_or_run(
            sql, lambda told=told: told, database=database, rights="all", dialect="sqlite"
        )
        assert answer.value == told
        if told:
            hits += (database, told) in forms
            forms.add((database, told))
    stats = tenant.results.stats()
    assert (stats.entries, stats.hits, stats.misses) == (len(forms), hits, len(forms))
    assert stats.uncacheable == sum(not form(sql) for _, _, sql in pairs)


@pytest.mark.parametrize("colour", ["sync"])
@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
@pytest.mark.parametrize("corpus", list(corpora()), ids=lambda corpus: corpus.name)
def test_statements_are_told_apart_whatever_they_answer(roomy, corpus):
    _tell_apart(roomy, corpus.pairs[:200])


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("colour", ["sync"])
@pytest.mark.parametrize("corpus", list(corpora()), ids=lambda corpus: corpus.name)
def test_statements_are_told_apart_at_length(roomy, corpus):
    _tell_apart(roomy, corpus.pairs)


def test_questions_that_have_no_answer_are_declined(tenant):
    questions = declined()
    for database, question in questions:
        tenant.queries.log(question, database=database, status="declined", error="not in our data")
    found = tenant.queries.history(status="declined", limit=1000)
    assert sorted((query.database, query.question) for query in found) == sorted(questions)
    assert sum(hour.declined for hour in tenant.queries.performance(hours=2)) == len(questions)
