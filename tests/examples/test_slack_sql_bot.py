"""The example of a text-to-SQL bot: a real Bolt application over HTTP, before a stand-in of Slack."""

import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from uuid import uuid4
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import pytest
from slack_bolt.adapter.wsgi import SlackRequestHandler
from slack_bolt.authorization import AuthorizeResult
from slack_sdk import WebClient

from examples import slack_sql_bot
from examples.slack_sql_bot import Bot, slack_app
from tests.examples.slack import SECRET, Slack
from tests.results.corpus import Corpus, corpora, declined, form

EXAMPLE = Path(slack_sql_bot.__file__)
CITIES = "SELECT city, sum(euro) AS revenue FROM sales GROUP BY city ORDER BY revenue DESC"
SAID = "```\ncity   revenue\nTurku  160\nOulu   75\n```\nRows: 2"

pytestmark = pytest.mark.parametrize("colour", ["sync"])  # Bolt's usual form


class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@dataclass
class Running:
    """A bot that runs, and Slack before it."""

    slack: Slack
    bot: Bot
    app: Any
    address: str

    def mention(self, question: str, **told: Any) -> int:
        """Deliver a mention of the bot."""
        return self.slack.deliver(self.address, mention(self.slack, question, **told))

    def ask(self, question: str, **told: Any) -> str:
        """Mention the bot and wait for its answer."""
        before = len(self.slack.said())
        assert self.mention(question, **told) == 200
        return self.slack.wait(before + 1)[before]["text"]

    def tenant(self, team: str | None = None) -> Any:
        return self.bot.store.tenant(f"slack:{team or next(iter(self.slack.teams.values()))}")

    def allow(self, user: str, *databases: str, team: str | None = None, as_user: str = "reader") -> None:
        tenant = self.tenant(team)
        self.bot.store.tenants.ensure(tenant.key)
        tenant.users.map_database(user, database_user=as_user, allowed_databases=databases)

    def settle(self) -> None:
        """Wait for all that it has begun."""
        self.app.listener_runner.listener_executor.shutdown(wait=True)


NUMBERS = count(1)


def mention(slack: Slack, question: str, **told: Any) -> dict[str, Any]:
    number = next(NUMBERS)
    team = told.pop("team", None) or next(iter(slack.teams.values()))
    event_id = told.pop("event_id", f"Ev{number:09}")
    event = {"type": "app_mention", "user": "U1", "text": f"<@UBOT{team}> {question}", "ts": f"17000.{number:06}"}
    event |= {"channel": "C1", "event_ts": f"17000.{number:06}", **told}
    outer = {"token": "x", "team_id": team, "api_app_id": "A1", "type": "event_callback", "event_time": 17000}
    return {**outer, "event": event, "event_id": event_id, "authorizations": []}


@pytest.fixture
def slack() -> Iterator[Slack]:
    teams = {f"xoxb-{number}": f"T{uuid4().hex[:10].upper()}" for number in (1, 2)}
    with Slack(teams) as one:
        yield one


@pytest.fixture
def start(slack, store, tmp_path, monkeypatch) -> Iterator[Callable[..., Running]]:
    """Starts bots: on the first workspace's token, or with ``teams`` on each one's."""
    monkeypatch.delenv("SLACK_BOT_TOKEN", raising=False)
    running: list[tuple[Running, WSGIServer]] = []

    def begin(
        *, teams: bool = False, databases: dict[str, str] | None = None, store: Any = store, **own: Any
    ) -> Running:
        def authorize(team_id: str, **_: Any) -> AuthorizeResult:
            told = {"bot_id": f"B{team_id}", "bot_user_id": f"UBOT{team_id}", "bot_token": slack.token(team_id)}
            return AuthorizeResult(enterprise_id=None, team_id=team_id, **told)

        client = WebClient(None if teams else next(iter(slack.teams)), base_url=slack.url)
        bot = Bot(store, databases or {"shop": shop(tmp_path / "shop.db"), "hr": shop(tmp_path / "hr.db", 1000)}, **own)
        bolt = {"authorize": authorize} if teams else {}
        app = slack_app(bot, client=client, signing_secret=SECRET, **bolt)
        server = make_server("127.0.0.1", 0, SlackRequestHandler(app), Server, Quiet)
        threading.Thread(target=server.serve_forever, args=[0.02], daemon=True).start()
        one = Running(slack, bot, app, f"http://127.0.0.1:{server.server_port}/slack/events")
        running.append((one, server))
        return one

    yield begin
    for one, server in running:
        server.shutdown()
        server.server_close()
        one.settle()


def shop(path: Path, more: int = 0) -> str:
    if not path.exists():
        with closing(sqlite3.connect(path)) as made, made:
            made.execute("CREATE TABLE sales (city, euro)")
            rows = [("Turku", 120 + more), ("Oulu", 75), ("Turku", 40)]
            made.executemany("INSERT INTO sales VALUES (?, ?)", rows)
    return str(path)


def test_a_question_is_answered_in_its_thread_and_kept(start):
    running = start()
    running.allow("U1", "shop")
    assert running.ask(CITIES, ts="17000.1") == SAID
    assert running.ask("And?", ts="17000.2", thread_ts="17000.1") == "Sorry, I cannot answer that from `shop`."
    where = [(message["channel"], message["thread_ts"]) for message in running.slack.said()]
    assert where == [("C1", "17000.1")] * 2
    assert [call.given["user"] for call in running.slack.calls if call.method == "users.info"] == ["U1"]
    tenant = running.tenant()
    [_, query] = tenant.queries.history()
    assert (query.user, query.question, query.sql, query.database) == ("U1", CITIES, CITIES, "shop")
    assert (query.status, query.row_count) == ("success", 2)
    assert query.session_id == tenant.sessions.active("U1", channel="C1").id
    assert tenant.users.get("U1").name == "u1"
    assert [one.actor for one in tenant.audit.recent() if one.event_type == "question.ask"] == ["U1", "U1"]


def test_whoever_asks_second_with_the_same_rights_gets_the_cached_answer(start):
    asked = []
    running = start(ask_warehouse=lambda *given: asked.append(given) or slack_sql_bot.ask_warehouse(*given))
    running.allow("U1", "shop")
    running.allow("U2", "shop")
    running.allow("U3", "shop", as_user="auditor")
    assert running.ask(CITIES) == running.ask(CITIES.replace("sum", "SUM") + ";", user="U2") == SAID
    assert len(asked) == 1
    stats = running.tenant().results.stats()
    assert (stats.hits, stats.misses, stats.entries) == (1, 1, 1)
    assert running.ask(CITIES, user="U3") == SAID  # other rights: a run and an entry of their own
    assert [login.database_user for _, _, login in asked] == ["reader", "auditor"]
    stats = running.tenant().results.stats()
    assert (stats.hits, stats.misses, stats.entries) == (1, 2, 2)


def test_whoever_may_not_ask_is_told_so_and_it_is_in_the_audit_trail(start):
    running = start()
    running.allow("U1", "hr")
    for user in ("U1", "U9"):
        assert "you may not ask `shop`" in running.ask(CITIES, user=user)
    tenant = running.tenant()
    denied = {(one.actor, one.data["database"], one.data["reason"]) for one in tenant.audit.failures()}
    reasons = ("the database is not among those allowed", "the user has no mapping")
    assert denied == {("U1", "shop", reasons[0]), ("U9", "shop", reasons[1])}
    assert tenant.queries.history() == []
    assert "may not" in running.ask("use shop")
    assert "I know no `payroll`, only shop, hr" in running.ask("use payroll")


def test_sql_that_fails_is_recorded_with_its_error(start):
    running = start()
    running.allow("U1", "shop")
    assert running.ask("SELECT mood FROM sales") == "`shop` refused: no such column: mood"
    [query] = running.tenant().queries.history()
    assert (query.status, query.error, query.row_count) == ("failed", "no such column: mood", None)


def test_a_question_without_an_answer_is_declined(start):
    running = start()
    running.allow("U1", "shop")
    assert running.ask("What is love?") == "Sorry, I cannot answer that from `shop`."
    [query] = running.tenant().queries.history()
    assert (query.status, query.sql, query.error) == ("declined", None, "no SQL for this question")


def test_a_query_that_takes_too_long_is_cancelled(start, monkeypatch):
    monkeypatch.setattr(slack_sql_bot, "SECONDS", 0)
    running = start()
    running.allow("U1", "shop")
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
    assert running.ask(endless) == "`shop` took too long."
    [query] = running.tenant().queries.history()
    assert (query.status, query.error) == ("cancelled", "interrupted")


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    "sql", ["WITH x AS (SELECT 1) DELETE FROM sales", "WITH x AS (SELECT 1) SELECT * FROM pragma_table_info('sales')"]
)
def test_the_warehouse_is_only_read(start, sql):
    running = start()
    running.allow("U1", "shop")
    assert running.ask(sql) == "`shop` refused: not authorized"
    assert running.ask(CITIES) == SAID
    with pytest.raises(sqlite3.DatabaseError, match="not authorized"):
        slack_sql_bot.ask_warehouse(running.bot.databases["shop"], "ATTACH '/etc/passwd' AS x", None)


def test_a_model_that_fails_is_recorded_and_apologised_for(start, caplog):
    def broken(question: str, database: str) -> str:
        raise ConnectionError("the model is not there")

    running = start(write_sql=broken)
    running.allow("U1", "shop")
    assert running.ask("Revenue?").startswith("Something is broken on my side")
    assert "was not answered" in caplog.text
    [query] = running.tenant().queries.history()
    assert (query.status, query.error) == ("failed", "ConnectionError: the model is not there")


def test_a_session_keeps_its_database_over_a_restart(start, open_store, database_url):
    first = start()
    first.allow("U1", "shop", "hr")
    assert first.ask("use hr") == "From now on I ask `hr` here."
    first.settle()
    first.bot.store.close()
    second = start(store=open_store("sync", database_url))
    assert second.ask("SELECT max(euro) AS most FROM sales") == "```\nmost\n1120\n```\nRows: 1"
    assert second.ask("SELECT max(euro) AS most FROM sales", channel="C2") == "```\nmost\n120\n```\nRows: 1"
    assert [one.database for one in second.tenant().queries.history()] == ["shop", "hr"]


def test_an_event_delivered_three_times_is_answered_once(start):
    running = start()
    running.allow("U1", "shop")
    event = mention(running.slack, CITIES)
    assert [running.slack.deliver(running.address, event, retry=number) for number in range(3)] == [200] * 3
    running.slack.wait(1)
    running.settle()
    assert [message["text"] for message in running.slack.said()] == [SAID]
    tenant = running.tenant()
    assert len(tenant.queries.history()) == 1
    assert len([one for one in tenant.audit.recent() if one.event_type == "question.ask"]) == 1


def test_deliveries_at_once_to_two_processes_are_answered_once(start, open_store, database_url):
    bots = [start(), start(store=open_store("sync", database_url))]
    bots[0].allow("U1", "shop")
    event = mention(bots[0].slack, CITIES)
    threads = [
        threading.Thread(target=bot.slack.deliver, args=[bot.address, event], kwargs={"retry": number})
        for number in range(4)
        for bot in bots
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    bots[0].slack.wait(1)
    for bot in bots:
        bot.settle()
    assert len(bots[0].slack.said()) == len(bots[0].tenant().queries.history()) == 1


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_without_the_key_each_delivery_is_answered(start, monkeypatch):
    """The control of the two tests above."""
    from undercroft import TenantScope

    monkeypatch.setattr(TenantScope, "idempotent", lambda self, key: self)
    running = start()
    running.allow("U1", "shop")
    event = mention(running.slack, CITIES)
    for number in range(3):
        running.slack.deliver(running.address, event, retry=number)
    assert len(running.slack.wait(3)) == 3


def test_two_workspaces_never_see_each_others_answers(start):
    asked = []
    running = start(teams=True, ask_warehouse=lambda *given: asked.append(given) or slack_sql_bot.ask_warehouse(*given))
    one, other = running.slack.teams.values()
    running.allow("U1", "shop", team=one)
    running.allow("U1", "shop", team=other)
    running.allow("U2", "shop", team=one)
    event = mention(running.slack, CITIES, team=one)
    for team in (one, other):  # the same event id as well
        running.slack.deliver(running.address, {**event, "team_id": team})
    running.slack.wait(2)
    assert len(asked) == 2
    assert "may not" in running.ask(CITIES, user="U2", team=other)
    running.ask("use hr", team=one)
    for team in (one, other):
        tenant = running.tenant(team)
        assert len(tenant.queries.history()) == len(tenant.sessions.list(user="U1")) == 1
        assert (tenant.results.stats().hits, tenant.results.stats().misses) == (0, 1)
    assert [len(running.slack.said(team)) for team in (one, other)] == [2, 2]


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    "wrong",
    [{"secret": "another"}, {"sent_at": time.time() - 3600}],
    ids=["the secret of somebody else", "an hour ago"],
)
def test_what_slack_has_not_signed_is_refused(start, wrong):
    running = start()
    running.allow("U1", "shop")
    event = mention(running.slack, CITIES)
    assert running.slack.deliver(running.address, event, **wrong) == 401
    running.settle()
    assert running.slack.said() == running.tenant().queries.history() == []


def test_a_direct_message_and_a_command_are_questions_too(start):
    running = start()
    running.allow("U1", "shop")
    direct = {"type": "message", "channel_type": "im", "channel": "D1", "text": CITIES}
    assert running.ask("", **direct) == SAID
    for other in ({"channel_type": "channel"}, {"bot_id": "B9"}, {"subtype": "message_changed"}):
        assert running.mention("", **{**direct, **other}) == 200
    command = {"command": "/ask", "text": CITIES, "user_id": "U1", "channel_id": "C7", "trigger_id": "13345224609.738"}
    command |= {"team_id": next(iter(running.slack.teams.values())), "response_url": running.slack.url + "response"}
    assert running.slack.deliver(running.address, command, form=True) == 200
    running.slack.wait(2)
    running.settle()
    assert [message["text"] for message in running.slack.said()] == [SAID, SAID]
    assert [query.session_id is not None for query in running.tenant().queries.history()] == [True, True]


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_slack_may_say_that_it_is_too_much(start):
    running = start(teams=True)
    running.allow("U1", "shop")
    running.slack.limited = 2
    assert running.ask(CITIES) == SAID


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_cells_cannot_break_out_of_the_table(start):
    running = start()
    running.allow("U1", "shop")
    said = running.ask("SELECT '<!channel> ``` a\nb' AS x, NULL, x'00ff' UNION ALL SELECT 1, 2.5, 'é'")
    assert said.count("```") == 2
    assert "<" not in said
    assert "&lt;!channel&gt; ''' a b" in said
    many = running.ask("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 5000) SELECT i FROM n")
    assert many.endswith("10\n```\nRows: 1000, the first 10 shown")


@pytest.fixture(params=[corpus for corpus in corpora() if corpus.schemas], ids=lambda corpus: corpus.name)
def corpus(request) -> Corpus:
    return request.param


def test_real_questions_end_as_their_sql_says(start, corpus, tmp_path):
    warehouses = {}
    for name, made in corpus.databases().items():
        warehouses[name] = str(tmp_path / f"{name}.sqlite")
        with closing(made), closing(sqlite3.connect(warehouses[name])) as kept:
            made.commit()  # or the copy waits for it without end
            made.backup(kept)
    name = max(warehouses, key=lambda one: sum(database == one for database, _, _ in corpus.pairs))
    pairs = {question: sql for database, question, sql in corpus.pairs if database == name}
    unanswerable = [question for _, question in declined() if question not in pairs]
    running = start(databases=warehouses, write_sql=lambda question, _: pairs.get(question))
    running.allow("U1", "*")
    running.allow("U2", "*")
    for user in ("U1", "U2"):
        running.ask(f"use {name}", user=user)
        for question in [*list(pairs)[:15], *unanswerable[:3]]:
            running.ask(question, user=user)
    expected, seen, hits = [], set(), 0
    for question in list(pairs)[:15] * 2:
        sql = pairs[question]
        hits += bool(form(sql)) and form(sql) in seen
        try:
            rows = slack_sql_bot.ask_warehouse(warehouses[name], sql, None)["rows"]
            expected.append((question, "success", len(rows), None))
            seen.add(form(sql))
        except sqlite3.Error as error:
            expected.append((question, "failed", None, str(error)))
    expected += [(question, "declined", None, "no SQL for this question") for question in unanswerable[:3] * 2]
    tenant = running.tenant()
    history = tenant.queries.history(limit=1000)
    told = [(query.question, query.status, query.row_count, query.error) for query in history]
    assert sorted(map(repr, told)) == sorted(map(repr, expected))
    assert tenant.results.stats().hits == hits > len(expected) / 3
    assert {one.user: (one.queries, one.errors) for one in tenant.queries.activity()} == {
        user: (len(expected) / 2, sum(status == "failed" for _, status, _, _ in expected) / 2) for user in ("U1", "U2")
    }


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_the_example_is_short_and_its_demonstration_runs(store):
    assert len(EXAMPLE.read_text().splitlines()) < 150
    demo = EXAMPLE.with_name("slack_sql_demo.py")
    ended = subprocess.run([sys.executable, demo], check=True, capture_output=True, text=True, timeout=60)
    assert ended.stdout.count("Turku  160") == 2
    for word in ("refused", "cannot answer", "may not ask", "hits=1", "denied"):
        assert word in ended.stdout
    usage = subprocess.run([sys.executable, EXAMPLE], check=False, capture_output=True, text=True, timeout=60)
    assert (usage.returncode, "SLACK_BOT_TOKEN" in usage.stderr) == (1, True)
