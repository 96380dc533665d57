-- A blank line after a semicolon ends a statement.

DROP FUNCTION undercroft.search_messages(
  text, boolean, integer, uuid, uuid, uuid, uuid, uuid, boolean, boolean, boolean);

DROP FUNCTION undercroft.ensure_partitions(timestamptz, timestamptz);

DROP FUNCTION undercroft.year_floor(integer);
