-- A blank line after a semicolon ends a statement.

-- Every append changes its thread, and no index of it: room for the next version of a row on the same page.
ALTER TABLE undercroft.threads SET (fillfactor = 50);

DO $$
BEGIN
  PERFORM undercroft.ensure_partitions(now(), now() + interval '1 year');
END
$$;
