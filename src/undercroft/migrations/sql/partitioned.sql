-- A place for ids of every time; years get partitions of their own from undercroft.ensure_partitions().
-- A blank line after a semicolon ends a statement.

CREATE TABLE undercroft.{table}_default PARTITION OF undercroft.{table} DEFAULT;

-- No policy and no right: rows are reached through the whole table only.
ALTER TABLE undercroft.{table}_default ENABLE ROW LEVEL SECURITY;

ALTER TABLE undercroft.{table}_default FORCE ROW LEVEL SECURITY;
