"""The bot of slack_sql_bot.py without Slack: a made-up shop is asked, and what was kept of it is shown.

python examples/slack_sql_demo.py
"""

import sqlite3
from contextlib import closing
from tempfile import TemporaryDirectory

from slack_sql_bot import Bot

from undercroft import Store

KNOWN = {
    "Revenue by city?": "SELECT city, sum(euro) AS revenue FROM sales GROUP BY city ORDER BY revenue DESC",
    "Which cities earn most?": "select City, SUM(euro) as revenue from sales group by city order by revenue desc;",
    "How are people?": "SELECT mood FROM sales",
}


def demo(folder: str) -> None:
    """Ask, and show what a bot's operator sees of it."""
    with closing(sqlite3.connect(f"{folder}/shop.db")) as shop, shop:
        shop.execute("CREATE TABLE sales (city, euro)")
        shop.execute("INSERT INTO sales VALUES ('Turku', 120), ('Oulu', 75), ('Turku', 40)")
    with Store(f"sqlite:///{folder}/bot.db") as store:
        tenant = store.default
        tenant.users.map_database("ada", database_user="reader", allowed_databases=["shop"])
        bot = Bot(store, {"shop": f"{folder}/shop.db"}, write_sql=lambda question, _: KNOWN.get(question))
        for user, question in [*(("ada", question) for question in [*KNOWN, "What is love?"]), ("eve", "Revenue?")]:
            print(f"{user}: {question}\n{bot.answer(tenant, user, 'C1', question)}\n")
        for query in reversed(tenant.queries.history()):
            print(query.user, query.status, query.row_count, query.question, query.error or "", sep="\t")
        print(tenant.results.stats())
        for event in tenant.audit.failures():
            print(event.actor, event.event_type, event.status, event.data["reason"], sep="\t")


if __name__ == "__main__":
    with TemporaryDirectory() as made:
        demo(made)
