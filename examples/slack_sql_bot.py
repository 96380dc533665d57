"""A Slack bot that answers questions with SQL: Bolt in front of it, your databases behind, Undercroft beneath.

    export SLACK_BOT_TOKEN=xoxb-... SLACK_SIGNING_SECRET=...
    python examples/slack_sql_bot.py sales=sales.db hr=hr.db

Mention it, write to it, or use /ask. `write_sql` is to be your model and `ask_warehouse` your driver; people are let in
with `undercroft users allow`. docs/slack-sql-bot.md tells what is stored, and where to change what.
"""

import logging
import re
import sqlite3
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from slack_bolt import App
from slack_sdk.http_retry.builtin_handlers import RateLimitErrorRetryHandler

from undercroft import Blocking, DatabaseMapping, Store, TenantScope
from undercroft.errors import AccessDenied, IdempotencyConflict, IdempotencyInFlight, NotFound

SECONDS, FETCHED, SHOWN = 30, 1000, 10  # the longest query; the most rows that are fetched, and that are shown
READING = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}


def write_sql(question: str, database: str) -> str | None:  # noqa: ARG001 - your model wants to know the database
    """Make SQL of a question, None where there is none: here, of what is SQL already."""
    return question if question.lower().startswith(("select ", "with ")) else None


def ask_warehouse(address: str, sql: str, login: DatabaseMapping) -> dict[str, Any]:  # noqa: ARG001 - a file has none
    """Run SQL as ``login`` says and return JSON: here, from a SQLite file, which is only read."""
    with closing(sqlite3.connect(f"{Path(address).absolute().as_uri()}?mode=ro", uri=True)) as connection:
        connection.set_authorizer(lambda action, *_: sqlite3.SQLITE_OK if action in READING else sqlite3.SQLITE_DENY)
        end = time.monotonic() + SECONDS
        connection.set_progress_handler(lambda: time.monotonic() > end, 10_000)
        cursor = connection.execute(sql)
        rows = [[str(one) if isinstance(one, bytes) else one for one in row] for row in cursor.fetchmany(FETCHED)]
        return {"columns": [column[0] for column in cursor.description], "rows": rows}


@dataclass
class Bot:
    """What the bot knows; ``databases`` are names and addresses, the first is asked unless a session says another."""

    store: Store
    databases: Mapping[str, str]
    write_sql: Callable[[str, str], str | None] = write_sql
    ask_warehouse: Callable[[str, str, DatabaseMapping], dict[str, Any]] = ask_warehouse

    def answer(self, tenant: TenantScope[Blocking], user: str, channel: str, question: str) -> str:
        """Answer a question, and keep all that there is to know about it."""
        session = tenant.sessions.start(user, channel=channel)  # or go on with the one that is active
        use = re.fullmatch(r"use (\w+)", question)
        database = use[1] if use else session.current_database or next(iter(self.databases))
        if database not in self.databases:
            return f"I know no `{database}`, only {', '.join(self.databases)}."
        try:
            login = tenant.users.authorize_query(user, database=database)
        except AccessDenied:  # and the attempt is in the audit trail
            return f"Sorry, you may not ask `{database}`. An operator of this bot can let you."
        if use:
            tenant.sessions.save(session.id, current_database=database)
            return f"From now on I ask `{database}` here."
        with tenant.queries.record(question, database=database, user=user, session=session.id) as run:
            run.sql = sql = self.write_sql(question, database)
            if sql is None:
                run.status, run.error = "declined", "no SQL for this question"
                return f"Sorry, I cannot answer that from `{database}`."
            try:
                found = tenant.results.get_or_run(
                    sql,
                    lambda: self.ask_warehouse(self.databases[database], sql, login),
                    database=database,
                    rights=login.rights,  # whoever has others gets an answer of his own
                    dialect="sqlite",
                ).value
            except sqlite3.Error as error:
                stopped = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT
                run.status, run.error = "cancelled" if stopped else "failed", str(error)
                return f"`{database}` took too long." if stopped else f"`{database}` refused: {escaped(str(error))}"
            run.rows = found["rows"]
            return table(found["columns"], found["rows"])

    def reply(self, team: str, event_id: str, event: Mapping[str, str], client: Any, say: Callable[..., Any]) -> None:
        """Answer an event, however often Slack delivers it."""
        try:
            tenant = self.store.tenant(self.store.tenants.ensure(f"slack:{team}").key)
            user, question = event["user"], re.sub(r"<@\w+>", "", event["text"]).strip()
            try:  # one key, and something else to do under it each time: the second delivery is refused
                audit = tenant.idempotent(event_id).audit
                audit.log("question.ask", by=user, resource_id=event_id, data={"delivery": uuid4().hex})
            except (IdempotencyConflict, IdempotencyInFlight):
                return
            try:
                tenant.users.get(user)
            except NotFound:
                tenant.users.ensure(user, name=client.users_info(user=user)["user"]["name"])
            say(self.answer(tenant, user, event["channel"], question))
        except Exception:
            logging.getLogger(__name__).exception("event %s was not answered", event_id)
            say("Something is broken on my side. It is in the log; please ask again later.")


def escaped(text: str) -> str:
    """Return text in which Slack finds no link, no mention and no end of a block."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("```", "'''")


def table(columns: list[str], rows: list[list[Any]]) -> str:
    """Return the first rows, one below the other."""
    cells = [[" ".join(str(one).split())[:30] for one in row] for row in [columns, *rows[:SHOWN]]]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in cells)
    return f"```\n{escaped(lines)}\n```\nRows: {len(rows)}" + (f", the first {SHOWN} shown" if rows[SHOWN:] else "")


def slack_app(bot: Bot, **bolt: Any) -> App:
    """Connect the bot to Slack; ``bolt`` is what Bolt's App takes."""
    app = App(**bolt)
    app.client.retry_handlers.append(RateLimitErrorRetryHandler(max_retry_count=2))

    def asked(body: dict[str, Any], event: dict[str, Any], client: Any, say: Callable[..., Any]) -> None:
        is_mine = event["type"] == "app_mention" or event.get("channel_type") == "im"
        if is_mine and "subtype" not in event and "bot_id" not in event:
            thread = event.get("thread_ts", event["ts"])
            bot.reply(body["team_id"], body["event_id"], event, client, lambda text: say(text, thread_ts=thread))

    def commanded(ack: Callable[[], Any], command: dict[str, Any], client: Any, respond: Callable[..., Any]) -> None:
        ack()
        event = {"user": command["user_id"], "channel": command["channel_id"], "text": command.get("text", "")}
        bot.reply(command["team_id"], command["trigger_id"], event, client, respond)

    app.event("app_mention")(asked)
    app.event("message")(asked)
    app.command("/ask")(commanded)
    return app


if __name__ == "__main__":
    given = dict(one.split("=", 1) for one in sys.argv[1:]) or sys.exit(__doc__)
    with Store() as opened:
        slack_app(Bot(opened, given)).start(port=3000)  # /slack/events
