"""The history of the schema: one line of revisions for SQLite and PostgreSQL, and the means to run and check it."""
