"""How an operation reaches a database: identity, time, text, transactions, dialects."""
