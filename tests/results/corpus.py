"""Questions with their SQL, and databases that it runs on: ours, and real ones where the folder of test data is."""

import json
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from undercroft.results.rules import statement

FOLDER = Path(os.environ.get("UNDERCROFT_TEST_DATA", Path(__file__).parents[3] / "shared" / "data")) / "sql"

OWN = [
    ("shop", "How many products?", "SELECT count(*) FROM products"),
    ("shop", "Number of products?", "select COUNT( * )  from Products;"),
    ("shop", "Cheap ones?", "SELECT name FROM products WHERE price < 10 ORDER BY name"),
    ("shop", "Which are cheap?", "SELECT name -- by name\nFROM products WHERE price<10 ORDER BY name"),
    ("shop", "Below 20?", "SELECT name FROM products WHERE price < 20 ORDER BY name"),
    ("shop", "What is Tea?", "SELECT price FROM products WHERE name = 'Tea'"),
    ("shop", "what is tea?", "SELECT price FROM products WHERE name = 'tea'"),
    ("shop", "Each?", "SELECT p.name, sum(amount) FROM orders AS o JOIN products p ON o.product = p.id GROUP BY 1"),
    ("shop", "All?", "SELECT p.NAME, SUM(Amount) FROM orders o JOIN products AS p ON o.product=p.id GROUP BY 1"),
    ("shop", "Margins?", "SELECT margin FROM products"),
    ("shop", "Remove them", "DELETE FROM products"),
    ("shop", "Nonsense", "SELECT FROM WHERE"),
    ("other", "How many products?", "SELECT count(*) FROM products"),
]  # fmt: skip
OWN_DECLINED = [("shop", "What is love?"), ("shop", "Who wrote 1984?")]
OWN_SCHEMAS = {
    name: ["CREATE TABLE products (id, name, price)", "CREATE TABLE orders (product, amount)"]
    for name in ("shop", "other")
}


@dataclass(frozen=True)
class Corpus:
    """Pairs of (database, question, SQL), and the tables of those databases that are known."""

    name: str
    pairs: list[tuple[str, str, str]]
    schemas: dict[str, list[str]]

    def databases(self) -> dict[str, sqlite3.Connection]:
        """Make the databases, with a few rows that answer something."""
        return {name: _filled(tables, self.words(name)) for name, tables in self.schemas.items()}

    def words(self, database: str) -> list[str]:
        """Return the texts that questions about a database look for."""
        texts = [
            text for name, _, sql in self.pairs if name == database for text in sql.replace('"', "'").split("'")[1::2]
        ]
        return sorted(set(texts)) or ["word"]


def corpora() -> Iterator[Corpus]:
    yield Corpus("own", OWN, OWN_SCHEMAS)
    for path in sorted(FOLDER.glob("*.jsonl")):
        if "unanswerable" not in path.name:
            schemas = _schemas() if path.name.startswith("spider") else {}
            yield Corpus(path.stem, [(row["db"], row["question"], row["sql"]) for row in _rows(path)], schemas)


def declined() -> list[tuple[str, str]]:
    """Questions that a bot must decline."""
    found = [(row["db"], row["question"]) for path in FOLDER.glob("*unanswerable*.jsonl") for row in _rows(path)]
    return found or OWN_DECLINED


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def _schemas() -> dict[str, list[str]]:
    made = {}
    for path in FOLDER.glob("spider-schemas*.json"):
        for schema in json.loads(path.read_text()):
            columns: list[list[str]] = [[] for _ in schema["table_names_original"]]
            for table, column in schema["column_names_original"]:
                if table >= 0:
                    columns[table].append(f'"{column}"')
            made[schema["db_id"]] = [
                f'CREATE TABLE "{name}" ({", ".join(columns[number])})'
                for number, name in enumerate(schema["table_names_original"])
                if not name.startswith("sqlite_")
            ]
    return made


def _filled(tables: list[str], words: list[str]) -> sqlite3.Connection:
    random, connection = Random(0), sqlite3.connect(":memory:", check_same_thread=False)
    for table in tables:
        connection.execute(table)
    for (name,) in connection.execute("SELECT name FROM sqlite_master").fetchall():
        width = len(connection.execute(f'PRAGMA table_info("{name}")').fetchall())
        rows = [[random.choice([random.randrange(5), random.choice(words)]) for _ in range(width)] for _ in range(30)]
        connection.executemany(f'INSERT INTO "{name}" VALUES ({", ".join("?" * width)})', rows)
    return connection


def form(sql: str) -> str:
    return statement(sql, "sqlite").form
